"""What hears windows of sound and writes about them: modules, or modules beside native programs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol, TypeAlias

import torch
from torch import Tensor, nn

from fathom.generation.module_pair import ModulePair, ModulePairCourse
from fathom.generation.native_pair import NativePair, NativePairCourse
from fathom.generation.pair_forward import PairCourse
from fathom.models.speech import Speech

if TYPE_CHECKING:
    from fathom.ops.program import Program
    from fathom.ops.program_pair import ProgramPair
    from fathom.spec.model import Writing
    from fathom.spec.speech import Speech as Spec

Heads: TypeAlias = Sequence[tuple[int, int]]  # pairs of layer and head


class SpeechWriter(Protocol):
    """A model of speech that windows are sent through."""

    @property
    def spec(self) -> Writing: ...

    def hear(self, window: Tensor) -> Tensor:
        """Return what is heard in windows (batch, bands, frames): (batch, positions, width)."""
        ...

    def begin(self, *, rows: int, capacity: int, source: int) -> PairCourse:
        """Return room for rows of `capacity` tokens about what is heard."""
        ...

    def looks(self, course: PairCourse, tokens: Sequence[int], heads: Heads) -> Tensor:
        """Return where heads look for each token of a whole text about what a course heard.

        The result is (heads, tokens, positions) float32; each row sums to one.
        """
        ...


class ModuleSpeech(ModulePair[Speech]):
    """All of it in PyTorch: the definition, on any device."""

    def hear(self, window: Tensor) -> Tensor:
        """Return what is heard in windows, (batch, positions, width)."""
        return self.model.hear(window).hidden

    def looks(self, course: PairCourse, tokens: Sequence[int], heads: Heads) -> Tensor:
        """Return where heads look for each token of a whole text, as `Speech.alignment`."""
        if not isinstance(course, ModulePairCourse):
            raise TypeError(f"{type(course).__name__} is no course of modules")
        return course.looks(tokens, heads)


class NativeSpeech(NativePair):
    """A tower of modules hears; what writes is native."""

    def __init__(
        self,
        spec: Spec,
        programs: ProgramPair,
        tower: nn.Module,
        looking: Callable[[Heads], Program],
    ) -> None:
        """Take programs, the tower, and what makes the program that says where heads look.

        That program's heads are in the order of layers, and of heads in a layer.
        """
        super().__init__(spec, programs)
        self.tower = tower
        self._make = looking
        self._looking: tuple[Heads, Program] | None = None  # made when words are first asked for

    def hear(self, window: Tensor) -> Tensor:
        """Return what is heard in windows, (batch, positions, width)."""
        heard: Tensor = self.tower(window)
        return heard

    def looks(self, course: PairCourse, tokens: Sequence[int], heads: Heads) -> Tensor:
        """Return where heads look for each token of a whole text; the course writes it afresh."""
        if not isinstance(course, NativePairCourse):
            raise TypeError(f"{type(course).__name__} is no course of native programs")
        ordered = sorted(set(heads))
        if self._looking is None or self._looking[0] != ordered:
            self._looking = ordered, self._make(ordered)
        shares = course.looks(self._looking[1], tokens)
        found = torch.from_numpy(shares).unflatten(1, (len(ordered), -1)).transpose(0, 1)
        return found[[ordered.index(pair) for pair in heads]][..., : course.read_tokens]
