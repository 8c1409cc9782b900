"""Attention to another text, and the layer that has it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from fathom.blocks.bricks import Linear
from fathom.blocks.build import Block
from fathom.blocks.layer import Residual
from fathom.blocks.state import MixerState, Passing, Step
from fathom.ops.attention import Scoring, attention
from fathom.spec import encoder_decoder as spec

_PASSING = Passing()


@dataclass(frozen=True)
class Source:
    """A text that was read: hidden states (batch, length, width), and True at its tokens.

    `real` (batch, length) is None where no row is padded.
    """

    hidden: Tensor
    real: Tensor | None = None


class CrossAttention(Block):
    """Queries from the text being written, keys and values from the one that was read."""

    query: Linear
    key: Linear
    value: Linear
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
            key, value = (
                self._heads(self.key(source.hidden)),
                self._heads(self.value(source.hidden)),
            )
            state.remember("cross_key", key)
            state.remember("cross_value", value)
        mask = None if source.real is None else source.real[:, None, None, :]
        mixed = attention(self._heads(self.query(x)), key, value, self.scoring, mask)
        return self.output(mixed.transpose(1, 2).flatten(2))

    def weights(self, x: Tensor, heads: Sequence[int], state: MixerState) -> Tensor:
        """Return where some heads look, (batch, heads, length, source length) float32.

        Raises:
            LookupError: the state holds no keys of a text that was read.
        """
        key = state.recall("cross_key")
        if key is None:
            raise LookupError("nothing was read yet that could be looked at")
        chosen = list(heads)
        query = self._heads(self.query(x))[:, chosen].float() * self.scoring.scale
        return (query @ key[:, chosen].float().transpose(-1, -2)).softmax(dim=-1)

    def among(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Return what states (batch, length, width) find, where keys differ from values.

        Keys and values of one batch row are seen by all rows of queries.
        """
        asked, keys, values = (
            self._heads(one) for one in (self.query(query), self.key(key), self.value(value))
        )
        if len(keys) < len(asked):
            keys, values = (one.expand(len(asked), -1, -1, -1) for one in (keys, values))
        mixed = attention(asked, keys, values, self.scoring)
        return self.output(mixed.transpose(1, 2).flatten(2))

    def _heads(self, x: Tensor) -> Tensor:
        """(batch, length, heads × head_width) → (batch, heads, length, head_width)."""
        shape = (*x.shape[:-1], self.spec.heads, self.spec.head_width)
        return x.reshape(shape).transpose(1, 2)


class CrossLayer(Block):
    """Mixer, cross attention, feed-forward, each with its residual."""

    mixer: nn.Module
    mixer_residual: Residual
    cross: CrossAttention
    cross_residual: Residual
    feed_forward: nn.Module
    feed_forward_residual: Residual

    def forward(self, x: Tensor, step: Step, state: MixerState, source: Source) -> Tensor:
        return self._look(self._mix(x, step, state), state, source)

    def aligned(
        self, x: Tensor, step: Step, state: MixerState, source: Source, heads: Sequence[int]
    ) -> tuple[Tensor, Tensor]:
        """Return what `forward` does, and where some heads look, as `CrossAttention.weights`.

        The tokens are whole texts: of a state only what was read is taken, and nothing added.
        """
        x = self._mix(x, step, _PASSING)
        weights = self.cross.weights(self.cross_residual.enter(x), heads, state)
        return self._look(x, state, source), weights

    def _mix(self, x: Tensor, step: Step, state: MixerState) -> Tensor:
        mixed = self.mixer(self.mixer_residual.enter(x), step, state)
        return self.mixer_residual.join(x, mixed)

    def _look(self, x: Tensor, state: MixerState, source: Source) -> Tensor:
        looked = self.cross(self.cross_residual.enter(x), source, state)
        x = self.cross_residual.join(x, looked)
        fed = self.feed_forward(self.feed_forward_residual.enter(x))
        return self.feed_forward_residual.join(x, fed)
