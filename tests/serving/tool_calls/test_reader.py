"""Calls of tools: each family's own writing, whole or in pieces, broken or beside text."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fathom.serving.service import Tool, ToolCall
from fathom.serving.tool_calls import FAMILIES, CallReader, Family

TOOLS = (
    Tool(
        "get_weather",
        parameters={
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
        },
    ),
    Tool("now"),
)
CITY = {"city": "Köln", "days": 3}
CALL = '{"name": "get_weather", "arguments": {"city": "Köln", "days": 3}}'
PARAMETERS = CALL.replace("arguments", "parameters")
NAMED = CALL.replace('"name"', '"tool_name"').replace("arguments", "parameters")
OBJECT = '{"city": "Köln", "days": 3}'
TAGGED = (
    "\n<function=get_weather>\n<parameter=city>\nKöln\n</parameter>\n"
    "<parameter=days>\n3\n</parameter>\n</function>\n"
)
INVOKED = (
    '\n<invoke name="get_weather">\n<parameter name="city">Köln</parameter>\n'
    '<parameter name="days">3</parameter>\n</invoke>\n'
)
PYTHON = 'get_weather(city="Köln", days=3)'

# What models of each family write for the one call above, as their publishers' templates show it.
WRITTEN: dict[str, tuple[str, ...]] = {
    "qwen-coder": (f"<tool_call>{TAGGED}</tool_call>", f"<tool_call>\n{CALL}\n</tool_call>"),
    "glm": (
        "<tool_call>get_weather\n<arg_key>city</arg_key>\n<arg_value>Köln</arg_value>\n"
        "<arg_key>days</arg_key>\n<arg_value>3</arg_value>\n</tool_call>",
    ),
    "seed": (f"<seed:tool_call>{TAGGED}</seed:tool_call>",),
    "minimax": (f"<minimax:tool_call>{INVOKED}</minimax:tool_call>",),
    "deepseek-dsml": (
        '<｜DSML｜function_calls>\n<｜DSML｜invoke name="get_weather">\n'
        '<｜DSML｜parameter name="city" string="true">Köln</｜DSML｜parameter>\n'
        '<｜DSML｜parameter name="days" string="false">3</｜DSML｜parameter>\n'
        "</｜DSML｜invoke>\n</｜DSML｜function_calls>",
    ),
    "deepseek": (
        "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>get_weather\n```json\n"
        f"{OBJECT}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
        "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>get_weather<｜tool▁sep｜>"
        f"{OBJECT}<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
    ),
    "kimi": (
        "<|tool_calls_section_begin|><|tool_call_begin|>functions.get_weather:0"
        f"<|tool_call_argument_begin|>{OBJECT}<|tool_call_end|><|tool_calls_section_end|>",
    ),
    "gpt-oss": (
        "<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>"
        f"{OBJECT}<|call|>",
        "<|start|>assistant to=functions.get_weather<|channel|>commentary json<|message|>"
        f"{OBJECT}<|call|>",
    ),
    "mistral": (
        f"[TOOL_CALLS]get_weather[ARGS]{OBJECT}",
        f"[TOOL_CALLS]get_weather[CALL_ID]abcdefghi[ARGS]{OBJECT}",
        f"[TOOL_CALLS][{CALL}]",
    ),
    "mistral-list": (f"[TOOL_CALLS][{CALL}]", f"[TOOL_CALLS] [{CALL}]"),
    "granite": (f"<|tool_call|>[{CALL}]", f"<|tool_call|>[{CALL}]<|/tool_call|>"),
    "command": (f"<|START_ACTION|>[\n    {NAMED}\n]<|END_ACTION|>",),
    "command-r": (f"Action: ```json\n[\n    {NAMED}\n]```",),
    "internlm": (f"<|action_start|><|plugin|>\n{PARAMETERS}<|action_end|>",),
    "lfm": (f"<|tool_call_start|>[{PYTHON}]<|tool_call_end|>",),
    "olmo": (f"<function_calls>{PYTHON}</function_calls>",),
    "jamba": (f"<tool_calls>[\n  {CALL}\n]</tool_calls>", f"<tool_calls>{CALL}</tool_calls>"),
    "nemotron": (f"<TOOLCALL>[{CALL}]</TOOLCALL>",),
    "hermes": (f"<tool_call>\n{CALL}\n</tool_call>", f"<tool_call>{CALL}"),
    "llama": (
        PARAMETERS,
        f"<|python_tag|>{PARAMETERS}",
        '<|python_tag|>get_weather.call(city="Köln", days=3)',
        '{"type": "function", ' + PARAMETERS[1:],
        f"[{PYTHON}]",
    ),
    "llama-4": (PARAMETERS, f"[{PYTHON}]", f"<|python_start|>[{PYTHON}]<|python_end|>"),
    "plain": (CALL, f"[{CALL}]", f"<tool_call>{CALL}</tool_call>", f"[{PYTHON}]"),
}
BY_NAME = {family.name: family for family in FAMILIES}
CASES = [(name, text) for name, texts in WRITTEN.items() for text in texts]


def read(family: Family, pieces: list[str] | str) -> tuple[str, list[ToolCall], list[str]]:
    """Return the text, the calls and the notes of pieces; ids count from 0."""
    reader = CallReader(family, TOOLS, map(str, itertools.count()).__next__)
    parts = [part for piece in pieces for part in reader.push(piece)] + reader.flush()
    said = "".join(part for part in parts if isinstance(part, str))
    return said, [part for part in parts if isinstance(part, ToolCall)], reader.notes


def test_every_family_has_a_text() -> None:
    assert set(WRITTEN) == set(BY_NAME)


@pytest.mark.parametrize(("name", "text"), CASES)
def test_reads_what_the_family_writes(name: str, text: str) -> None:
    said, calls, notes = read(BY_NAME[name], text)
    assert (said, notes) == ("", [])
    assert [(call.name, json.loads(call.arguments)) for call in calls] == [("get_weather", CITY)]


@pytest.mark.parametrize(("name", "text"), CASES)
def test_text_before_a_call_is_text(name: str, text: str) -> None:
    alone = any(span.alone for span in BY_NAME[name].spans) and not text.startswith("<")
    said, calls, _ = read(BY_NAME[name], "Let me see.\n\n" + text)
    if alone:  # such a call is one only where the answer begins with it
        assert (said, calls) == ("Let me see.\n\n" + text, [])
    else:
        assert said == "Let me see."
        assert [call.name for call in calls] == ["get_weather"]


@pytest.mark.parametrize(("name", "text"), CASES)
def test_half_a_call_is_never_given_as_text(name: str, text: str) -> None:
    reader = CallReader(BY_NAME[name], TOOLS)
    given_so_far = [part for character in text[:-1] for part in reader.push(character)]
    assert not any(isinstance(part, str) for part in given_so_far)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_split_gives_the_same(family: Family, data: st.DataObject) -> None:
    marks = [*family.marks, *WRITTEN[family.name], "{", "[", "}", "]", "text", "\n", '"', "now("]
    text = "".join(data.draw(st.lists(st.sampled_from(marks), max_size=7)))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    edges = [0, *cuts, len(text)]
    pieces = [text[begin:end] for begin, end in itertools.pairwise(edges)]
    assert read(family, pieces) == read(family, [text]) == read(family, text)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
@given(text=st.text(alphabet="a b\n{}[]<|_\"'(),é", max_size=60))
@settings(max_examples=60, deadline=None)
def test_text_without_calls_stays_as_it_is(family: Family, text: str) -> None:
    assert read(family, text) == (text, [], [])


def test_several_calls_and_text_after_them() -> None:
    hermes = BY_NAME["hermes"]
    call = f"<tool_call>\n{CALL}\n</tool_call>"
    said, calls, _ = read(hermes, f'{call}\n<tool_call>\n{{"name": "now"}}\n</tool_call>\nDone.')
    assert said == "\nDone."
    assert [(call.name, call.arguments) for call in calls][1] == ("now", "{}")
    said, calls, _ = read(BY_NAME["llama"], f'{PARAMETERS}; {{"name": "now", "parameters": {{}}}}')
    assert [call.name for call in calls] == ["get_weather", "now"]


def test_a_marker_in_an_argument_ends_nothing() -> None:
    text = '<tool_call>{"name": "now", "arguments": {"say": "</tool_call> {\\"}"}}</tool_call>'
    _, calls, _ = read(BY_NAME["hermes"], text)
    assert json.loads(calls[0].arguments) == {"say": '</tool_call> {"}'}


@pytest.mark.parametrize(
    "text",
    [
        "<tool_call>no json</tool_call>",
        '<tool_call>{"name": "now"',
        "<tool_call>{'name': 'now'}</tool_call>",
        '<tool_call>{"name": "now", "arguments": [1]}</tool_call>',
        '<tool_call>{"name": "now", "arguments": {"x": NaN}}</tool_call>',
        '<tool_call>{"name": "two words", "arguments": {}}</tool_call>',
        "<tool_call>[{}]</tool_call>",
        '<tool_call>{"a": ' + "[" * 100,
    ],
)
def test_a_broken_call_is_text_and_said(text: str) -> None:
    said, calls, notes = read(BY_NAME["hermes"], text)
    assert (said, calls) == (text, [])
    assert len(notes) == 1


def test_json_that_is_the_answer_is_text_at_once() -> None:
    reader = CallReader(BY_NAME["llama"], TOOLS)
    assert reader.push('{"answer": ') == ['{"answer":']
    said, calls, _ = read(BY_NAME["llama"], '{"name": "Ada", "parameters": {}}')
    assert calls == []  # no such tool
    assert said == '{"name": "Ada", "parameters": {}}'


@pytest.mark.parametrize(
    "text",
    [
        '[now(x=__import__("os").system("true"))]',
        "[now(x=" + "(" * 5_000 + ")]",
        "[now(x=[" * 200,
        '[now("too", "many")]',
        "[now(**{})]",
    ],
)
def test_an_expression_is_data_and_never_run(text: str) -> None:
    assert read(BY_NAME["llama"], text) == (text, [], [])


def test_half_a_character_stays_spelled_out() -> None:
    _, calls, _ = read(
        BY_NAME["hermes"], '<tool_call>{"name": "now", "arguments": {"x": "\\ud800"}}'
    )
    assert calls[0].arguments.encode() == b'{"x": "\\ud800"}'


@pytest.mark.parametrize("piece", ["(", "<tool_call>", "[now(", '{"name": "', " ", "<tool_call>{"])
def test_reading_is_linear(piece: str) -> None:
    """What a stranger may make a model repeat would take hours where each step cost the square."""
    text = piece * (200_000 // len(piece))
    for name in ("hermes", "llama"):
        assert read(BY_NAME[name], [text])[0] == text


def test_ids_are_as_the_template_takes_them() -> None:
    reader = CallReader(BY_NAME["mistral"], TOOLS)
    (call,) = reader.push(f"[TOOL_CALLS]get_weather[ARGS]{OBJECT}")
    assert isinstance(call, ToolCall)
    assert len(call.id) == 9
    assert call.id.isalnum()
    _, calls, _ = read(BY_NAME["kimi"], WRITTEN["kimi"][0])
    assert calls[0].id == "functions.get_weather:0"  # which its template asks for
