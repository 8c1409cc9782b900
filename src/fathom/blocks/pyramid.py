"""Blocks of networks of planes (batch, channels, height, width) that change their resolution."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from fathom.blocks.attention import Attention
from fathom.blocks.bricks import Convolution, GroupNorm, Linear
from fathom.blocks.build import Block
from fathom.blocks.state import Passing, Step
from fathom.ops.activation import ACTIVATIONS
from fathom.spec import pyramid as spec

_PASSING = Passing()
M = TypeVar("M", bound=nn.Module)


def channels_last(module: M) -> M:
    """Lay kernels of convolutions out as the quickest programs take them; their shapes stay."""
    for parameter in module.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    return module


class ResidualBlock(Block):
    """Norm, activation, convolution, twice, beside a shortcut."""

    enter_norm: GroupNorm
    enter: Convolution
    time: Linear | None
    leave_norm: GroupNorm
    leave: Convolution
    shortcut: Convolution | None

    def __init__(self, described: spec.ResidualBlock) -> None:
        super().__init__(described)
        self.activation = described.activation
        self.scaled, self.divisor = described.scaled, described.divisor

    def forward(self, x: Tensor, time: Tensor | None = None) -> Tensor:
        """Pass planes; `time` (batch, time width) is what the moment of a denoiser says."""
        said = self._said(time)
        inner = self.enter_norm.activated(x, self.activation)
        if said is None or not self.scaled:  # a line for each, so that none outlives its use
            inner = self.enter(inner, shift=said)
            inner = self.leave_norm.activated(inner, self.activation)
        else:
            scale, shift = said[:, :, None, None].chunk(2, dim=1)
            inner = self.leave_norm(self.enter(inner)) * (1 + scale) + shift
            inner = ACTIVATIONS[self.activation](inner)
        came = x if self.shortcut is None else self.shortcut(x)
        joined = self.leave(inner, added=came)
        return joined if self.divisor == 1.0 else joined / self.divisor

    def _said(self, time: Tensor | None) -> Tensor | None:
        """Return what the moment says to each channel: shifts before the norm, or more after it."""
        if self.time is None or time is None:
            return None
        return self.time(ACTIVATIONS[self.activation](time))


class Halving(Block):
    """A convolution of stride two."""

    convolution: Convolution

    def __init__(self, described: spec.Halving) -> None:
        super().__init__(described)
        self.uneven = described.uneven

    def forward(self, x: Tensor) -> Tensor:
        return self.convolution(functional.pad(x, (0, 1, 0, 1)) if self.uneven else x)


class Doubling(Block):
    """Every position becomes several alike, then a convolution."""

    convolution: Convolution

    def __init__(self, described: spec.Doubling) -> None:
        super().__init__(described)
        self.factor = described.factor

    def forward(self, x: Tensor, size: tuple[int, int] | None = None) -> Tensor:
        """Pass planes; `size` is what they shall become, where it is not the factor's."""
        height, width = x.shape[2:]
        larger = height * self.factor, width * self.factor
        return self.convolution(x, size=larger if size is None else size)


class PlaneAttention(Block):
    """Attention among the positions of a plane."""

    norm: GroupNorm
    attention: Attention

    def forward(self, x: Tensor) -> Tensor:
        batch, _, height, width = x.shape
        rows = self.norm(x).flatten(2).transpose(1, 2)  # (batch, positions, channels)
        step = Step.dense(batch, 0, height * width, x.device)
        mixed = self.attention(rows, step, _PASSING)
        return x + mixed.transpose(1, 2).unflatten(2, (height, width))


class Middle(Block):
    """A block, attention where there is some, another block."""

    first: ResidualBlock
    attention: PlaneAttention | None
    second: ResidualBlock

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        x = x if self.attention is None else self.attention(x)
        return self.second(x)


class Level(Block):
    """Blocks of one resolution, then the way to the next."""

    blocks: nn.ModuleList
    change: Halving | Doubling | None

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        return x if self.change is None else self.change(x)
