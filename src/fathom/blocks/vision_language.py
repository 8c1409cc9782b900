"""What joins a tower that sees to a decoder that writes."""

from __future__ import annotations

from torch import Tensor

from fathom.blocks.bricks import Linear
from fathom.blocks.build import Block
from fathom.ops.activation import ACTIVATIONS
from fathom.spec import vision_language as spec


class Connector(Block):
    """States (…, inputs) → vectors (…, width of the stream)."""

    up: Linear
    down: Linear

    def __init__(self, described: spec.Connector) -> None:
        super().__init__(described)
        self.activation = ACTIVATIONS[described.activation]

    def forward(self, x: Tensor) -> Tensor:
        return self.down(self.activation(self.up(x)))
