"""Answers of a form, checked by readers that are not ours: json, jsonschema, re."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable

import pytest

from fathom.errors import RequestError
from fathom.generation import grammar
from fathom.generation.forms import KINDS, Form
from fathom.generation.generate import Engine
from fathom.generation.request import Request, Sampling
from fathom.generation.results import Generation

from .conftest import CONTEXT, Tiny
from .test_native import forward as native_forward

PROMPT = tuple(b"Tell me. ")
PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 8},
        "age": {"type": "integer", "minimum": 0, "maximum": 150},
        "tags": {"type": "array", "items": {"enum": ["a", "b"]}, "maxItems": 3},
        "more": {"anyOf": [{"type": "null"}, {"type": "boolean"}]},
    },
    "required": ["name", "age", "tags", "more"],
    "additionalProperties": False,
}
SUM = "root ::= number (op number)*\nop ::= [+*]\nnumber ::= [1-9] | [1-9] [0-9]"


def is_person(text: str) -> bool:
    found = json.loads(text)
    return (
        list(found) == list(PERSON["properties"])
        and len(found["name"]) <= 8
        and type(found["age"]) is int
        and 0 <= found["age"] <= 150
        and len(found["tags"]) <= 3
        and set(found["tags"]) <= {"a", "b"}
        and found["more"] in (None, True, False)
    )


# kind → an asked form, and whether a text has it.
FORMS: dict[str, tuple[object, Callable[[str], object]]] = {
    "schema": (PERSON, is_person),
    "regex": (r"[a-f]{3}-[0-9]{2,4}(, é+!)?", re.compile(r"[a-f]{3}-[0-9]{2,4}(, é+!)?").fullmatch),
    "choice": (
        ["yes", "no", 'a "quoted"\nline', "né"],
        ["yes", "no", 'a "quoted"\nline', "né"].__contains__,
    ),
    "grammar": (SUM, re.compile(r"[1-9]\d?([+*][1-9]\d?)*").fullmatch),
}


def request(form: Form | None, **options: object) -> Request:
    given = {"max_tokens": 150, "sampling": Sampling(), **options}
    return Request(PROMPT, form=form, **given)  # type: ignore[arg-type]


def answer(engine: Engine, asked: Request) -> Generation:
    generation = engine.generate(asked)
    assert "".join(generation) == generation.text
    return generation


def test_every_kind_is_tried() -> None:
    assert set(FORMS) == set(KINDS)


@pytest.mark.parametrize("way", ["native", "modules"])
@pytest.mark.parametrize("kind", KINDS)
def test_an_answer_has_its_form(tiny: Tiny, kind: str, way: str) -> None:
    """Whatever a random model wants to say, drawn at any temperature or not."""
    value, has_form = FORMS[kind]
    forward = native_forward(tiny, 64, threads=1) if way == "native" else tiny.forward
    engine = Engine(forward, tiny.tokenizer, context=CONTEXT)
    form = Form.asked({kind: value})
    samplings = [Sampling(), *(Sampling(temperature=2.0, seed=seed) for seed in range(6))]
    samplings.append(Sampling(temperature=1.0, top_p=0.5, repetition_penalty=1.5, seed=1))
    found = [answer(engine, request(form, sampling=each, logprobs=1)) for each in samplings]
    whole = [each for each in found if each.finish_reason == "stop"]
    assert len(whole) > len(found) / 2
    assert [each.text for each in whole if not has_form(each.text)] == []
    free = answer(engine, request(None))
    assert not any(each.text == free.text for each in found)
    assert all(each.logprobs is not None for each in found)


def test_the_end_may_come_where_the_form_is_complete_and_nowhere_else(tiny: Tiny) -> None:
    """A model that wants to end at once ends as soon as it may; so does a form without more."""
    engine = tiny.engine()
    ending = Sampling(logit_bias={257: 100.0})
    shortest = answer(engine, request(Form("regex", "[ab]{3,9}"), sampling=ending))
    assert len(shortest.text) == 3
    assert (shortest.tokens[-1], shortest.finish_reason) == (257, "stop")
    fixed = answer(engine, request(Form("regex", "[ab]{3}")))
    assert (len(fixed.tokens), fixed.finish_reason) == (3, "stop")
    cut = answer(engine, request(Form("regex", "[ab]{30}"), max_tokens=5))
    assert (len(cut.tokens), cut.finish_reason) == (5, "length")


def test_what_is_thought_before_is_free(tiny: Tiny) -> None:
    """The form begins where the reasoning ends."""
    asked = Request(
        (*PROMPT, 258),  # <think>
        max_tokens=60,
        form=Form("choice", '["yes", "no"]'),
        reasoning_budget=10,
    )
    found = answer(tiny.engine(), asked)
    assert found.usage.reasoning_tokens == 10
    assert found.text in ("yes", "no")


def test_nothing_that_goes_on_is_an_error_and_not_a_token(tiny: Tiny) -> None:
    never = Sampling(logit_bias={ord("a"): -100.0})
    assert answer(tiny.engine(), request(Form("regex", "a"), sampling=never)).text == "a"
    from fathom.generation.constraints import Constraints

    banned = request(Form("regex", "a"), constraints=Constraints(suppress_tokens=(ord("a"),)))
    with pytest.raises(RequestError, match="no token may be written"):
        list(tiny.engine().generate(banned))


@pytest.mark.parametrize(
    ("kind", "value", "told"),
    [
        ("schema", {"type": "nosuch"}, "Invalid type"),
        ("schema", {"not": {}}, "Unimplemented"),
        ("schema", [], "JSON object"),
        ("schema", "{", "no JSON"),
        ("schema", "[" * 60_000, "no JSON"),
        ("schema", {"minimum": float("nan")}, "finite"),
        ("schema", {"$ref": "https://example.com/schema"}, "nothing is fetched"),
        ("schema", {"enum": [f"value {index}" for index in range(20_000)]}, "parts"),
        ("regex", "(", "unclosed"),
        ("regex", "(?=a)b", "look-around"),
        ("regex", "a" * 5000, "4,096"),
        ("regex", "", "at least one"),
        ("choice", "yes", "list of texts"),
        ("choice", [], "list of texts"),
        ("choice", ["yes", ""], "list of texts"),
        ("grammar", "start: (", "cannot be read"),
        ("grammar", "start: " + "(" * 2000 + '"a"' + ")" * 2000, "nested"),
        ("grammar", 'root ::= "a', "cannot be read"),
        ("grammar", "start: \ud800", "Unicode"),
    ],
)
def test_forms_that_make_no_sense_are_refused(
    tiny: Tiny, kind: str, value: object, told: str
) -> None:
    with pytest.raises(RequestError, match=told) as refused:
        tiny.engine().generate(request(Form.asked({kind: value})))
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 400


def nested(depth: int) -> dict[str, object]:
    schema: dict[str, object] = {"type": "integer"}
    for _ in range(depth):
        schema = {"type": "object", "properties": {"a": schema}}
    return schema


def test_depth_has_a_bound_and_everything_up_to_it_is_taken(tiny: Tiny) -> None:
    tiny.engine().generate(request(Form.asked({"schema": nested(15)})))
    for depth in (16, 5000):
        with pytest.raises(RequestError, match="levels deep"):
            Form.asked({"schema": nested(depth)})


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("regex", "(a+)+b"),
        ("regex", "[ab]*a[ab]{13}"),
        ("regex", "a{1,100000}"),
        ("regex", "((a{1,100}){1,100}){1,100}"),
        ("regex", "(.*a){30}[ab]*a[ab]{20}"),
        ("schema", {"enum": [f"value {index}" for index in range(5000)]}),
        ("schema", {"oneOf": [nested(depth) for depth in range(14)]}),
        ("grammar", "start: a a a a a a a a\n" + 'a: b*\nb: "x"*'),
    ],
)
def test_costly_forms_end_soon_one_way_or_the_other(tiny: Tiny, kind: str, value: object) -> None:
    """They are followed or refused; the bounds are in steps, of which these are far from many."""
    began = time.process_time()
    try:
        asked = request(
            Form.asked({kind: value}), max_tokens=20, sampling=Sampling(temperature=1.0, seed=2)
        )
        answer(tiny.engine(), asked)
    except RequestError as error:
        assert "simplify" in str(error) or "too big" in str(error) or "cannot be read" in str(error)
    assert time.process_time() - began < 60


def test_forms_that_are_ready_are_bounded(tiny: Tiny) -> None:
    engine = tiny.engine()
    for index in range(2 * grammar.KEPT):
        engine.generate(request(Form("regex", f"a{index}")))
    own = grammar._grammars[tiny.tokenizer].values()
    assert all(len(each._ready) <= grammar.KEPT for each in own)


def test_one_form_and_no_beams() -> None:
    with pytest.raises(RequestError, match="one form"):
        Form.asked({"regex": "a", "choice": ["a"]})
    assert Form.asked({"regex": None}) is None
    given = {"regex": "a+", "max_tokens": 3}
    assert Request.asked(PROMPT, Sampling(), given).form == Form("regex", "a+")
    with pytest.raises(RequestError, match="beams"):
        Request.asked(PROMPT, Sampling(), {**given, "beams": 2})
