"""A running account of the memory that a forward pass holds: what is alive, and when it is most."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from fathom.planning.costs import BYTES, EXACT_BYTES


@dataclass(frozen=True)
class Pass:
    """One forward pass: `length` tokens of each of `batch` rows, that see up to `keys` positions.

    In a `padded` pass rows hold different numbers of tokens, so every layer builds a mask. Each
    of `threads` has buffers of its own in fused attention. `kept` says that keys and values go
    into a state; without it they live no longer than their layer.
    """

    batch: int
    length: int
    keys: int
    dtype: str
    threads: int = 1
    padded: bool = False
    kept: bool = True

    @property
    def tokens(self) -> int:
        return self.batch * self.length

    @property
    def size(self) -> int:
        """Bytes of one number of an activation."""
        return BYTES[self.dtype]

    @property
    def copied(self) -> int:
        """Bytes of one number's copy in float32: nothing where activations are float32 already."""
        return 0 if self.size == EXACT_BYTES else EXACT_BYTES


@dataclass
class Ledger:
    """Bytes alive now, the most there were, and what was being computed then."""

    alive: int = 0
    peak: int = 0
    moment: str = ""

    def hold(self, count: int, moment: str) -> None:
        """Take bytes that stay until the end of the scope."""
        self.alive += count
        self.at(moment)

    def at(self, moment: str, passing: int = 0) -> None:
        """Note a moment at which so many bytes are alive besides those that are held."""
        if self.alive + passing > self.peak:
            self.peak, self.moment = self.alive + passing, moment

    @contextmanager
    def scope(self) -> Iterator[None]:
        """What is held inside is let go of at the end, as the locals of a function are."""
        before = self.alive
        yield
        self.alive = before
