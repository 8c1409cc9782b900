"""Hidden states of texts → one vector each."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from fathom.blocks.bricks import Linear
from fathom.blocks.build import Block
from fathom.ops.activation import ACTIVATIONS
from fathom.ops.pooling import POOLINGS
from fathom.spec import vector as spec


class Projection(Block):
    """``activation(linear(x))``."""

    linear: Linear

    def __init__(self, described: spec.Projection) -> None:
        super().__init__(described)
        self.activation = ACTIVATIONS[described.activation]

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(self.linear(x))


class TextVector(Block):
    """Pool, project, normalise: always in float32, which costs nothing at one row per text."""

    projections: nn.ModuleList

    def __init__(self, described: spec.TextVector) -> None:
        super().__init__(described)
        self.spec = described

    def forward(self, x: Tensor, positions: Tensor, *, normalise: bool | None = None) -> Tensor:
        """(batch, length, width), (batch, length) → (batch, vector width) float32.

        A negative position marks what is not to be pooled. `normalise` overrides the spec.
        """
        x = x.float()
        pooled = torch.cat([POOLINGS[way](x, positions) for way in self.spec.pooling], dim=-1)
        for projection in self.projections:
            pooled = projection(pooled)
        wanted = self.spec.normalise if normalise is None else normalise
        return functional.normalize(pooled, dim=-1) if wanted else pooled
