"""Tokens in, scores out: the two ends of a text model."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from fathom.blocks.bricks import Linear, Norm, Table
from fathom.blocks.build import Block
from fathom.blocks.state import Step
from fathom.spec import decoder as spec


class Embedding(Block):
    """Token ids (batch, length) → hidden states (batch, length, width)."""

    tokens: Table
    positions: Table | None
    norm: Norm | None

    def __init__(self, described: spec.Embedding) -> None:
        super().__init__(described)
        self.scale = described.scale
        self.offset = described.position_offset

    def forward(self, tokens: Tensor, step: Step) -> Tensor:
        x = self.tokens(tokens)
        if self.scale != 1.0:
            x = x * self.scale
        if self.positions is not None:
            x = x + self.positions(step.positions.clamp(min=0) + self.offset)
        return x if self.norm is None else self.norm(x)


class Output(Block):
    """Hidden states (…, width) → scores (…, vocabulary); a tied one reads the embedding's table."""

    head: Linear | None

    def __init__(self, described: spec.Output) -> None:
        super().__init__(described)
        self.spec = described

    def forward(self, x: Tensor, embedding: Embedding) -> Tensor:
        if self.head is None:
            scores = functional.linear(x, embedding.tokens.weight)
        else:
            scores = self.head(x)
        if self.spec.scale != 1.0:
            scores = scores * self.spec.scale
        cap = self.spec.soft_cap
        return scores if cap is None else (scores / cap).tanh() * cap
