"""Weights on their way into memory: as native programs, or as modules of PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fathom.checkpoint.contents import Contents
from fathom.checkpoint.description import Description
from fathom.checkpoint.progress import QUIET, Progress
from fathom.planning.machine import this_machine
from fathom.planning.opened import native
from fathom.planning.probe import usable_threads
from fathom.residency.programs import load_programs
from fathom.spec.decoder import Decoder
from fathom.spec.encoder import Encoder
from fathom.spec.encoder_decoder import EncoderDecoder
from fathom.spec.model import Layered, Writing
from fathom.spec.speech import Speech

if TYPE_CHECKING:
    from torch import nn

    from fathom.checkpoint.naming import Assignment
    from fathom.ops.program import Program
    from fathom.ops.program_pair import ProgramPair


@dataclass(frozen=True)
class Loading:
    """What is brought into memory, and how.

    Attributes:
        assignments: which tensors of the files become which parameters.
        dtype: the type that modules compute in.
        quant: what matrices of a program are packed as, where not as they are stored.
        whole: whether layers of what sees or hears are packed, and run whole.
    """

    description: Description
    assignments: Sequence[Assignment]
    dtype: str
    device: str
    quant: str | None
    whole: bool

    def program(self, progress: Progress, meanwhile: Callable[[], object]) -> Program | ProgramPair:
        """Pack the weights of what reads or writes text and return the native programs.

        `meanwhile` is done once while native threads pack.
        """
        return load_programs(
            self._written,
            self._contents,
            self.assignments,
            dtype=self.dtype,
            threads=usable_threads(this_machine()),
            quant=self.quant,
            progress=progress,
            meanwhile=meanwhile,
        )

    def packed_bytes(self) -> int:
        """Return the bytes of packed weights: about those of the files, if no others are asked."""
        if self.quant is None:
            return self._contents.size
        return native(self.description, self._written, self.dtype, None, self.quant).weight_bytes

    def modules(self, progress: Progress = QUIET) -> nn.Module:
        """Return modules with the weights, layers packed that run whole."""
        return self._modules(self.assignments, packed=self.whole, progress=progress)

    def plain(self) -> nn.Module:
        """Return modules in which every weight is a parameter."""
        return self._modules(self.assignments)

    def as_packed(self, program: Program | ProgramPair) -> nn.Module:
        """Return plain modules with the numbers that a program computes with."""
        from fathom.residency.packed import read_back

        module = self.plain()
        read_back(program.matrices, module)
        return module

    def tower(self, progress: Progress) -> nn.Module:
        """Return what hears, of a model of speech whose text native programs write."""
        own = [each for each in self.assignments if each.ours[0].startswith("encoder.")]
        return self._modules(own, packed=self.whole, progress=progress).get_submodule("encoder")

    def _modules(
        self,
        assignments: Sequence[Assignment],
        *,
        packed: bool = False,
        progress: Progress = QUIET,
    ) -> nn.Module:
        import torch

        from fathom.checkpoint.tensors import Reader
        from fathom.residency.resident import load

        torch.set_num_threads(usable_threads(this_machine()))  # for which the rates were measured
        with Reader(self._contents) as reader:
            return load(
                self.description.spec,
                reader,
                assignments,
                dtype=getattr(torch, self.dtype),
                device=self.device,
                packed=packed,
                progress=progress,
            )

    @property
    def _contents(self) -> Contents:
        assert self.description.contents is not None
        return self.description.contents

    @property
    def _written(self) -> Layered | Writing:
        """The spec of what native programs run."""
        spec = self.description.spec
        assert isinstance(spec, Decoder | Encoder | EncoderDecoder | Speech)
        return spec
