"""When a step hangs: never while nothing is known, else after several times what is expected."""

from __future__ import annotations

import pytest

from fathom.generation.batching.pace import Law, Pace
from fathom.generation.batching.progress import FOREVER, SEVERAL, Amounts, Progress
from fathom.generation.batching.track import Track, Work

LEAST, OPENING = 4.0, 60.0
EXPECTED = Law(each=0.5, reading=0.3, writing=0.5)  # of a large model
QUICK = Law(each=0.01, reading=0.001, writing=0.01)  # of a small one
PROMPT = Amounts(read=128, written=0)


def learned(*steps: tuple[int, int, float]) -> Pace:
    pace = Pace()
    for read, written, seconds in steps * 50:
        pace.learn(read, written, seconds)
    return pace


def longest(pace: Pace, expected: Law | None, amounts: Amounts, opening: float = 0.0) -> float:
    progress = Progress(pace, LEAST, opening)
    progress.expected = expected
    return progress.longest(amounts)


@pytest.mark.parametrize(
    ("pace", "expected", "amounts", "seconds"),
    [
        (Pace(), None, PROMPT, FOREVER),  # nothing is known
        (
            Pace(),
            EXPECTED,
            PROMPT,
            SEVERAL * (0.5 + 0.3 * 128),
        ),  # nobody reads a first prompt faster
        (Pace(), QUICK, PROMPT, LEAST),  # a small model
        (learned((64, 0, 0.05), (0, 8, 0.01)), QUICK, PROMPT, LEAST),
        (
            learned((64, 0, 10.0)),
            QUICK,
            Amounts(64, 0),
            SEVERAL * 10,
        ),  # or it is slow
        (learned((0, 1, 0.5)), EXPECTED, PROMPT, SEVERAL * (0.5 + 0.3 * 128)),  # nobody read yet
        (
            learned((0, 1, 0.5)),
            None,
            PROMPT,
            SEVERAL * 0.5 * 128,
        ),  # which is no slower than writing
    ],
)
def test_a_step_may_take_several_times_what_is_expected_of_it(
    pace: Pace, expected: Law | None, amounts: Amounts, seconds: float
) -> None:
    assert longest(pace, expected, amounts) == pytest.approx(seconds, rel=0.1)


def test_the_first_step_may_load_what_opening_left() -> None:
    assert longest(Pace(), QUICK, PROMPT, OPENING) == OPENING
    assert longest(learned((64, 0, 0.05)), QUICK, PROMPT, OPENING) == LEAST


def test_between_steps_nothing_runs() -> None:
    progress = Progress(learned((64, 0, 0.05), (0, 8, 0.01)), LEAST, OPENING)
    progress.expected = QUICK
    assert progress.now() == (0.0, 0.0)
    progress.begin(PROMPT)
    first, at_most = progress.now()
    again, _ = progress.now()
    assert 0 <= first <= again and at_most == LEAST
    progress.end()
    assert progress.now() == (0.0, 0.0)


def test_vectors_in_a_prompt_go_through_with_its_last_token() -> None:
    class Vectors:
        start, end, key, extent = 0, 1, 0, None

    def works(*inserts: object) -> list[Work]:
        track = Track(0, list(range(700)), 800, inserts=inserts)
        return [Work(track, 0, 512), Work(track, 512, 188)]

    assert [work.through for work in works()] == [512, 188]
    assert [work.through for work in works(Vectors())] == [0, 700]
    assert Amounts.of(works(Vectors())[1:]) == Amounts(700, 0)
