"""When a request would get its first token if it came now: the queue played out in large strides.

Everything that runs and waits is a pair, what is left to read and what it is likely to write yet.
From one end of something to the next nothing changes: who reads shares a step's room as in
`scheduler`, half for the oldest and half for the one that is nearly read, and all who write go a
token further. So a queue of a hundred is played out in some hundred strides.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fathom.generation.batching.pace import Law


@dataclass(slots=True, eq=False)
class Load:
    """Tokens of one request that are still to be read, and then to be written."""

    read: float
    written: float


@dataclass(frozen=True)
class Rules:
    """How steps are filled.

    Attributes:
        sequences: how many run together.
        alone: tokens that a step reads where nobody writes.
        beside: tokens that it reads beside those who do.
    """

    sequences: int
    alone: int
    beside: int


def until_first(
    law: Law, rules: Rules, running: Iterable[Load], waiting: Iterable[Load], asked: Load
) -> float:
    """Return the seconds until a request that comes last has its first token.

    Args:
        running: those with state in memory, oldest first.
        waiting: those that come in after them, the next one first.
        asked: the request itself.
    """
    there = [Load(each.read, each.written) for each in running]
    asked = Load(max(1.0, asked.read), asked.written)
    queue = deque([*(Load(each.read, each.written) for each in waiting), asked])
    seconds = 0.0
    while True:
        while queue and len(there) < rules.sequences:
            there.append(queue.popleft())
        seconds += _stride(law, rules, there)
        if asked.read <= 0:
            return seconds
        there = [each for each in there if each.read > 0 or each.written > 0]


def _stride(law: Law, rules: Rules, there: list[Load]) -> float:
    """Go on until somebody is read or has written all; return the seconds."""
    writing = [each for each in there if each.read <= 0]
    shares = _shares([each for each in there if each.read > 0], writing, rules)
    ends = [each.read / share for each, share in shares] + [each.written for each in writing]
    steps = max(1.0, min(ends))
    for each, share in shares:
        each.read -= min(each.read, share * steps)
    for each in writing:
        each.written -= steps
    return steps * law.seconds(sum(share for _, share in shares), len(writing))


def _shares(reading: list[Load], writing: list[Load], rules: Rules) -> list[tuple[Load, float]]:
    """Return who reads how many tokens in each of the coming steps."""
    if not reading:
        return []
    room = rules.beside if writing else rules.alone
    oldest, shortest = reading[0], min(reading, key=lambda each: each.read)
    if oldest is shortest:
        return [(oldest, min(room, oldest.read))]
    half = room / 2
    return [(oldest, min(half, oldest.read)), (shortest, min(half, shortest.read))]
