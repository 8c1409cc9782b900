"""One half of a model that reads and writes: an embedding, layers and a norm."""

from __future__ import annotations

from torch import Tensor, nn

from fathom.blocks.bricks import Norm, Table
from fathom.blocks.build import Block
from fathom.blocks.cross import Source
from fathom.blocks.embedding import Embedding
from fathom.blocks.relative import DistanceScores
from fathom.blocks.state import Passing, State, Step

_PASSING = Passing()


class Stack(Block):
    """One half: an embedding, layers, a norm, and scores of distances that its layers share."""

    embedding: Embedding
    distances: DistanceScores | None
    layers: nn.ModuleList
    norm: Norm | None

    def forward(
        self,
        tokens: Tensor,
        step: Step,
        table: Table,
        *,
        state: State | None = None,
        source: Source | None = None,
    ) -> Tensor:
        """Return hidden states, (batch, length, width); some layers look at a `source`."""
        x = self.embedding(tokens, step, table=table)
        if self.distances is not None:
            step = step.scored(self.distances)
        states = [_PASSING] * len(self.layers) if state is None else state.layers
        looking = () if source is None else (source,)
        for layer, memory in zip(self.layers, states, strict=True):
            x = layer(x, step, memory, *looking)
        return x if self.norm is None else self.norm(x)
