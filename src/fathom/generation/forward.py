"""Tokens in, scores out: what the engine knows of a decoder, and a native program as one.

A `Forward` begins courses; a `Course` is a state with what is in it, and takes tokens. In PyTorch
it is `generation/modules.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, TypeAlias

import numpy as np

from fathom.errors import UnsupportedTaskError
from fathom.generation.pages import PagedState
from fathom.generation.speculation import MOST
from fathom.ops.program import Batch, Program
from fathom.programs.lowering_decoder import rotations
from fathom.spec.decoder import Decoder

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from fathom.generation.inserts import Insert

    Scores: TypeAlias = Tensor | NDArray[np.float32]

CHUNK = 512  # prompt tokens per forward pass: bounds the workspace, and is enough to fill a GPU


class Course(Protocol):
    """One sequence on its way through a decoder.

    Attributes:
        ids: the tokens in its state.
        inserts: the vectors that stand in places of them.
    """

    ids: list[int]
    inserts: Sequence[Insert]

    @property
    def capacity(self) -> int:
        """The most tokens that it can hold."""
        ...

    def scores(self, tokens: Sequence[int]) -> Scores:
        """Take tokens in, and return the scores after the last one, (vocabulary,)."""
        ...

    def reset(self) -> None:
        """Forget everything, keeping the memory."""
        ...


class Described(Protocol):
    """What is asked of a description: positions that there may be, and tokens that are known."""

    @property
    def context(self) -> int: ...

    @property
    def vocabulary(self) -> int: ...


class Forward(Protocol):
    """A decoder that sequences can be sent through."""

    @property
    def spec(self) -> Described: ...

    @property
    def device(self) -> str:
        """Where scores are, as PyTorch spells it."""
        ...

    def begin(self, capacity: int) -> Course:
        """Return an empty course for up to so many tokens."""
        ...


class NativeForward:
    """A decoder as a program of native steps. No torch is loaded for it."""

    device = "cpu"

    def __init__(self, spec: Decoder, program: Program) -> None:
        self.spec = spec
        self.program = program
        self.rotations = rotations(spec)

    def begin(self, capacity: int) -> NativeCourse:
        """Return an empty course, its pages not yet taken from the system."""
        most_tokens = self.program.most_tokens
        state = PagedState(
            self.program.plan, self.rotations, capacity=capacity, most_tokens=most_tokens
        )
        return NativeCourse(self.program, state)


class NativeCourse:
    """One sequence and its pages."""

    def __init__(self, program: Program, state: PagedState) -> None:
        self.ids: list[int] = []
        self.inserts: Sequence[Insert] = ()
        self._program = program
        self._state = state

    @property
    def capacity(self) -> int:
        """The most tokens that it can hold."""
        return self._state.capacity

    def scores(self, tokens: Sequence[int]) -> NDArray[np.float32]:
        """Take tokens in, and return the scores after the last one, (vocabulary,).

        Raises:
            ContextLengthError: when there are more than it can hold.
            UnsupportedTaskError: for a prompt with vectors, which modules take.
        """
        if self.inserts:
            raise UnsupportedTaskError(
                "native programs take tokens alone; set FATHOM_VARIANT=reference to put vectors"
                " in a prompt"
            )
        for start in range(0, len(tokens), self._program.most_tokens):
            chunk = tokens[start : start + self._program.most_tokens]
            last = start + len(chunk) == len(tokens)
            found = self._run(chunk, [len(chunk) - 1] if last else [])
        return found[0]

    def _run(self, tokens: Sequence[int], outputs: Sequence[int]) -> NDArray[np.float32]:
        batch = Batch(
            ids=np.asarray(tokens, dtype=np.int32),
            counts=(len(tokens),),
            starts=(self._state.advance(len(tokens)),),
            tables=self._state.tables,
            frequencies=self._state.frequencies,
            outputs=np.asarray(outputs, dtype=np.int32),
            slots=(0,),
        )
        found = self._program.run(batch, self._state.pages, self._state.memory)
        self.ids += tokens
        return found

    @property
    def guessable(self) -> bool:
        """Whether it takes tokens that may be taken back: what recurrences remember cannot be."""
        return self._program.plan.slot_bytes == 0 and self._program.most_tokens > MOST

    def each(self, tokens: Sequence[int]) -> NDArray[np.float32]:
        """Take a few tokens in, and return the scores after each, (tokens, vocabulary).

        Raises:
            ContextLengthError: when there are more than it can hold.
        """
        return self._run(tokens, range(len(tokens)))

    def back(self, length: int) -> None:
        """Forget all tokens but the first `length`, of the few that came last."""
        self._state.used = length
        del self.ids[length:]

    def reset(self) -> None:
        """Forget everything, keeping the memory."""
        self._state.reset()
        self.ids, self.inserts = [], ()
