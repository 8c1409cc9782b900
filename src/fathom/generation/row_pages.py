"""Pages of rows that were one row before: what they have in common lies in memory once.

row 0   page 4   page 1   page 6      all three wrote the same 64 tokens;
row 1   page 4   page 1   page 2      each has a page of its own for what comes next
row 2   page 4   page 1   page 7
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from fathom.generation.pages import require_room
from fathom.programs.layout import PAGE_TOKENS
from fathom.programs.plan import Plan
from fathom.programs.steps import Place

if TYPE_CHECKING:
    from numpy.typing import NDArray


class RowPages:
    """The state of rows of up to `capacity` tokens of a plan that looks at a source.

    Memory that no token has reached yet is not taken from the system.

    Attributes:
        pages: of each pool of the plan's own (bytes,) uint8.
        table: (rows, pages) int32: where each `PAGE_TOKENS` positions lie, in every pool.
        used: tokens of each row.
    """

    def __init__(self, plan: Plan, *, rows: int, capacity: int) -> None:
        self.capacity = capacity
        self.used = 0
        each = -(-capacity // PAGE_TOKENS)
        self._count = rows * each
        own = [index for index, pool in enumerate(plan.pools) if not pool.source]
        self.pages: list[NDArray[np.uint8]] = [
            np.empty(self._count * plan.pools[index].page_bytes, dtype=np.uint8) for index in own
        ]
        self._parts = [_parts(plan, index) for index in own]
        self.table: NDArray[np.int32] = np.zeros((rows, each), dtype=np.int32)

    def advance(self, length: int) -> int:
        """Make room for the next tokens of each row; return the position of the first.

        Raises:
            ContextLengthError: on advancing beyond the capacity.
        """
        start = self.used
        require_room(start + length, self.capacity)
        for block in range(_blocks(start), _blocks(start + length)):
            self.table[:, block] = self._free(block)[: len(self.table)]
        self.used += length
        return start

    def reorder(self, rows: Sequence[int] | NDArray[np.intp]) -> None:
        """Let each row go on from what another had written."""
        self.table = np.ascontiguousarray(self.table[np.asarray(rows)])
        block = self.used // PAGE_TOKENS
        if self.used % PAGE_TOKENS == 0:
            return  # whole pages are not written to again
        held, free = set[int](), iter(self._free(block + 1).tolist())
        for row in self.table:
            page = int(row[block])
            if page in held:
                row[block] = next(free)
                self._copy(page, int(row[block]))
            held.add(page)

    def reset(self) -> None:
        """Forget everything, keeping the memory."""
        self.used = 0

    def _free(self, blocks: int) -> NDArray[np.intp]:
        """Return the pages that no row's first blocks lie in."""
        taken = np.zeros(self._count, dtype=bool)
        taken[self.table[:, :blocks]] = True
        return np.flatnonzero(~taken)

    def _copy(self, page: int, other: int) -> None:
        for pages, parts in zip(self.pages, self._parts, strict=True):
            for offset, size in parts:
                layer = pages[offset * self._count : (offset + size) * self._count]
                each = layer.reshape(self._count, size)
                each[other] = each[page]

    @property
    def nbytes(self) -> int:
        """Bytes of all pages."""
        return sum(pages.nbytes for pages in self.pages)


def _blocks(tokens: int) -> int:
    return -(-tokens // PAGE_TOKENS)


def _parts(plan: Plan, pool: int) -> list[tuple[int, int]]:
    """Return where each layer lies in a page, and its bytes there."""
    placed = [one.heads for one in plan.steps if isinstance(one, Place) and one.heads.pool == pool]
    ends = [*(heads.page_offset for heads in placed[1:]), plan.pools[pool].page_bytes]
    return [
        (heads.page_offset, end - heads.page_offset)
        for heads, end in zip(placed, ends, strict=True)
    ]
