"""Text encoders of pipelines: states of tokens, and a vector of the whole text."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fathom.blocks.bricks import Linear, Norm
from fathom.blocks.build import Block
from fathom.blocks.embedding import Embedding
from fathom.blocks.state import Passing, Step
from fathom.spec import diffusion as spec

_PASSING = Passing()


@dataclass(frozen=True)
class Read:
    """A text as it was read: the last states, those before the last layer, the vector.

    States are (batch, tokens, width), the vector (batch, vector).
    """

    last: Tensor
    before_last: Tensor
    vector: Tensor


class ClipText(Block):
    """Layers in which a token sees those before it."""

    embedding: Embedding
    layers: nn.ModuleList
    norm: Norm
    projection: Linear | None

    def __init__(self, described: spec.ClipText) -> None:
        super().__init__(described)
        self.ending = described.ending

    def forward(self, tokens: Tensor) -> Read:
        """Read token ids (batch, tokens), all of one length."""
        step = Step.dense(tokens.shape[0], 0, tokens.shape[1], tokens.device)
        x = before = self.embedding(tokens, step)
        for layer in self.layers:
            before, x = x, layer(x, step, _PASSING)
        last = self.norm(x)
        ends = tokens if self.ending is None else (tokens == self.ending).int()
        rows = torch.arange(len(tokens), device=tokens.device)
        vector = last[rows, ends.argmax(dim=1)]
        return Read(last, before, vector if self.projection is None else self.projection(vector))
