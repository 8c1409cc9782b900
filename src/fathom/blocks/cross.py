"""Attention to another text, and the layer that has it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from fathom.blocks.bricks import Linear, Norm
from fathom.blocks.build import Block
from fathom.blocks.layer import Residual
from fathom.blocks.state import MixerState, Passing, Step
from fathom.ops.attention import Scoring, attention
from fathom.spec import encoder_decoder as spec

_PASSING = Passing()


@dataclass(frozen=True)
class Source:
    """What was read, seen or heard: hidden states (batch, length, width), and who may see which.

    `real` (batch, length) is True at tokens, None where no row is padded. `seen` (batch, 1,
    tokens written, length) tells token by token. One that sees nothing looks at everything, and
    its feed-forward is left out: `blind` (batch, tokens written, 1) is True there.
    """

    hidden: Tensor
    real: Tensor | None = None
    seen: Tensor | None = None
    blind: Tensor | None = None

    @classmethod
    def partly(cls, hidden: Tensor, seen: Tensor) -> Source:
        """Return what is seen in part; `seen` (batch, tokens written, length) is True there."""
        blind = ~seen.any(dim=-1, keepdim=True)
        seen = seen | blind
        return cls(
            hidden,
            seen=None if bool(seen.all()) else seen[:, None].to(hidden.device),
            blind=blind.to(hidden.device) if bool(blind.any()) else None,
        )

    @property
    def mask(self) -> Tensor | None:
        """True where a token written may look, for (batch, heads, tokens written, length)."""
        return self.seen if self.real is None else self.real[:, None, None, :]


class CrossAttention(Block):
    """Queries from the text being written, keys and values from what was read."""

    query: Linear
    key: Linear
    value: Linear
    query_norm: Norm | None
    key_norm: Norm | None
    output: Linear

    def __init__(self, described: spec.CrossAttention) -> None:
        super().__init__(described)
        self.spec = described
        scale = described.scale
        scale = described.head_width**-0.5 if scale is None else scale
        self.scoring = Scoring(scale=scale, causal=False)

    def forward(self, x: Tensor, source: Source, state: MixerState) -> Tensor:
        key, value = state.recall("cross_key"), state.recall("cross_value")
        if key is None or value is None:
            key = self._heads(self.key(source.hidden), self.key_norm)
            value = self._heads(self.value(source.hidden))
            state.remember("cross_key", key)
            state.remember("cross_value", value)
        query = self._heads(self.query(x), self.query_norm)
        mixed = attention(query, key, value, self.scoring, source.mask)
        return self.output(mixed.transpose(1, 2).flatten(2))

    def weights(self, x: Tensor, heads: Sequence[int], state: MixerState) -> Tensor:
        """Return where some heads look, (batch, heads, length, source length) float32.

        Raises:
            LookupError: the state holds no keys of a text that was read.
        """
        key = state.recall("cross_key")
        if key is None:
            raise LookupError("nothing was read yet that could be looked at")
        shared = self.spec.heads // self.spec.key_heads
        query = self._heads(self.query(x), self.query_norm)[:, list(heads)].float()
        chosen = key[:, [head // shared for head in heads]].float()
        return (query * self.scoring.scale @ chosen.transpose(-1, -2)).softmax(dim=-1)

    def among(
        self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None
    ) -> Tensor:
        """Return what states (batch, length, width) find, where keys differ from values.

        Keys and values of one batch row are seen by all rows of queries. A `mask` is as in
        `ops.attention`.
        """
        asked = self._heads(self.query(query), self.query_norm)
        keys = self._heads(self.key(key), self.key_norm)
        values = self._heads(self.value(value))
        if len(keys) < len(asked):
            keys, values = (one.expand(len(asked), -1, -1, -1) for one in (keys, values))
        mixed = attention(asked, keys, values, self.scoring, mask)
        return self.output(mixed.transpose(1, 2).flatten(2))

    def _heads(self, x: Tensor, norm: Norm | None = None) -> Tensor:
        """(batch, length, heads × head_width) → (batch, heads, length, head_width), normed."""
        x = x.unflatten(-1, (-1, self.spec.head_width))
        return (x if norm is None else norm(x)).transpose(1, 2)


class LookingLayer(Block):
    """Cross attention, feed-forward, each with its residual."""

    cross: CrossAttention
    cross_residual: Residual
    feed_forward: nn.Module
    feed_forward_residual: Residual

    def look(self, x: Tensor, state: MixerState, source: Source) -> Tensor:
        """Return the stream, (batch, length, width), after looking at a source."""
        looked = self.cross(self.cross_residual.enter(x), source, state)
        x = self.cross_residual.join(x, looked)
        fed = self.feed_forward(self.feed_forward_residual.enter(x))
        if source.blind is not None:
            fed = fed.masked_fill(source.blind, 0.0)
        return self.feed_forward_residual.join(x, fed)


class CrossLayer(LookingLayer):
    """Mixer, cross attention, feed-forward, each with its residual."""

    mixer: nn.Module
    mixer_residual: Residual

    def forward(self, x: Tensor, step: Step, state: MixerState, source: Source) -> Tensor:
        return self.look(self._mix(x, step, state), state, source)

    def aligned(
        self, x: Tensor, step: Step, state: MixerState, source: Source, heads: Sequence[int]
    ) -> tuple[Tensor, Tensor]:
        """Return what `forward` does, and where some heads look, as `CrossAttention.weights`.

        The tokens are whole texts: of a state only what was read is taken, and nothing added.
        """
        x = self._mix(x, step, _PASSING)
        weights = self.cross.weights(self.cross_residual.enter(x), heads, state)
        return self.look(x, state, source), weights

    def _mix(self, x: Tensor, step: Step, state: MixerState) -> Tensor:
        mixed = self.mixer(self.mixer_residual.enter(x), step, state)
        return self.mixer_residual.join(x, mixed)
