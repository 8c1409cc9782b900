"""What joins a tower that sees to a decoder that writes."""

from __future__ import annotations

from torch import Tensor

from fathom.blocks.bricks import Linear, Norm
from fathom.blocks.build import Block
from fathom.ops.activation import ACTIVATIONS
from fathom.spec import vision_language as spec


class Connector(Block):
    """States of patches (batch, patches, inputs) → vectors (batch, places, width of the stream)."""

    before: Norm | None
    norm: Norm | None
    up: Linear
    down: Linear | None

    def __init__(self, described: spec.Connector) -> None:
        super().__init__(described)
        self.spec = described
        self.activation = ACTIVATIONS[described.activation]

    def forward(self, x: Tensor, grid: tuple[int, int]) -> Tensor:
        """Return the vectors of pictures whose patches stand in a `grid` of (rows, columns)."""
        x = x if self.before is None else self.before(x)
        x = x if self.spec.side == 1 else self._merged(x, *grid)
        x = self.up(x if self.norm is None else self.norm(x))
        return x if self.down is None else self.down(self.activation(x))

    def _merged(self, x: Tensor, rows: int, columns: int) -> Tensor:
        """Make one of each square of neighbours, (batch, patches, width) → (batch, places, …)."""
        side = self.spec.side
        cut = x.reshape(len(x), rows // side, side, columns // side, side, x.shape[-1])
        if self.spec.merged == "mean":
            return cut.mean(dim=(2, 4)).flatten(1, 2)
        return cut.transpose(2, 3).flatten(3).flatten(1, 2)
