"""What the engine knows of a model that reads or hears, and writes about it.

A `PairForward` begins courses; a `PairCourse` holds a source and texts that are written about it
side by side. In PyTorch it is `generation/module_pair.py`, natively `generation/native_pair.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, TypeAlias

from fathom.spec.model import Writing

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    Floats: TypeAlias = NDArray[np.float32]
    Scores: TypeAlias = Tensor | Floats
    Rows: TypeAlias = Sequence[int] | NDArray[np.intp]


class PairCourse(Protocol):
    """Texts of one length on their way, each row beside the others, about a source."""

    @property
    def used(self) -> int:
        """Tokens that were written in each row."""
        ...

    def read(self, texts: Sequence[Sequence[int]]) -> None:
        """Take what is to be read: one text for all rows, or one of the same length for each."""
        ...

    def hear(self, hidden: Tensor) -> None:
        """Take what was heard, (1, length, width) for all rows, or (rows, length, width)."""
        ...

    def scores(self, tokens: Sequence[Sequence[int]], places: Sequence[int] = (-1,)) -> Scores:
        """Add as many tokens to each row; return the scores at some of their places.

        They are (rows · places, vocabulary), the places of a row one after the other.

        Raises:
            ContextLengthError: when there are more than it can hold.
        """
        ...

    def reorder(self, rows: Rows) -> None:
        """Let each row go on from what another had written; all look at the same source."""
        ...

    def rewind(self) -> None:
        """Forget what was written, and keep the source."""
        ...

    def reset(self) -> None:
        """Forget both, keeping the memory."""
        ...


class PairForward(Protocol):
    """A model whose texts look at a source."""

    @property
    def spec(self) -> Writing: ...

    @property
    def device(self) -> str:
        """Where scores are, as PyTorch spells it."""
        ...

    def begin(self, *, rows: int, capacity: int, source: int) -> PairCourse:
        """Return room for rows of `capacity` tokens about a source of up to `source` tokens."""
        ...
