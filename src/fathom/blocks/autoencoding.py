"""The halves of autoencoders: networks from pictures to latents and from latents to pictures."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from fathom.blocks.bricks import Convolution, GroupNorm
from fathom.blocks.build import Block
from fathom.blocks.pyramid import Middle
from fathom.ops.activation import ACTIVATIONS
from fathom.spec import autoencoder as spec


class PlaneEncoder(Block):
    """Planes in, at the same or a lower resolution out."""

    enter: Convolution
    levels: nn.ModuleList
    middle: Middle
    norm: GroupNorm
    leave: Convolution

    def __init__(self, described: spec.PlaneEncoder) -> None:
        super().__init__(described)
        self.activation = described.activation

    def forward(self, x: Tensor) -> Tensor:
        x = self.enter(x)
        for level in self.levels:
            x = level(x)
        return self.leave(self.norm.activated(self.middle(x), self.activation))


class PlaneDecoder(Block):
    """The way back, the middle first."""

    enter: Convolution
    middle: Middle
    levels: nn.ModuleList
    norm: GroupNorm
    leave: Convolution

    def __init__(self, described: spec.PlaneDecoder) -> None:
        super().__init__(described)
        self.activation = described.activation

    def forward(self, x: Tensor) -> Tensor:
        x = self.middle(self.enter(x))
        for level in self.levels:
            x = level(x)
        return self.leave(self.norm.activated(x, self.activation))


class Pooled(Block):
    """A wider look at the channels of each position."""

    widen: Convolution
    norm: GroupNorm
    narrow: Convolution

    def forward(self, x: Tensor) -> Tensor:
        return self.narrow(functional.relu(self.norm(self.widen(x))))


class TinyBlock(Block):
    """Three convolutions beside what came in."""

    pooled: Pooled | None
    convolutions: nn.ModuleList

    def __init__(self, described: spec.TinyBlock) -> None:
        super().__init__(described)
        self.activation = ACTIVATIONS[described.activation]

    def forward(self, x: Tensor) -> Tensor:
        x = x if self.pooled is None else x + self.pooled(x)
        first, second, third = self.convolutions
        inner = third(self.activation(second(self.activation(first(x)))))
        return functional.relu(inner + x, inplace=True)  # of a sum that nobody else holds


class TinyNetwork(Block):
    """Steps in a row; an activation may follow the first."""

    steps: nn.ModuleList

    def __init__(self, described: spec.TinyNetwork) -> None:
        super().__init__(described)
        self.activation = described.activation and ACTIVATIONS[described.activation]

    def forward(self, x: Tensor) -> Tensor:
        for index, step in enumerate(self.steps):
            x = step(x)
            if index == 0 and self.activation is not None:
                x = self.activation(x)
        return x
