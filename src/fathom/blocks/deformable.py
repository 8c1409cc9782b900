"""Attention to a few places that each query chooses, in maps of several sizes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from fathom.blocks.bricks import Linear
from fathom.blocks.build import Block
from fathom.ops.deformable import deformable_attention
from fathom.spec import deformable as spec


class DeformableAttention(Block):
    """Queries (batch, queries, width) look at maps that lie one behind the other."""

    distances: Linear
    weights: Linear
    value: Linear
    output: Linear

    def __init__(self, described: spec.DeformableAttention) -> None:
        super().__init__(described)
        self.spec = described

    def forward(
        self, asking: Tensor, maps: Tensor, grids: Sequence[tuple[int, int]], lie: Tensor
    ) -> Tensor:
        """Return what queries find.

        Args:
            asking: (batch, queries, width), told where they lie.
            maps: (batch, places, width), those of all `grids` (rows, columns).
            lie: of each query, (1 or batch, queries, 2 or 4) float32 from 0 to 1: a place as x
                and y, or a box as its middle, width and height.
        """
        spec = self.spec
        value = self.value(maps).unflatten(2, (spec.heads, -1)).transpose(1, 2).float()
        shape = (spec.heads, spec.levels, spec.points)
        shares = self.weights(asking).float().unflatten(2, (spec.heads, -1)).softmax(dim=-1)
        shares = shares.unflatten(3, shape[1:]).transpose(1, 2)
        looks = self._looks(self.distances(asking).float().unflatten(2, (*shape, 2)), grids, lie)
        found = deformable_attention(value, grids, looks, shares)
        return self.output(found.transpose(1, 2).flatten(2).to(asking.dtype))

    def _looks(self, distances: Tensor, grids: Sequence[tuple[int, int]], lie: Tensor) -> Tensor:
        """Return where queries look, (batch, heads, queries, levels, points, 2)."""
        places = lie[:, :, None, None, None, :2]
        if lie.shape[-1] == 4:
            found = places + distances * (
                lie[:, :, None, None, None, 2:] * (0.5 / self.spec.points)
            )
        else:
            sizes = torch.tensor([grid[::-1] for grid in grids], device=lie.device)[:, None]
            found = places + distances / sizes
        return found.transpose(1, 2)
