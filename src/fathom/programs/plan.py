"""Plans: a flat list of steps over named rows, which pages they fill, and how large all that is.

A `Plan` is data: it names rows, weights and what is done in which order, and can be printed. With
weights it becomes a program (`ops.program`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from fathom.programs.layout import ALIGNMENT, PAGE_TOKENS
from fathom.programs.steps import Rows

if TYPE_CHECKING:
    from fathom.programs.assembly import Assembly


class NoProgramError(Exception):
    """A part that no step expresses. Never leaves the house: it becomes a reason."""


class Step(Protocol):
    """Something that is done to all rows: what `programs.steps` and its neighbours hold."""

    def build(self, to: Assembly) -> None:
        """Add it to a native program."""
        ...


@dataclass(frozen=True)
class PoolShape:
    """Pages of layers with one reach: of `window` tokens, or of all; or those of a `source`."""

    window: int | None
    page_bytes: int
    source: bool = False

    def pages(self, capacity: int, most_tokens: int) -> int:
        """Return the pages that one sequence needs: with a window, what is in reach of a step."""
        every = -(-capacity // PAGE_TOKENS)
        if self.window is None:
            return every
        return min(every, -(-(self.window + most_tokens) // PAGE_TOKENS) + 1)


@dataclass(frozen=True)
class Plan:
    """What is computed, in order; printable."""

    rows: Mapping[str, Rows]
    steps: tuple[Step, ...]
    pools: tuple[PoolShape, ...]
    frequency_width: int
    vocabulary: int
    slot_bytes: int = 0  # of what recurrences remember of a sequence
    delivered: int | None = None  # numbers of a result, where those are no scores

    @property
    def result_width(self) -> int:
        """Numbers that come out for a token: of hidden states where those are, else scores."""
        return self.vocabulary if self.delivered is None else self.delivered

    def row_bytes(self) -> int:
        """Return the bytes of all rows for one token, about: float32 and what it becomes."""
        numbers = sum(rows.width * rows.repeats for rows in self.rows.values())
        remainders = sum(rows.refined * rows.repeats for rows in self.rows.values())
        return numbers * (4 + 2) + remainders * ALIGNMENT

    def page_bytes(self, capacity: int, most_tokens: int) -> int:
        """Return the bytes of one sequence's own pages, of up to `capacity` tokens."""
        own = (pool for pool in self.pools if not pool.source)
        return sum(pool.pages(capacity, most_tokens) * pool.page_bytes for pool in own)

    def source_bytes(self, length: int) -> int:
        """Return the bytes of the pages of a source of `length` tokens, which may be looked at."""
        read = (pool for pool in self.pools if pool.source)
        return sum(pool.pages(length, length) * pool.page_bytes for pool in read)

    def state_bytes(self, capacity: int, most_tokens: int) -> int:
        """Return the bytes of one sequence of up to `capacity` tokens: its pages and its slot."""
        return self.page_bytes(capacity, most_tokens) + self.slot_bytes
