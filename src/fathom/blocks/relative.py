"""Learned scores of distances (Raffel et al., 2020, arXiv 1910.10683)."""

from __future__ import annotations

from torch import Tensor

from fathom.blocks.bricks import Table
from fathom.blocks.build import Block
from fathom.ops.distance import buckets
from fathom.spec import relative as spec


class DistanceScores(Block):
    """Positions of queries and keys → a score per head and pair."""

    scores: Table

    def __init__(self, described: spec.DistanceScores) -> None:
        super().__init__(described)
        self.spec = described

    def forward(self, queries: Tensor, keys: Tensor) -> Tensor:
        """(batch, length), (batch, keys) → (batch, heads, length, keys)."""
        ahead = keys[:, None, :] - queries[:, :, None]
        rows = buckets(
            ahead,
            count=self.spec.buckets,
            furthest=self.spec.furthest,
            both_directions=self.spec.both_directions,
        )
        return self.scores(rows).permute(0, 3, 1, 2)
