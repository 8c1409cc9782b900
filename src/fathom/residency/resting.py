"""Components that lie in memory only while they work, and are read again at their next turn.

A pipeline needs its text encoders, its denoiser and its autoencoder one after the other, so the
room for the largest of them is enough. What it costs is reading each component when its turn
comes, most often from the system's own cache of files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

import torch
from torch import nn

from fathom.blocks.pyramid import channels_last
from fathom.checkpoint.naming import Assignment
from fathom.models.assemble import assemble
from fathom.residency.allocation import hold_what_is_alive
from fathom.residency.resident import Source, fill
from fathom.spec.model import Model


class Resting:
    """A model whose components are without weights until their turn comes.

    Attributes:
        model: the module; the parameters of what rests are on PyTorch's meta device.
        device: where components are when they work.
    """

    def __init__(
        self,
        spec: Model,
        open_source: Callable[[], AbstractContextManager[Source]],
        assignments: Sequence[Assignment],
        *,
        dtype: torch.dtype,
        device: torch.device | str = "cpu",
    ) -> None:
        hold_what_is_alive()
        self.model = assemble(spec).eval()
        self.device = torch.device(device)
        self._spec = spec
        self._open_source = open_source
        self._assignments = tuple(assignments)
        self._dtype = dtype
        self._turns: dict[str, int] = {}  # of those awake: how many need them

    @contextmanager
    def awake(self, *names: str) -> Iterator[None]:
        """Have the weights of components in memory for as long as the block lasts.

        Raises:
            TensorMismatchError: when a tensor has another shape than the spec says.
            ModelFileError: when a file is not what it was any more.
        """
        woken: list[str] = []
        try:
            for name in names:
                self._wake(name)
                woken.append(name)
            yield
        finally:
            for name in woken:
                self._rest(name)

    def _wake(self, name: str) -> None:
        if not self._turns.get(name):
            mine = [each for each in self._assignments if each.ours[0].startswith(f"{name}.")]
            with self._open_source() as source:
                fill(self.model, self._spec, source, mine, dtype=self._dtype, device=self.device)
            channels_last(self.model.get_submodule(name))
        self._turns[name] = self._turns.get(name, 0) + 1

    def _rest(self, name: str) -> None:
        self._turns[name] -= 1
        if self._turns[name]:
            return
        for module in self.model.get_submodule(name).modules():
            for leaf, parameter in module.named_parameters(recurse=False):
                hollow = torch.empty_like(parameter, device="meta")
                setattr(module, leaf, nn.Parameter(hollow, requires_grad=False))
