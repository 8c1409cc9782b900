"""Chat templates: the same bytes as transformers, and no way out of the sandbox.

Each file in templates/ follows one published family in the constructs that it uses.
"""

from __future__ import annotations

import json
from pathlib import Path

import jinja2
import pytest
from tokenizers import Tokenizer as Backend
from tokenizers import models
from transformers import PreTrainedTokenizerFast

from fathom.errors import TokenizerError
from fathom.inputs.chat import LARGEST_TEMPLATE, ChatTemplate, render_source

TEMPLATES = sorted((Path(__file__).parent / "templates").glob("*.jinja"))
WORDS = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}
WITH_TOOLS = {"llama-3.1", "mistral-v0.3", "qwen2.5", "qwen3", "granite-3", "smollm3", "gpt-oss"}

SYSTEM = {"role": "system", "content": "Answer as a pirate. /no_think"}
USER = {"role": "user", "content": "  Wie geht's? <b>&</b> 😀 {{ 7*7 }} "}
ANSWER = {"role": "assistant", "content": "<think>\nhm\n</think>\n\nGut, \"danke\" & 'ok'. "}
THOUGHT = {"role": "assistant", "content": "Fine.", "reasoning_content": "A greeting."}
AGAIN = {"role": "user", "content": "Und\nweiter?"}
ARGUMENTS = {"city": "Zürich", "days": 3, "exact": True, "note": None}
CALL = {
    "role": "assistant",
    "content": "",
    "tool_calls": [
        {
            "id": "abcdef123",
            "type": "function",
            "function": {"name": "weather", "arguments": ARGUMENTS},
        }
    ],
}
RESULT = {"role": "tool", "content": "12 °C", "name": "weather", "tool_call_id": "abcdef123"}
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "description": "Weather <in> a city & its surroundings",
            "parameters": {
                "type": "object",
                "properties": {
                    "city": {"type": "string", "description": "the city's name"},
                    "unit": {"type": "string", "enum": ["°C", "°F"]},
                    "days": {"type": "array", "items": {"type": "integer"}},
                },
                "required": ["city"],
            },
        },
    },
    {"type": "function", "function": {"name": "now", "description": "The time"}},
]
CONVERSATIONS = {
    "one turn": [USER],
    "system": [SYSTEM, USER],
    "multi-turn": [USER, ANSWER, AGAIN],
    "system, multi-turn": [SYSTEM, USER, ANSWER, AGAIN, THOUGHT],
    "reasoning last": [USER, THOUGHT],
    "tool call": [USER, CALL, RESULT],
    "tool call answered": [SYSTEM, USER, CALL, RESULT, ANSWER, AGAIN],
    "two users": [USER, AGAIN],
    "assistant first": [ANSWER, USER],
}
VARIABLES = {
    "plain": {},
    "no thinking": {"enable_thinking": False},
    "effort": {"reasoning_effort": "high", "date_string": "1 Jan 2030"},
}


@pytest.fixture(scope="module")
def transformers_tokenizer() -> PreTrainedTokenizerFast:
    backend = Backend(models.WordLevel({word: id for id, word in enumerate(WORDS.values())}))
    return PreTrainedTokenizerFast(tokenizer_object=backend, **WORDS)


@pytest.mark.parametrize("variables", VARIABLES)
@pytest.mark.parametrize("tools", [None, TOOLS], ids=["no tools", "tools"])
@pytest.mark.parametrize("prompt", [True, False], ids=["prompt", "no prompt"])
@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.stem)
def test_same_bytes_as_transformers(
    path: Path, prompt: bool, tools, variables: str, transformers_tokenizer
) -> None:
    source, given = path.read_text(), VARIABLES[variables]
    template = ChatTemplate(source, WORDS)
    rendered = 0
    for messages in CONVERSATIONS.values():
        try:
            expected = transformers_tokenizer.apply_chat_template(
                messages,
                tools=tools,
                chat_template=source,
                add_generation_prompt=prompt,
                tokenize=False,
                **given,
            )
        except (jinja2.TemplateError, TypeError) as error:
            with pytest.raises(TokenizerError) as refusal:
                template.render(messages, tools, prompt, **given)
            assert str(error) in str(refusal.value)
            continue
        assert template.render(messages, tools, prompt, **given) == expected
        rendered += 1
    assert rendered >= 2
    assert ("weather" in template.render([USER], TOOLS)) == (path.stem in WITH_TOOLS)


def test_ten_families_and_more() -> None:
    assert len(TEMPLATES) >= 10
    assert {path.stem for path in TEMPLATES} >= WITH_TOOLS


def render(source: str, **variables: object) -> str:
    return ChatTemplate(source, WORDS).render([USER], **variables)


LEAKS = {
    "JJ-01": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "JJ-02": "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
    "JJ-03": "{{ ('{0.__class__}'|attr('format'))(messages) }}",
    "JJ-04": "{% set f = ['{0.__class__}'.format] %}{{ f|map('attr', 'x')|list }}{{ f[0](1) }}",
    "JJ-05": "{{ '{x.__class__}'.format_map({'x': 1}) }}",
    "JJ-06": "{{ messages|map(attribute='__class__')|list }}",
    "namespace": "{{ namespace.__init__.__globals__ }}",
    "raise_exception": "{{ raise_exception.__globals__ }}",
    "tojson": "{{ dict.__globals__ }}{{ strftime_now.__code__ }}",
    "undefined": "{{ nothing.__class__ }}",
}


