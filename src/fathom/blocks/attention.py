"""Attention with grouped heads, as its spec describes it."""

from __future__ import annotations

import torch
from torch import Tensor

from fathom.blocks.bricks import Linear, Norm
from fathom.blocks.build import Block
from fathom.blocks.state import MixerState, Step
from fathom.ops.attention import Scoring
from fathom.ops.rotary import rotate
from fathom.spec import attention as spec
from fathom.spec.positions import Alibi, Rotary, RoundedAlibi, Temperature


class Attention(Block):
    """Project, norm, rotate, attend, project back. Input and result are (batch, length, width)."""

    query: Linear
    key: Linear
    value: Linear
    output: Linear
    query_norm: Norm | None
    key_norm: Norm | None
    sinks: Tensor | None

    def __init__(self, described: spec.Attention) -> None:
        super().__init__(described)
        self.spec = described
        rotary = described.positions
        self.rotary = rotary if isinstance(rotary, Rotary) else None

    def forward(self, x: Tensor, step: Step, state: MixerState) -> Tensor:
        late = self.spec.norm_after_rotary
        query = self._heads(self.query(x), self.spec.heads, None if late else self.query_norm)
        key = self._heads(self.key(x), self.spec.kv_heads, None if late else self.key_norm)
        value = self._heads(self.value(x), self.spec.kv_heads, None)
        if self.spec.clip is not None:
            bound = self.spec.clip
            query, key, value = (t.clamp(-bound, bound) for t in (query, key, value))
        if self.rotary is not None:
            cosine, sine = step.rotation(self.rotary)
            query = rotate(query, cosine, sine, interleaved=self.rotary.interleaved)
            key = rotate(key, cosine, sine, interleaved=self.rotary.interleaved)
        if late:
            query = query if self.query_norm is None else self.query_norm(query)
            key = key if self.key_norm is None else self.key_norm(key)
        if self.spec.temperature is not None:
            query = self._sharpened(query, step, self.spec.temperature)
        mixed = state.attend(query, key, value, step, self._scoring(step))
        return self._leave(mixed.transpose(1, 2).flatten(2), x)

    def _leave(self, mixed: Tensor, x: Tensor) -> Tensor:
        """Project back what the heads found, (batch, length, heads × head_width)."""
        return self.output(mixed)

    def _heads(self, x: Tensor, heads: int, norm: Norm | None) -> Tensor:
        """(batch, length, heads × head_width) → (batch, heads, length, head_width), normed."""
        width = self.spec.head_width
        whole = norm is not None and norm.width != width  # one norm over all heads together
        if norm is not None and whole:
            x = norm(x)
        x = x.reshape(*x.shape[:-1], heads, width)
        if norm is not None and not whole:
            x = norm(x)
        return x.transpose(1, 2)

    def _sharpened(self, query: Tensor, step: Step, temperature: Temperature) -> Tensor:
        """Scale each query, (batch, heads, length, head_width), by what its position asks for."""
        passed = (step.positions.clamp(min=0) + 1) // temperature.every
        factor = 1.0 + temperature.strength * torch.log1p(passed.float())
        return (query.float() * factor[:, None, :, None]).to(query.dtype)

    def _scoring(self, step: Step) -> Scoring:
        reach, positions = self.spec.reach, self.spec.positions
        scale = self.spec.scale
        return Scoring(
            scale=self.spec.head_width**-0.5 if scale is None else scale,
            causal=self.spec.causal,
            window=reach.width if isinstance(reach, spec.Window) else None,
            chunk=reach.width if isinstance(reach, spec.Chunk) else None,
            soft_cap=self.spec.soft_cap,
            sinks=self.sinks,
            slopes=step.slopes(positions) if isinstance(positions, Alibi | RoundedAlibi) else None,
            rounded=isinstance(positions, RoundedAlibi),
        )


class GatedAttention(Attention):
    """Attention whose result is gated by what came in, number by number."""

    gate: Linear

    def _leave(self, mixed: Tensor, x: Tensor) -> Tensor:
        return self.output(mixed * self.gate(x).sigmoid())
