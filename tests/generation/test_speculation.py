"""Guesses change how many passes an answer takes, and nothing else of it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fathom.generation.forward import NativeForward
from fathom.generation.generate import Engine
from fathom.generation.request import Sampling
from fathom.generation.speculation import ALIKE, MOST, Lookup, Pace

from .conftest import CONTEXT, Tiny
from .test_native import PROMPT, forward, request, tokens


def course_of(tiny: Tiny) -> tuple[NativeForward, object]:
    native = forward(tiny, 64)
    course = native.begin(CONTEXT)
    assert course.guessable
    return native, course


def test_tokens_together_have_the_bits_of_single_ones_also_after_some_were_taken_back(
    tiny: Tiny,
) -> None:
    native, course = course_of(tiny)
    alone = native.begin(CONTEXT)
    for each in (course, alone):
        each.scores(PROMPT)
    length = len(PROMPT)
    course.each(PROMPT[:MOST])
    course.back(length + 2)
    rows = course.each(PROMPT[2 : 2 + MOST])
    singles = [alone.scores([token]) for token in PROMPT[: 2 + MOST]]
    np.testing.assert_array_equal(rows, np.stack(singles)[2:])
    assert course.ids == alone.ids


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"sampling": Sampling(temperature=0.9, top_k=20, seed=3)},
        {"sampling": Sampling(repetition_penalty=1.3)},
        {"logprobs": 2},
        {"stop": ("x",)},
    ],
    ids=["greedy", "sampled", "penalised", "logprobs", "stop"],
)
def test_answers_are_the_same_however_much_is_guessed(
    tiny: Tiny, options: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the last token of the answer, and in the state that is kept for the next turn."""
    native, _ = course_of(tiny)
    prompt = PROMPT + PROMPT[:40]
    found = []
    for most in (0, 1, MOST):
        monkeypatch.setattr(Pace, "wanted", lambda self, most=most: most)
        engine = Engine(native, tiny.tokenizer, context=CONTEXT)
        first = tokens(engine, request(prompt, **options))
        turn = (*prompt, *first[:-1], *b" More.")
        found.append((first, tokens(engine, request(turn, 20, **options))))
    assert found[0] == found[1] == found[2]


def test_a_text_that_repeats_itself_takes_fewer_passes(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    native, _ = course_of(tiny)
    passes = []
    run = native.program.run

    def counted(*given: object) -> object:
        passes.append(1)
        return run(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(native.program, "run", counted)
    monkeypatch.setattr(Pace, "wanted", lambda self: MOST)
    engine = Engine(native, tiny.tokenizer, context=CONTEXT)
    answer = tokens(engine, request())
    repeated = len(answer) - ALIKE - len({answer[i : i + 4] for i in range(len(answer) - ALIKE)})
    assert repeated > len(answer) // 3  # likeliest tokens of random weights soon go round
    assert len(passes) < len(answer) * 3 // 4


@given(st.lists(st.integers(0, 3), max_size=40), st.integers(0, MOST))
def test_what_followed_last_time_is_guessed(text: list[int], most: int) -> None:
    expected: list[int] = []
    for place in range(ALIKE, len(text)):
        if text[place - ALIKE : place] == text[-ALIKE:]:
            expected = text[place : place + most]
    assert Lookup(text).guesses(most) == expected


@pytest.mark.parametrize(("cost", "kept", "pays"), [(1.5, 3, True), (1.5, 0, False), (9, 3, False)])
def test_guessing_goes_on_where_it_pays(cost: float, kept: int, pays: bool) -> None:
    """A pass with guesses takes `cost` times as long, and `kept` of three are right."""
    pace = Pace()
    assert pace.wanted() == 0  # nothing to compare with yet
    tried = 0
    for _ in range(100):
        guesses = min(pace.wanted(), 3)
        tried += guesses > 0
        pace.note(guesses, min(kept, guesses), cost if guesses else 1.0)
    assert tried > 90 if pays else 0 < tried < 20
