"""What goes between a server and its workers comes out as it went in, or is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fathom import errors
from fathom.errors import AnswerLostError, BusyError, FathomError, RequestError
from fathom.generation.results import Measured, TokenLogprob, Usage
from fathom.planning.predict import Forecast, Growth
from fathom.serving.frames import KINDS, LENGTH, TYPES, Frame, packed, unpacked
from fathom.serving.service import (
    Called,
    ChatAsk,
    Echoed,
    Ended,
    Ranking,
    Scored,
    TextAsk,
    Tool,
    ToolCall,
    Vectors,
    Written,
)

LIKELY = TokenLogprob(3, "a", -0.5, (TokenLogprob(4, "b\ufffd", float("-inf")),))
TOOL = Tool("look", "looks", {"type": "object", "properties": {"a": {"type": "string"}}})
EXAMPLES: dict[str, object] = {
    "chat": ChatAsk(
        "m",
        {"temperature": 0.5, "logit_bias": {3: 1.0}, "stop": ["a"]},
        2,
        messages=[{"role": "user", "content": [{"type": "image", "image": b"\x00\xff"}]}],
        tools=(TOOL,),
        choice=TOOL,
    ),
    "write": TextAsk("m", prompt=(1, 2, 3), echo=True),
    "count": ChatAsk("m", messages=[{"role": "user", "content": "hi"}]),
    "echoed": Echoed(0, "ab", (1, 2), (None, LIKELY)),
    "written": Written(1, "a", "b", (LIKELY,)),
    "called": Called(0, ToolCall("id", "look", "{}")),
    "ended": Ended(
        0,
        "tool_calls",
        Usage(3, 4, 1, 2),
        Measured(0.5, None, 3.5, 7, 0.1),
        Forecast(0.1, 2.0, 3.0, 10, {"weights": 10}, Growth(1, 2, 3, 4, 5), 1, Forecast(0.2)),
        "stop here",
    ),
    "ranking": Ranking([Scored(1, 0.5), Scored(0, 0.25)], 9),
}


def sent(frame: Frame) -> Frame:
    whole = packed(frame)
    assert LENGTH.unpack(whole[: LENGTH.size]) == (len(whole) - LENGTH.size,)
    return unpacked(whole[LENGTH.size :])


def plain(value: object) -> object:
    """Lists for tuples: which of the two a sequence is does not matter."""
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if hasattr(value, "__dataclass_fields__"):
        return {name: plain(getattr(value, name)) for name in value.__dataclass_fields__}
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    return value


@pytest.mark.parametrize("kind", TYPES)
def test_every_kind_comes_out_as_it_went_in(kind: str) -> None:
    found = sent(Frame(7, kind, EXAMPLES[kind]))
    assert (found.number, found.kind, type(found.content)) == (7, kind, TYPES[kind])
    assert plain(found.content) == plain(EXAMPLES[kind])
    assert TYPES[KINDS[TYPES[kind]]] is TYPES[kind]


@given(st.text(), st.binary(max_size=100), st.integers(0, 2**31))
def test_whatever_is_said_comes_out(text: str, picture: bytes, number: int) -> None:
    said = [{"role": "user", "content": [text.encode("utf-8", "replace").decode(), picture]}]
    found = sent(Frame(number, "chat", ChatAsk("m", messages=said)))
    assert found.content.messages == said and found.number == number


def test_vectors_keep_every_bit() -> None:
    vectors = np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32)
    found = sent(Frame(1, "vectors", Vectors(vectors, 9))).content
    assert np.array_equal(found.vectors, vectors) and found.tokens == 9


KINDS_OF_ERROR = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, FathomError)
]


@pytest.mark.parametrize("kind", KINDS_OF_ERROR, ids=lambda kind: kind.__name__)
def test_an_error_is_the_same_on_the_other_side(kind: type[FathomError]) -> None:
    error = kind.__new__(kind)
    Exception.__init__(error, "what, and what to do")
    error.code = "E_SOMETHING"
    found = sent(Frame(1, "error", error)).content
    assert type(found) is kind and str(found) == str(error) and found.code == "E_SOMETHING"


def test_the_seconds_to_wait_go_along_and_a_bug_says_nothing_of_itself() -> None:
    assert sent(Frame(1, "error", BusyError("later", 7.5))).content.retry_after == 7.5
    lost = sent(Frame(1, "error", ZeroDivisionError("a user's words"))).content
    assert isinstance(lost, AnswerLostError) and "words" not in str(lost)
    assert isinstance(sent(Frame(1, "error", RequestError("a"))).content, RequestError)


@given(st.binary(max_size=60))
def test_what_makes_no_sense_is_refused(body: bytes) -> None:
    """By the kinds of error that `Worker` takes for a broken one."""
    try:
        found = unpacked(body)
    except (ValueError, TypeError):
        return
    assert isinstance(found, Frame)
