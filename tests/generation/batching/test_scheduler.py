"""The order of things without a model: random traces of arrivals, ends and second thoughts.

What is written where is simulated: every page carries the names of the tokens that were written
in it, so that a page that is shared while somebody writes, or found by the wrong one, is seen.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fathom.generation.batching import prefixes
from fathom.generation.batching.page_pool import Block, PagePool
from fathom.generation.batching.paged_memory import PagedMemory, counts
from fathom.generation.batching.scheduler import Scheduler
from fathom.generation.batching.track import Track
from fathom.generation.batching.whole_memory import UNIT, WholeMemory
from fathom.programs.layout import PAGE_TOKENS
from fathom.programs.plan import PoolShape

WHOLE, WINDOW = PoolShape(None, 10), PoolShape(40, 10)
MOST_TOKENS, MIXED = 24, 12
STEPS = 3000  # after which a trace that is not done has starved somebody


@dataclass
class Asked:
    """A request of a trace: it begins with `shared` tokens of a common text, then its own."""

    shared: int
    own: int
    answer: int
    owner: str
    at: int  # the step at which it comes
    leaves: int | None  # steps after which it is given up

    def prompt(self, index: int) -> list[int]:
        return [*range(self.shared), *(1000 + 100 * index + place for place in range(self.own))]


ASKED = st.builds(
    Asked,
    shared=st.integers(1, 100),
    own=st.integers(0, 60),
    answer=st.integers(1, 40),
    owner=st.sampled_from(["", "a", "b"]),
    at=st.integers(0, 30),
    leaves=st.none() | st.integers(0, 60),
)


@dataclass
class House:
    """A scheduler and what a model would have written in its pages."""

    scheduler: Scheduler
    memory: PagedMemory
    written: dict[tuple[int, int], list[int]] = field(default_factory=dict)

    def copy(self) -> None:
        """Copy what is to be copied before anything is written."""
        for each in self.memory.copies():
            source = self.written[each.pool, each.source]
            self.written[each.pool, each.target] = list(source)

    def write(self, track: Track, start: int, count: int) -> None:
        """Write tokens where the tables say, and read all that the last of them sees."""
        for index, shape in enumerate(self.memory.shapes):
            pool, table = self.memory.pools[index], track.tables[index]
            for position in range(start, start + count):
                page = table[position // PAGE_TOKENS]
                assert pool.holders(page) == 1, "a page that others hold is written"
                places = self.written.setdefault((index, page), [-1] * PAGE_TOKENS)
                places[position % PAGE_TOKENS] = track.tokens[position]
            seen = 0 if shape.window is None else max(0, start - shape.window + 1)
            for position in range(seen, start + count):
                page = table[position // PAGE_TOKENS]
                found = self.written[index, page][position % PAGE_TOKENS]
                assert found == track.tokens[position], "a page holds somebody else's tokens"


def paged(shapes: tuple[PoolShape, ...], memory: int, sequences: int) -> PagedMemory:
    pages = counts(shapes, memory, sequences=sequences, context=256, most_tokens=MOST_TOKENS)
    return PagedMemory(shapes, pages, most_tokens=MOST_TOKENS)


def scheduler_of(memory: PagedMemory | WholeMemory, sequences: int, piece: int = 1) -> Scheduler:
    return Scheduler(
        memory,
        most_sequences=sequences,
        most_tokens=MOST_TOKENS,
        mixed_tokens=MIXED,
        piece=piece,
    )


@given(
    asked=st.lists(ASKED, min_size=1, max_size=12),
    shapes=st.sampled_from([(WHOLE,), (WINDOW,), (WHOLE, WINDOW)]),
    pages=st.integers(14, 60),
    sequences=st.integers(1, 6),
    whole=st.sampled_from([None, 0, PAGE_TOKENS]),
)
@settings(max_examples=150, deadline=None)
def test_any_trace_ends_with_every_page_free(
    asked: list[Asked],
    shapes: tuple[PoolShape, ...],
    pages: int,
    sequences: int,
    whole: int | None,
) -> None:
    """None is lost, none is shared while written, all that can fit is answered in the end."""
    memory = paged(shapes, 10 * pages, sequences)
    house = House(scheduler_of(memory, sequences), memory)
    scheduler = house.scheduler
    coming, there, done = list(enumerate(asked)), {}, 0
    for step in range(STEPS):
        for index, each in [pair for pair in coming if pair[1].at <= step]:
            coming.remove((index, each))
            prompt = each.prompt(index)
            total = len(prompt) + each.answer
            if memory.fits(total):
                track = Track(index, prompt, total, b"root", each.owner)
                track.whole = None if whole is None else min(whole, len(prompt) // 32 * 32)
                there[track] = (each, step)
                scheduler.add(track)
            else:
                done += 1
        works = scheduler.plan()
        assert len({work.track for work in works}) == len(works)
        assert sum(work.count for work in works) <= MOST_TOKENS
        house.copy()
        for work in works:
            house.write(work.track, work.start, work.count)
        for work in works:
            last = work.last
            scheduler.done(work)
            if last:
                work.track.tokens.append(5000 + len(work.track.tokens))
        assert works or not there
        for track, (each, began) in list(there.items()):
            ended = len(track.tokens) == track.total
            if ended or (each.leaves is not None and step >= began + each.leaves):
                scheduler.remove(track, sound=ended)
                del there[track]
                done += 1
        if not coming and not there:
            break
    assert done == len(asked)
    assert memory.free == memory.total
    assert not scheduler.running and not scheduler.waiting
    assert not memory._promised


@given(asked=st.lists(ASKED, min_size=1, max_size=8), room=st.integers(1, 6))
@settings(max_examples=50, deadline=None)
def test_states_in_one_piece_are_all_given_back(asked: list[Asked], room: int) -> None:
    memory = WholeMemory(room * UNIT, lambda total: 64 * -(-total // 64), lambda size: UNIT)
    scheduler = scheduler_of(memory, 4, piece=16)
    tracks = []
    for index, each in enumerate(asked):
        prompt = each.prompt(index)
        tracks.append(Track(index, prompt, len(prompt) + each.answer))
        scheduler.add(tracks[-1])
    for _ in range(STEPS):
        works = scheduler.plan()
        assert len(scheduler.running) <= room
        for work in works:
            assert work.last or (work.start + work.count) % 16 == 0, "cut elsewhere than alone"
            last = work.last
            scheduler.done(work)
            if last:
                work.track.tokens.append(7)
            if len(work.track.tokens) == work.track.total:
                scheduler.remove(work.track)
                tracks.remove(work.track)
        if not tracks:
            break
    assert not tracks
    assert memory.free == memory.total


def answered(scheduler: Scheduler, tracks: list[Track]) -> list[Track]:
    """Run tracks to their ends, and return them in the order in which they got there."""
    order = []
    for track in tracks:
        scheduler.add(track)
    for _ in range(STEPS):
        for work in scheduler.plan():
            last = work.last
            scheduler.done(work)
            if last:
                work.track.tokens.append(7)
            if len(work.track.tokens) == work.track.total:
                scheduler.remove(work.track)
                order.append(work.track)
        if len(order) == len(tracks):
            return order
    raise AssertionError("somebody starves")


def track(order: int, length: int, answer: int = 4, owner: str = "") -> Track:
    tokens = [1000 * (order + 1) + place for place in range(length)]
    return Track(order, tokens, length + answer, owner=owner)


def test_equal_ones_are_answered_as_they_came() -> None:
    scheduler = scheduler_of(paged((WHOLE,), 2000, 2), 2)
    tracks = [track(order, 30) for order in range(8)]
    assert [each.order for each in answered(scheduler, tracks)] == list(range(8))


def test_a_short_prompt_does_not_wait_for_a_long_one_nor_does_the_long_one_starve() -> None:
    scheduler = scheduler_of(paged((WHOLE,), 5000, 3), 3)
    tracks = [track(0, 240), *(track(order, 20) for order in range(1, 30))]
    ends = [each.order for each in answered(scheduler, tracks)]
    assert ends[0] == 1
    assert ends.index(0) < 15


def test_who_has_little_running_goes_first() -> None:
    scheduler = scheduler_of(paged((WHOLE,), 5000, 2), 2)
    heavy = [track(order, 20, owner="heavy") for order in range(10)]
    light = track(10, 20, owner="light")
    ends = [each.order for each in answered(scheduler, [*heavy, light])]
    assert ends.index(10) <= 3


def test_while_somebody_writes_prompts_are_read_in_small_pieces() -> None:
    scheduler = scheduler_of(paged((WHOLE,), 5000, 2), 2)
    writes, reads = track(0, 2, 50), track(1, 200)
    scheduler.add(writes)
    for work in scheduler.plan():
        scheduler.done(work)
    writes.tokens.append(7)
    scheduler.add(reads)
    assert [(work.track, work.count) for work in scheduler.plan()] == [(writes, 1), (reads, MIXED)]
    scheduler.remove(writes)
    assert [(work.track, work.count) for work in scheduler.plan()] == [(reads, MOST_TOKENS)]


def test_the_newest_is_put_back_and_goes_on_where_it_was() -> None:
    memory = paged((WHOLE,), 60, 2)
    scheduler = scheduler_of(memory, 2)
    tracks = [track(0, 30, 80), track(1, 30, 80)]
    assert [each.order for each in answered(scheduler, tracks)] == [0, 1]
    assert scheduler.preemptions > 0
    assert memory.free == memory.total == 6


class TestPrefixes:
    """What begins alike is read once."""

    def scheduler(self, *shapes: PoolShape) -> Scheduler:
        return scheduler_of(paged(shapes or (WHOLE,), 2000, 5), 5)

    def known(self, scheduler: Scheduler, later: Track) -> int:
        scheduler.add(later)
        scheduler.plan()
        return later.computed

    def ran(self, scheduler: Scheduler, length: int, root: bytes = b"") -> list[int]:
        tokens = list(range(length))
        answered(scheduler, [Track(0, tokens, length + 1, root)])
        return tokens[:length]

    @pytest.mark.parametrize(("length", "known"), [(96, 64), (97, 96), (31, 0), (100, 96)])
    def test_complete_blocks_are_known_but_the_last_token_is_computed(
        self, length: int, known: int
    ) -> None:
        scheduler = self.scheduler()
        tokens = self.ran(scheduler, length)
        assert self.known(scheduler, Track(1, tokens, length + 9)) == known

    @pytest.mark.parametrize(
        ("alike", "whole", "known"),
        [
            (50, 0, 50),
            (50, 32, 50),
            (50, 64, 32),  # of a piece all is read or nothing
            (33, 0, 32),  # a copy takes as long
            (30, 0, 30),
            (64, 0, 64),
            (90, None, 64),  # all is read in pieces
        ],
    )
    def test_of_the_page_where_two_part_the_later_one_has_a_copy(
        self, alike: int, whole: int | None, known: int
    ) -> None:
        scheduler = self.scheduler()
        first = list(range(100))
        others = [[*first[:shorter], *[7] * (100 - shorter)] for shorter in (alike - 1, 8)]
        for order, tokens in enumerate([first, *others]):
            answered(scheduler, [Track(order, list(tokens), 101, whole=whole)])
        scheduler.memory.copies()
        later = Track(5, [*first[:alike], *[9] * 40], 200, whole=whole)
        assert self.known(scheduler, later) == known
        copies = scheduler.memory.copies()
        assert len(copies) == (known % PAGE_TOKENS > 0) and not scheduler.memory.copies()
        assert [each.target for each in copies] == later.tables[0][known // 32 :][: len(copies)]

    def test_what_another_root_or_another_beginning_has_is_not(self) -> None:
        scheduler = self.scheduler()
        tokens = self.ran(scheduler, 100)
        assert self.known(scheduler, Track(1, list(tokens), 200, b"salt")) == 0
        assert self.known(scheduler, Track(2, [7, *tokens[1:]], 200)) == 0
        assert self.known(scheduler, Track(3, [*tokens[:40], 7, *tokens[41:]], 200)) == 32

    def test_equal_blocks_after_different_ones_have_different_names(self) -> None:
        names: list[list[bytes]] = [[], []]
        for own, first in zip(names, (1, 2), strict=True):
            prefixes.extend(own, [first, 2, 3, 4, 3, 4], b"root", 2)
        assert not set(names[0]) & set(names[1])
        assert len({*names[0], *names[1]}) == 6
        assert prefixes.root(b"ab", b"c") != prefixes.root(b"a", b"bc")

    def test_what_is_not_sound_is_forgotten_unless_others_hold_it(self) -> None:
        scheduler = self.scheduler()
        broken = Track(0, list(range(100)), 200)
        scheduler.add(broken)
        for _ in range(9):
            for work in scheduler.plan():
                scheduler.done(work)
        scheduler.remove(broken, sound=False)
        assert self.known(scheduler, Track(1, list(range(100)), 200)) == 0

    def test_with_a_window_only_what_is_in_reach_must_be_there(self) -> None:
        scheduler = self.scheduler(WINDOW)
        tokens = self.ran(scheduler, 200)
        later = Track(1, tokens, 300)
        assert self.known(scheduler, later) == 192
        assert later.begun == [(192 - 39) // PAGE_TOKENS]

    def test_those_that_come_together_wait_for_the_first_one(self) -> None:
        scheduler = self.scheduler()
        together = [Track(order, list(range(100)), 110) for order in range(4)]
        other = track(9, 20)
        for each in [*together, other]:
            scheduler.add(each)
        computed: Counter[Track] = Counter()
        for _ in range(STEPS):
            for work in scheduler.plan():
                scheduler.done(work)
                computed[work.track] += work.count
        assert computed == {together[0]: 100, **dict.fromkeys(together[1:], 4), other: 20}


def test_the_page_that_was_idle_for_longest_is_given_away_first() -> None:
    pool = PagePool(3)
    pages = [pool.take() for _ in range(3)]
    for page, name in zip(pages, (b"a", b"b", b"c"), strict=True):
        pool.name(page, Block(name, b"before", (page,)))
    for page in (pages[1], pages[0]):
        pool.release(page)
    pool.hold(pages[1])
    pool.release(pages[1])
    assert [block.name for block in pool.after(b"before")] == [b"c", b"b", b"a"]
    assert pool.take() == pages[0]
    assert [block.name for block in pool.after(b"before")] == [b"c", b"b"]
    assert (pool.find(b"a"), pool.find(b"b"), pool.find(b"c")) == (None, pages[1], pages[2])
    assert pool.take() == pages[1]
    with pytest.raises(IndexError):
        pool.take()


def test_a_window_gets_what_it_needs_and_the_rest_is_for_what_sees_everything() -> None:
    whole, window = PoolShape(None, 100), PoolShape(512, 100)
    pages = counts((whole, window), 10**6, sequences=8, context=32768, most_tokens=512)
    assert pages[1] == 8 * window.pages(32768, 512)
    assert sum(pages) == 10**4
    small = counts((whole, window), 10**4, sequences=8, context=32768, most_tokens=512)
    assert sum(small) <= 100
    assert min(small) >= 8
