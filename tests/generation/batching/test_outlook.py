"""What a request would wait: the law of steps found again, the queue played out as it then goes."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fathom.generation.batching.outlook import Load, Rules, until_first
from fathom.generation.batching.pace import Pace
from fathom.generation.batching.paged_memory import PagedMemory
from fathom.generation.batching.scheduler import Scheduler
from fathom.generation.batching.track import Track
from fathom.programs.plan import PoolShape

EACH, READ, WRITTEN = 0.004, 0.001, 0.0015  # seconds of a step, of a token read, of one written
STRIDES = 4 * (EACH + READ * 128)  # who goes first in a step may be another
RULES = Rules(sequences=4, alone=128, beside=64)


def paced() -> Pace:
    pace = Pace()
    for step in range(400):
        read, written = 64 * (step % 3), step % 5
        pace.learn(read, written, EACH + READ * read + WRITTEN * written)
    return pace


def test_the_law_of_steps_is_found_again_and_forgotten_when_it_changes() -> None:
    pace = Pace()
    assert pace.law().seconds(64, 3) == 0.0
    pace = paced()
    for read, written in [(0, 1), (64, 0), (128, 16), (30, 4)]:
        expected = EACH + READ * read + WRITTEN * written
        assert pace.law().seconds(read, written) == pytest.approx(expected, rel=0.02)
    for _ in range(800):
        pace.learn(64, 4, 1.0)
    assert pace.law().seconds(64, 4) == pytest.approx(1.0, rel=0.02)


def test_steps_all_alike_tell_what_such_a_step_takes() -> None:
    pace = Pace()
    for _ in range(20):
        pace.learn(0, 1, 0.01)
    assert pace.law().seconds(0, 1) == pytest.approx(0.01, rel=0.05)
    assert pace.law().seconds(64, 8) >= 0.01


def played(asked: list[tuple[int, int]]) -> float:
    """Return when the last of some requests has its first token, step by step as they really go."""
    memory = PagedMemory((PoolShape(None, 1),), [10_000], most_tokens=RULES.alone)
    scheduler = Scheduler(
        memory, most_sequences=RULES.sequences, most_tokens=RULES.alone, mixed_tokens=RULES.beside
    )
    tracks = [
        Track(order, [1000 * order + place for place in range(prompt)], prompt + answer)
        for order, (prompt, answer) in enumerate(asked)
    ]
    for track in tracks:
        scheduler.add(track)
    seconds = 0.0
    while True:
        works = scheduler.plan()
        written = sum(work.count == 1 for work in works)
        read = sum(work.count for work in works) - written
        seconds += EACH + READ * read + WRITTEN * written
        for work in works:
            last = work.last
            scheduler.done(work)
            if not last:
                continue
            work.track.tokens.append(7)
            if work.track is tracks[-1]:
                return seconds
            if len(work.track.tokens) == work.track.total:
                scheduler.remove(work.track)


@given(st.lists(st.tuples(st.integers(2, 400), st.integers(2, 80)), min_size=1, max_size=24))
@settings(max_examples=40, deadline=None)
def test_the_queue_is_played_out_as_it_goes(asked: list[tuple[int, int]]) -> None:
    loads = [Load(prompt, answer) for prompt, answer in asked]
    found = until_first(paced().law(), RULES, (), loads[:-1], loads[-1])
    assert found == pytest.approx(played(asked), rel=0.4, abs=STRIDES)
    assert [load.read for load in loads] == [prompt for prompt, _ in asked]


def test_nobody_there_is_one_s_own_reading_and_every_other_adds_to_it() -> None:
    law, asked = paced().law(), Load(100, 10)
    alone = until_first(law, RULES, (), (), asked)
    assert alone == pytest.approx(EACH + READ * 100, rel=0.05)
    waits = [until_first(law, RULES, [Load(0, 50)] * 4, [Load(80, 50)] * n, asked) for n in (0, 9)]
    assert alone < waits[0] < waits[1]
