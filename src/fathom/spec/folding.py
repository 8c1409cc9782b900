"""Repeats said once: how a long list of layers becomes a line that a person can read.

``[m, m, m, a, m, m, m, a]`` is ``[m ×3, a] ×2``. A pure function over anything that can be
compared: nothing here knows what a layer is.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import Generic, TypeVar

T = TypeVar("T", bound=Hashable)

LONGEST_PATTERN = 64  # layers; no published model repeats a longer one


@dataclass(frozen=True)
class Fold(Generic[T]):
    """A `pattern` that occurs `times` in a row, from position `first` on.

    Several times, or it is a single item.
    """

    first: int
    pattern: tuple[T, ...]
    times: int

    @property
    def last(self) -> int:
        """The last position that it covers."""
        return self.first + len(self.pattern) * self.times - 1

    @cached_property
    def runs(self) -> tuple[tuple[T, int], ...]:
        """The pattern with equal neighbours counted: ``(m, m, a)`` is ``((m, 2), (a, 1))``."""
        return tuple((item, len(list(same))) for item, same in groupby(self.pattern))


def fold(items: Sequence[T]) -> tuple[Fold[T], ...]:
    """Return the shortest description of a sequence as patterns, each repeated as it is.

    Short is few runs written down; of two that are equally short the one with fewer folds wins,
    then the one with the shorter pattern. Unfolding gives the sequence back.
    """
    numbers = {item: number for number, item in enumerate(dict.fromkeys(items))}
    coded = [numbers[item] for item in items]
    cheapest: list[tuple[int, int]] = [(0, 0)] * (len(items) + 1)  # (runs, folds) from here on
    chosen: list[tuple[int, int]] = [(0, 0)] * len(items)  # (period, times) to begin with
    repeats = _repeats(coded)
    for start in range(len(items) - 1, -1, -1):
        options = [
            (_after(cheapest[start + period * times], runs), period, times)
            for period, runs in _periods(coded, start)
            for times in _times(period, 1 + repeats[period - 1][start] // period)
        ]
        cheapest[start], *_ = best = min(options)
        chosen[start] = best[1:]
    return tuple(_walk(items, chosen))


def unfold(folds: Sequence[Fold[T]]) -> list[T]:
    """Return the sequence that was folded."""
    return [item for one in folds for item in one.pattern * one.times]


def _after(rest: tuple[int, int], runs: int) -> tuple[int, int]:
    return rest[0] + runs, rest[1] + 1


def _repeats(coded: Sequence[int]) -> list[list[int]]:
    """Return, per period and position, how many items equal the one a period further on."""
    table = []
    for period in range(1, min(LONGEST_PATTERN, len(coded)) + 1):
        equal = [0] * (len(coded) + 1)
        for at in range(len(coded) - period - 1, -1, -1):
            equal[at] = equal[at + 1] + 1 if coded[at] == coded[at + period] else 0
        table.append(equal)
    return table


def _periods(coded: Sequence[int], start: int) -> Iterator[tuple[int, int]]:
    """Yield each possible length of a pattern that begins at `start`, with its runs."""
    runs = 0
    for at in range(start, min(start + LONGEST_PATTERN, len(coded))):
        runs += at == start or coded[at] != coded[at - 1]
        yield at - start + 1, runs


def _times(period: int, most: int) -> Iterator[int]:
    """Yield how often a pattern may be taken; a longer one than a single item at least twice.

    A run may stop early, so that its last items can begin a pattern.
    """
    if period == 1:
        yield from range(1, min(most, LONGEST_PATTERN) + 1)
    if most > 1:
        yield most


def _walk(items: Sequence[T], chosen: Sequence[tuple[int, int]]) -> Iterator[Fold[T]]:
    at = 0
    while at < len(items):
        period, times = chosen[at]
        yield Fold(at, tuple(items[at : at + period]), times)
        at += period * times


def spans(positions: Sequence[int]) -> str:
    """Return ascending positions with neighbours joined: ``0-2, 5, 7-8``."""
    runs: list[list[int]] = []
    for position in positions:
        if runs and position == runs[-1][-1] + 1:
            runs[-1].append(position)
        else:
            runs.append([position])
    return ", ".join(str(r[0]) if len(r) == 1 else f"{r[0]}-{r[-1]}" for r in runs)
