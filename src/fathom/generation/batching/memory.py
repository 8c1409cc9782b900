"""What a scheduler asks of the memory for states."""

from __future__ import annotations

from enum import Enum, auto
from typing import Protocol

from fathom.generation.batching.track import Track


class Entry(Enum):
    """Whether a sequence was let in."""

    DONE = auto()
    LATER = auto()  # another one is just computing what both begin with
    FULL = auto()


class Memory(Protocol):
    """Room for the state of sequences."""

    @property
    def free(self) -> int:
        """Pages that nobody holds."""
        ...

    @property
    def total(self) -> int:
        """All pages."""
        ...

    def fits(self, total: int) -> bool:
        """Tell whether a sequence of so many tokens fits when it is alone."""
        ...

    def known(self, track: Track) -> int:
        """Return how many tokens of a sequence would be known if it came in now."""
        ...

    def enter(self, track: Track, others: int) -> Entry:
        """Make room for all tokens of a sequence, and set how many are known already.

        `others` run beside it, and must be able to grow.
        """
        ...

    def reach(self, track: Track, tokens: int) -> bool:
        """Make room for the next tokens, up to so many in total; tell whether there was some."""
        ...

    def note(self, track: Track) -> None:
        """Take note that more tokens of a sequence are computed."""
        ...

    def leave(self, track: Track, *, sound: bool) -> None:
        """Free the room of a sequence; what it left is kept to be known again, if it is sound."""
        ...