@pytest.mark.parametrize("case", LEAKS)
def test_nothing_of_python_leaks(case: str) -> None:
    try:
        text = render(LEAKS[case])
    except TokenizerError as refusal:
        text = str(refusal)
    assert "<class" not in text
    assert "<module" not in text
    assert "uid=" not in text
    assert "<code" not in text


REFUSED = {
    "JJ-08 lipsum": ("{{ lipsum(n=100000) }}", "'lipsum' is undefined"),
    "JJ-08 cycler": ("{{ cycler('a') }}", "'cycler' is undefined"),
    "JJ-08 joiner": ("{{ joiner() }}", "'joiner' is undefined"),
    "JJ-11": ("{{ range(100001)|list|length }}", "100000"),
    "JJ-12": ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "too deeply"),
    "JJ-13 brackets": ("{{ " + "(" * 20_000 + "1" + ")" * 20_000 + " }}", "too deeply"),
    "JJ-13 blocks": ("{% if 1 %}" * 3_000 + "{% endif %}" * 3_000, "too deeply"),
    "JJ-14": ("{{ messages.append(1) }}", "unsafe"),
    "JJ-14 namespace": ("{% set n = namespace(__class__=1) %}", "unsafe"),
    "JJ-14 attribute": ("{% set n = namespace() %}{% set n._x = 1 %}", "unsafe"),
    "JJ-15 include": ("{% include '/etc/passwd' %}", "loader"),
    "JJ-15 import": ("{% import 'os' as os %}", "loader"),
    "JJ-18": ("{% extends messages[0].role %}", "loader"),
    "JJ-20 syntax": ("a\nb {% if %}", "line 2"),
    "JJ-20 undefined": ("a\n\n{{ nothing.at_all }}", "line 3: 'nothing' is undefined"),
    "too large": (" " * (LARGEST_TEMPLATE + 1), "over 1,048,576"),
    "too much": ("{% for i in range(9) %}{{ 'x' * 999999 }}{% endfor %}", "writes over"),
    "refusal": ("{{ raise_exception('No jokes.') }}", "refuses this conversation: No jokes."),
    "type": ("{{ 1 + 'a' }}", "unsupported operand"),
}
ACCEPTED = {
    "JJ-11": ("{{ range(100000)|list|length }}", "100000"),
    "JJ-12": ("{% macro f(n) %}{{ f(n - 1) if n }}{{ n }}{% endmacro %}{{ f(3) }}", "0123"),
    "JJ-13": ("{{ " + "(" * 9 + "1" + ")" * 9 + " }}", "1"),
    "JJ-14": ("{% set n = namespace(x=1) %}{% set n.x = 2 %}{{ n.x }}", "2"),
    "JJ-20": ("a{{ nothing }}b", "ab"),
    "JJ-22": ("{{ messages[0].content }}", USER["content"]),
    "dict": ("{{ dict(a=1).a }}{{ dict([('b', 2)]).b }}", "12"),
    "loop control": ("{% for i in range(9) %}{% if i == 2 %}{% break %}{% endif %}{{ i }}"
                     "{% endfor %}", "01"),
    "json": ("{{ {'ä': '<&>'}|tojson }}", '{"ä": "<&>"}'),
    "largest": (" " * LARGEST_TEMPLATE, " " * LARGEST_TEMPLATE),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_hostile_or_broken_templates_are_refused(case: str) -> None:
    source, message = REFUSED[case]
    with pytest.raises(TokenizerError) as refusal:
        render(source)
    assert message in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("case", ACCEPTED)
def test_honest_templates_are_accepted(case: str) -> None:
    source, expected = ACCEPTED[case]
    assert render(source) == expected


def test_only_plain_data_reaches_a_template() -> None:
    with pytest.raises(TokenizerError, match="no JSON value"):
        render("{{ tool }}", tool=Path())
    nested: list[object] = []
    for _ in range(100):
        nested = [nested]
    with pytest.raises(TokenizerError, match="levels deep"):
        render("{{ data }}", data=nested)
    assert render("{{ data }}", data=("a", 1.5)) == "['a', 1.5]"


def test_variables_are_those_the_template_reads() -> None:
    template = ChatTemplate("{{ messages }}{% set a = 1 %}{{ a }}{{ enable_thinking }}")
    assert template.variables == {"messages", "enable_thinking"}


def test_a_template_can_be_rendered_elsewhere() -> None:
    """Nothing but text and JSON goes in, so that a process which may be killed can do it."""
    variables = json.loads(json.dumps({"messages": [USER]}))
    assert render_source("{{ messages[0].role }}", variables) == "user"


def test_the_template_is_chosen_by_name() -> None:
    template = ChatTemplate.choose({"default": "plain", "tool_use": "tools"}, WORDS)
    assert template.render([USER]) == "plain"
    assert template.render([USER], TOOLS) == "tools"
    with pytest.raises(TokenizerError, match="instruction-tuned"):
        ChatTemplate.choose({}, WORDS)
    with pytest.raises(TokenizerError, match="but rag"):
        ChatTemplate.choose({"rag": "x"}, WORDS)
