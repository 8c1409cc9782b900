"""Blocks of denoisers of planes: moments as vectors, layers that look at a text, levels."""

from __future__ import annotations

from collections.abc import Sequence
from math import log
from typing import cast

import torch
from torch import Tensor, nn

from fathom.blocks.bricks import Convolution, GroupNorm, Linear
from fathom.blocks.build import Block
from fathom.blocks.cross import Source
from fathom.blocks.pyramid import Doubling, Halving, ResidualBlock
from fathom.blocks.state import MixerState, Passing, Step
from fathom.ops.activation import ACTIVATIONS
from fathom.ops.sinusoid import LONGEST
from fathom.spec import unet as spec


class Reading(Passing):
    """What one layer made of a text: keys and values, which are alike at every step."""

    def __init__(self) -> None:
        self._kept: dict[str, Tensor] = {}

    def recall(self, name: str) -> Tensor | None:
        return self._kept.get(name)

    def remember(self, name: str, value: Tensor) -> None:
        self._kept[name] = value


class Prompt:
    """A text as a denoiser sees it, (batch, tokens, width), and what its layers made of it."""

    def __init__(self, hidden: Tensor) -> None:
        self.source = Source(hidden)
        self._readings: dict[nn.Module, Reading] = {}

    def state(self, layer: nn.Module) -> MixerState:
        """Return what a layer made of it, or where it may keep that."""
        return self._readings.setdefault(layer, Reading())


def waves(numbers: Tensor, described: spec.Waves) -> Tensor:
    """Return numbers (…) as waves (…, width) float32."""
    half = described.width // 2
    steps = torch.arange(half, dtype=torch.float32, device=numbers.device)
    lengths = torch.exp(-log(LONGEST) * steps / (half - described.shift))
    angles = numbers[..., None].float() * lengths
    pair = (angles.sin(), angles.cos()) if described.sines_first else (angles.cos(), angles.sin())
    return torch.cat(pair, dim=-1)


class VectorMlp(Block):
    """Two maps with an activation between, on a vector that is told to all positions."""

    condition: Linear | None
    up: Linear
    down: Linear

    def __init__(self, described: spec.VectorMlp) -> None:
        super().__init__(described)
        self.activation = ACTIVATIONS[described.activation]

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        x = x.to(self.up.weight.dtype)
        if self.condition is not None and condition is not None:
            x = x + self.condition(condition)
        return self.down(self.activation(self.up(x)))


class Told(Block):
    """A text's vector, and sizes, as what is added to the moment."""

    embedding: VectorMlp

    def __init__(self, described: spec.Told) -> None:
        super().__init__(described)
        self.waves = described.waves

    def forward(self, vector: Tensor, sizes: Tensor) -> Tensor:
        """Take a text's vector (batch, vector) and sizes (batch, sizes)."""
        told = waves(sizes, self.waves).flatten(1)
        return self.embedding(torch.cat((vector.float(), told), dim=-1))


class SpatialTransformer(Block):
    """Layers over the positions of a plane, which see a text."""

    norm: GroupNorm
    enter: nn.Module
    layers: nn.ModuleList
    leave: nn.Module

    def __init__(self, described: spec.SpatialTransformer) -> None:
        super().__init__(described)
        self.linear = described.linear

    def forward(self, x: Tensor, prompt: Prompt) -> Tensor:
        batch, _, height, width = x.shape
        inner = self.norm(x)
        if not self.linear:
            inner = self.enter(inner)
        rows = inner.flatten(2).transpose(1, 2)  # (batch, positions, channels)
        rows = self.enter(rows) if self.linear else rows
        step = Step.dense(batch, 0, height * width, x.device)
        for layer in self.layers:
            rows = layer(rows, step, prompt.state(layer), prompt.source)
        rows = self.leave(rows) if self.linear else rows
        inner = rows.transpose(1, 2).unflatten(2, (height, width))
        return x + (inner if self.linear else self.leave(inner))


class UnetLevel(Block):
    """Blocks of one resolution; on the way up each joins what its twin left."""

    blocks: nn.ModuleList
    transformers: nn.ModuleList
    change: nn.Module | None

    def down(self, x: Tensor, time: Tensor, prompt: Prompt) -> list[Tensor]:
        """Return what is left at each point of the way down, the last being where it ends."""
        left = []
        for index, block in enumerate(self.blocks):
            x = self._look(index, block(x, time), prompt)
            left.append(x)
        if isinstance(self.change, Halving):
            left.append(self.change(x))
        return left

    def up(self, x: Tensor, time: Tensor, prompt: Prompt, left: list[Tensor]) -> Tensor:
        """Take from `left` what the twin left, and return where the next level begins."""
        for index, block in enumerate(self.blocks):
            x = block(torch.cat((x, left.pop()), dim=1), time)
            x = self._look(index, x, prompt)
        if isinstance(self.change, Doubling):
            height, width = left[-1].shape[2:]  # odd sizes were halved to the larger half
            return self.change(x, (int(height), int(width)))
        return x

    def _look(self, index: int, x: Tensor, prompt: Prompt) -> Tensor:
        return self.transformers[index](x, prompt) if len(self.transformers) else x


class UnetMiddle(Block):
    """The lowest resolution."""

    first: ResidualBlock
    transformer: SpatialTransformer | None
    second: ResidualBlock

    def forward(self, x: Tensor, time: Tensor, prompt: Prompt) -> Tensor:
        x = self.first(x, time)
        x = x if self.transformer is None else self.transformer(x, prompt)
        return self.second(x, time)


class Descent(Block):
    """From planes to the lowest resolution."""

    time: VectorMlp
    told: Told | None
    enter: Convolution
    levels: nn.ModuleList
    middle: UnetMiddle

    def __init__(self, described: spec.Descent) -> None:
        super().__init__(described)
        self.waves = described.waves

    def moment(
        self,
        moments: Tensor,
        *,
        vector: Tensor | None = None,
        sizes: Tensor | None = None,
        condition: Tensor | None = None,
    ) -> Tensor:
        """Return moments (batch,), and what else is told, as (batch, time width)."""
        time = self.time(waves(moments, self.waves), condition)
        if self.told is not None and vector is not None and sizes is not None:
            time = time + self.told(vector, sizes)
        return time

    def forward(
        self, x: Tensor, time: Tensor, prompt: Prompt, added: Tensor | None = None
    ) -> tuple[Tensor, list[Tensor]]:
        """Return the lowest planes, and what is left on the way; `added` joins what comes in."""
        x = self.enter(x)
        x = x if added is None else x + added
        left = [x]
        for level in self.levels:
            found = cast(UnetLevel, level).down(x, time, prompt)
            x = found[-1]
            left += found
        return self.middle(x, time, prompt), left


class Hint(Block):
    """A picture as planes of the size of latents."""

    enter: Convolution
    blocks: nn.ModuleList
    leave: Convolution

    def forward(self, picture: Tensor) -> Tensor:
        silu = ACTIVATIONS["silu"]
        x = silu(self.enter(picture))
        for block in self.blocks:
            x = silu(block(x))
        return self.leave(x)


def added_to(left: Sequence[Tensor], more: Sequence[Tensor]) -> list[Tensor]:
    """Return what a denoiser left with what a guide adds to it."""
    return [own + other for own, other in zip(left, more, strict=True)]
