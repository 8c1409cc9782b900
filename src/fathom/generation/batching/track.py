"""A sequence as the scheduler sees it: which tokens, how far, and what is next. No tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fathom.generation.forward import Course
    from fathom.generation.inserts import Insert


@dataclass(eq=False)
class Track:
    """One sequence on its way through the engine.

    Attributes:
        order: when it came; earlier ones go first, and are the last to be put back.
        tokens: the prompt and what was chosen so far.
        total: the most tokens that it can come to.
        root: what the names of its blocks begin with; sequences with different ones share nothing.
        owner: whoever asked: those who have little running go first.
        inserts: vectors that stand in places of the prompt.
        computed: tokens whose state is in memory.
        whole: tokens of the prompt that are read in whole pieces; None for all of the sequence.
        foreseen: tokens that were known when it came to wait, so that nobody will read them.
        names: of its complete blocks, as far as somebody asked (`prefixes.extend`).
        tables: for each pool, the page of every block of tokens.
        begun: for each pool, the first block that is still held.
        noted: blocks that others can find, or could not because they had the same.
        slot: where what recurrences remember of it lies.
        turns: the frequencies of its positions, (frequency_width,), where its model takes them so.
        course: its state, where that is in one piece.
        preempted: whether it was running before and has to be computed again.
    """

    order: int
    tokens: list[int]
    total: int
    root: bytes = b""
    owner: str = ""
    inserts: Sequence[Insert] = ()
    computed: int = 0
    whole: int | None = None
    foreseen: int = 0
    names: list[bytes] = field(default_factory=list)
    tables: list[list[int]] = field(default_factory=list)
    begun: list[int] = field(default_factory=list)
    noted: int = 0
    slot: int = 0
    turns: NDArray[np.float32] | None = None
    course: Course | None = None
    preempted: bool = False

    @property
    def rest(self) -> int:
        """Tokens that must go through the model before the next one can be chosen."""
        return len(self.tokens) - self.computed


@dataclass(frozen=True, slots=True, eq=False)
class Work:
    """Tokens `start` … `start` + `count` - 1 of a sequence, to go through the model now."""

    track: Track
    start: int
    count: int

    @property
    def last(self) -> bool:
        """Whether the scores after its last token choose the next one."""
        return self.start + self.count == len(self.track.tokens)

    @property
    def through(self) -> int:
        """Tokens that go through the model with it.

        Those of a prompt with vectors, which see one another, all do with its last work.
        """
        if not self.track.inserts:
            return self.count
        if not self.last:
            return 0
        course = self.track.course
        return self.start + self.count - (0 if course is None else len(course.ids))

    @property
    def tokens(self) -> list[int]:
        """The ids."""
        return self.track.tokens[self.start : self.start + self.count]
