"""Tokens in, scores out: the two ends of a text model."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from fathom.blocks.bricks import Linear, Norm, Table
from fathom.blocks.build import Block
from fathom.blocks.state import Step
from fathom.ops.sinusoid import waves
from fathom.spec import decoder as spec
from fathom.spec.positions import Sinusoid


@dataclass(frozen=True)
class Given:
    """Vectors that stand where tokens would: of pictures, of sound, of the frames of a video.

    `places` (batch, length) is True where one stands; `vectors` (n, width) are theirs, row by row
    in the order of reading.
    """

    places: Tensor
    vectors: Tensor

    def put_into(self, x: Tensor) -> Tensor:
        """Return hidden states (batch, length, width) with the vectors in their places."""
        return x.masked_scatter(self.places[..., None], self.vectors.to(x.dtype))


class Embedding(Block):
    """Token ids (batch, length) → hidden states (batch, length, width)."""

    tokens: Table | None  # None where another embedding's table is shared
    widen: Linear | None
    positions: Table | None
    token_types: Table | None
    norm: Norm | None

    def __init__(self, described: spec.Embedding) -> None:
        super().__init__(described)
        self.scale = described.scale
        self.offset = described.position_offset
        self.sinusoid = described.positions if isinstance(described.positions, Sinusoid) else None

    def forward(
        self,
        tokens: Tensor,
        step: Step,
        *,
        types: Tensor | None = None,
        table: Table | None = None,
        given: Given | None = None,
    ) -> Tensor:
        """Look tokens up, in `table` where it is another's; `types` (batch, length) are 0 unsaid.

        A padding token stands at position 0; nothing sees it. Vectors that are `given` take the
        places of tokens as they are, before positions are added.
        """
        x = self.table(table)(tokens)
        if self.scale != 1.0:
            x = x * self.scale
        if self.widen is not None:
            x = self.widen(x)
        if given is not None:
            x = given.put_into(x)
        if self.positions is not None:
            x = x + self.positions(step.positions.clamp(min=0) + self.offset)
        if self.sinusoid is not None:
            x = x + waves(step.positions, self.sinusoid.width).to(x.dtype)
        if self.token_types is not None:
            x = x + self.token_types(torch.zeros_like(tokens) if types is None else types)
        return x if self.norm is None else self.norm(x)

    def table(self, shared: Table | None = None) -> Table:
        """Return the table of tokens: this one's own, or the one that it shares."""
        table = self.tokens if shared is None else shared
        if table is None:
            raise TypeError("a shared embedding must be given the table that it shares")
        return table


class Output(Block):
    """Hidden states (…, width) → scores (…, vocabulary); a tied one reads the tokens' `table`."""

    narrow: Linear | None
    head: Linear | None
    bias: Tensor | None  # of a tied output

    def __init__(self, described: spec.Output) -> None:
        super().__init__(described)
        self.spec = described

    def forward(self, x: Tensor, table: Table) -> Tensor:
        if self.narrow is not None:
            x = self.narrow(x)
        if self.head is None:
            scores = functional.linear(x.to(table.weight.dtype), table.weight, self.bias)
        else:
            scores = self.head(x)
        if self.spec.scale != 1.0:
            scores = scores * self.spec.scale
        cap = self.spec.soft_cap
        return scores if cap is None else (scores / cap).tanh() * cap
