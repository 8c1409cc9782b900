"""The tower that hears, as its spec describes it."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from fathom.blocks.bricks import Convolution, Norm, Table
from fathom.blocks.build import Block
from fathom.blocks.state import Passing, Step
from fathom.ops.sinusoid import spanning_waves
from fathom.spec import audio as spec

_PASSING = Passing()


class SoundEncoder(Block):
    """Spectrograms (batch, bands, frames) → hidden states (batch, length, width)."""

    first: Convolution
    second: Convolution
    positions: Table | None
    layers: nn.ModuleList
    norm: Norm

    def __init__(self, described: spec.SoundEncoder) -> None:
        super().__init__(described)
        self.spec = described
        self.pooled = described.pooled

    def forward(self, spectrogram: Tensor, real: Tensor | None = None) -> Tensor:
        """Hear whole windows; `real` (batch, positions) is False where a row has no sound.

        Positions are those before any pooling. Frames fewer than a window's are heard as they
        are.
        """
        x = functional.gelu(self.first(spectrogram))
        x = functional.gelu(self.second(x)).transpose(1, 2)
        x = x + self._positions(x)
        whole = Step.dense(x.shape[0], 0, x.shape[1], x.device)
        step = whole if real is None else Step.padded(real)
        for layer in self.layers:
            x = layer(x, step, _PASSING)
        if self.pooled > 1:
            x = functional.avg_pool1d(x.transpose(1, 2), self.pooled).transpose(1, 2)
        return self.norm(x)

    def _positions(self, x: Tensor) -> Tensor:
        """Return what is added to states (batch, length, width), (length, width)."""
        if self.positions is not None:
            return self.positions.weight[: x.shape[1]]
        numbers = torch.arange(x.shape[1], device=x.device)
        return spanning_waves(numbers, self.spec.width).to(x.dtype)
