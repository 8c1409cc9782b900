"""Paged state: what a sequence left behind lies in pages of a few tokens, found by a table.

One page holds the keys and values of `PAGE_TOKENS` tokens, of all layers that reach equally far
back. Layers with a window use their pages in turn. Recurrences have one slot for the sequence.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from fathom.blocks.frequencies import frequencies
from fathom.errors import ContextLengthError
from fathom.programs.layout import PAGE_TOKENS
from fathom.programs.plan import Plan

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fathom.spec.positions import Rotary


def turning(rotations: Sequence[Rotary], capacity: int) -> NDArray[np.float32]:
    """Return what a program takes of every rotation, (frequency_width,): frequencies and factor."""
    parts: list[NDArray[np.float32]] = []
    for rotary in rotations:
        turns, factor = frequencies(rotary, capacity)
        parts += [turns, np.asarray([factor])]
    joined = np.concatenate(parts) if parts else np.zeros(0)
    return joined.astype(np.float32)


def require_room(tokens: int, capacity: int) -> None:
    """Refuse to go beyond the tokens that a state was made for.

    Raises:
        ContextLengthError: when they are more.
    """
    if tokens > capacity:
        raise ContextLengthError(f"{tokens:,} tokens do not fit in a state made for {capacity:,}")


class PagedState:
    """The state of one sequence of up to `capacity` tokens, `most_tokens` of them at a time.

    Memory that no token has reached yet is not taken from the system.

    Attributes:
        pages: of each pool (bytes,) uint8.
        memory: (bytes,) uint8: the one slot, of what recurrences remember.
        tables: of each pool (1, pages) int32: where each `PAGE_TOKENS` positions lie.
        frequencies: (1, frequency_width) float32, for every rotation its frequencies and factor.
    """

    def __init__(
        self, plan: Plan, rotations: list[Rotary], *, capacity: int, most_tokens: int
    ) -> None:
        self.capacity = capacity
        self.used = 0
        kept = [pool.pages(capacity, most_tokens) for pool in plan.pools]
        self.pages: list[NDArray[np.uint8]] = [
            np.empty(count * pool.page_bytes, dtype=np.uint8)
            for pool, count in zip(plan.pools, kept, strict=True)
        ]
        self.memory: NDArray[np.uint8] = np.empty(plan.slot_bytes, dtype=np.uint8)
        every = np.arange(-(-capacity // PAGE_TOKENS), dtype=np.int32)
        self.tables: list[NDArray[np.int32]] = [(every % count)[None] for count in kept]
        self.frequencies = turning(rotations, capacity)[None]

    def advance(self, length: int) -> int:
        """Reserve places for the next tokens; return the position of the first.

        Raises:
            ContextLengthError: on advancing beyond the capacity.
        """
        start = self.used
        require_room(start + length, self.capacity)
        self.used += length
        return start

    def reset(self) -> None:
        """Forget everything, keeping the memory."""
        self.used = 0

    @property
    def nbytes(self) -> int:
        """Bytes of all pages and of the slot."""
        return self.memory.nbytes + sum(pages.nbytes for pages in self.pages)
