"""Feed-forward blocks: gated and plain."""

from __future__ import annotations

from torch import Tensor

from fathom.blocks.bricks import Linear
from fathom.blocks.build import Block
from fathom.ops.activation import ACTIVATIONS
from fathom.spec import feed_forward as spec


class GatedMlp(Block):
    """``down(activation(gate(x)) * up(x))``."""

    gate: Linear
    up: Linear
    down: Linear

    def __init__(self, described: spec.GatedMlp) -> None:
        super().__init__(described)
        self.activation = ACTIVATIONS[described.activation]

    def forward(self, x: Tensor) -> Tensor:
        return self.down(self.activation(self.gate(x)) * self.up(x))


class Mlp(Block):
    """``down(activation(up(x)))``."""

    up: Linear
    down: Linear

    def __init__(self, described: spec.Mlp) -> None:
        super().__init__(described)
        self.activation = ACTIVATIONS[described.activation]

    def forward(self, x: Tensor) -> Tensor:
        return self.down(self.activation(self.up(x)))
