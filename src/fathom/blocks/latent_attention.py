"""Latent attention, as its spec describes it."""

from __future__ import annotations

import torch
from torch import Tensor

from fathom.blocks.bricks import Linear, Norm
from fathom.blocks.build import Block
from fathom.blocks.state import MixerState, Step, sight
from fathom.ops.attention import Scoring
from fathom.ops.latent_attention import latent_attention
from fathom.ops.rotary import rotate
from fathom.spec import latent_attention as spec


class LatentAttention(Block):
    """Input and result are (batch, length, width); what is kept per token is one latent key."""

    query: Linear | None
    query_down: Linear | None
    query_norm: Norm | None
    query_up: Linear | None
    latent_down: Linear
    latent_norm: Norm
    key_up: Linear
    value_up: Linear
    output: Linear

    def __init__(self, described: spec.LatentAttention) -> None:
        super().__init__(described)
        self.spec = described
        scale = described.key_width**-0.5 if described.scale is None else described.scale
        self.scoring = Scoring(scale=scale)

    def forward(self, x: Tensor, step: Step, state: MixerState) -> Tensor:
        query = self._queries(x).unflatten(-1, (self.spec.heads, -1)).transpose(1, 2)
        widths = (self.spec.plain_width, self.spec.positions.width)
        plain, turning = query.split(widths, dim=-1)
        latent, shared = self.latent_down(x).split((self.spec.latent, widths[1]), dim=-1)
        key = torch.cat(
            (self.latent_norm(latent)[:, None], self._turn(shared[:, None], step)), dim=-1
        )
        kept, positions = state.extend("key", key, step)
        latent, shared = kept[:, 0].split((self.spec.latent, widths[1]), dim=-1)
        mixed = latent_attention(
            torch.cat((plain, self._turn(turning, step)), dim=-1),
            latent,
            shared,
            self.key_up.weight,
            self.value_up.weight,
            self.scoring,
            sight(step, positions, self.scoring),
        )
        return self.output(mixed.transpose(1, 2).flatten(2))

    def _queries(self, x: Tensor) -> Tensor:
        """(batch, length, width) → (batch, length, heads × key width)."""
        if self.query_down is None or self.query_norm is None or self.query_up is None:
            assert self.query is not None  # a spec has the one or the other
            return self.query(x)
        return self.query_up(self.query_norm(self.query_down(x)))

    def _turn(self, x: Tensor, step: Step) -> Tensor:
        """Turn (batch, heads, length, rotary width) to where its tokens stand."""
        rotary = self.spec.positions
        cosine, sine = step.rotation(rotary)
        return rotate(x, cosine, sine, interleaved=rotary.interleaved)
