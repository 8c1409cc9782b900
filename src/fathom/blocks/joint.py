"""Two streams of a denoiser that attend together, scaled and shifted by the moment."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from fathom.blocks.attention import Attention
from fathom.blocks.bricks import Linear, Norm
from fathom.blocks.build import Block
from fathom.blocks.feed_forward import Mlp
from fathom.blocks.state import Passing, Step
from fathom.ops.attention import Scoring, attention
from fathom.ops.norm import layer_norm
from fathom.spec import diffusion_transformer as spec

_PASSING = Passing()
EPSILON = 1e-6


def moved(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """Norm tokens (batch, tokens, width), and scale and shift them by vectors (batch, width)."""
    if len(x) == 1:  # a norm's own weight and bias do it in one go
        return layer_norm(x, (1 + scale[0]).float(), shift[0].float(), EPSILON)
    normed = layer_norm(x, None, None, EPSILON)
    return torch.addcmul(shift[:, None], normed, 1 + scale[:, None])


def gated(x: Tensor, gate: Tensor, found: Tensor) -> Tensor:
    """Add to tokens (batch, tokens, width) what was found, as far as vectors (batch, width) say."""
    return torch.addcmul(x, gate[:, None], found)


class Stream(Block):
    """One stream's part in a layer."""

    modulation: Linear
    query: Linear
    key: Linear
    value: Linear
    query_norm: Norm | None
    key_norm: Norm | None
    output: Linear | None
    alone: Attention | None
    feed_forward: Mlp | None

    def __init__(self, described: spec.Stream) -> None:
        super().__init__(described)
        self.spec = described

    def vectors(self, moment: Tensor) -> tuple[Tensor, ...]:
        """Return what the moment (batch, width) gives, as vectors (batch, width)."""
        return self.modulation(functional.silu(moment)).chunk(self.spec.vectors, dim=1)

    def enter(self, x: Tensor, vectors: tuple[Tensor, ...]) -> Tensor:
        """Return the tokens as attention sees them."""
        scale, shift = vectors if self.spec.ends else (vectors[1], vectors[0])
        return moved(x, scale, shift)

    def heads(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return queries, keys and values, (batch, heads, tokens, head_width)."""
        shape = (*x.shape[:2], self.spec.heads, self.spec.head_width)
        query, key, value = (map_(x).view(shape) for map_ in (self.query, self.key, self.value))
        query = query if self.query_norm is None else self.query_norm(query)
        key = key if self.key_norm is None else self.key_norm(key)
        return query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2)

    def leave(self, x: Tensor, mixed: Tensor, vectors: tuple[Tensor, ...]) -> Tensor:
        """Return the stream after what attention found (batch, tokens, inner), and the rest."""
        if self.output is None or self.feed_forward is None:
            return x
        _, _, gate, shift, scale, gate_fed = vectors[:6]
        came = x
        x = gated(x, gate, self.output(mixed))
        if self.alone is not None:
            shift_alone, scale_alone, gate_alone = vectors[6:]
            step = Step.dense(x.shape[0], 0, x.shape[1], x.device)
            seen = moved(came, scale_alone, shift_alone)
            x = gated(x, gate_alone, self.alone(seen, step, _PASSING))
        return gated(x, gate_fed, self.feed_forward(moved(x, scale, shift)))


class JointLayer(Block):
    """Both streams, with one attention over the tokens of both."""

    picture: Stream
    text: Stream

    def __init__(self, described: spec.JointLayer) -> None:
        super().__init__(described)
        self.scoring = Scoring(scale=described.picture.head_width**-0.5, causal=False)

    def forward(self, x: Tensor, text: Tensor, moment: Tensor) -> tuple[Tensor, Tensor]:
        streams = ((self.picture, x), (self.text, text))
        vectors = [stream.vectors(moment) for stream, _ in streams]
        mixed = self._attend(
            [
                stream.heads(stream.enter(tokens, given))
                for (stream, tokens), given in zip(streams, vectors, strict=True)
            ]
        )
        patches = x.shape[1]
        return (
            self.picture.leave(x, mixed[:, :patches], vectors[0]),
            self.text.leave(text, mixed[:, patches:], vectors[1]),
        )

    def _attend(self, entered: list[tuple[Tensor, Tensor, Tensor]]) -> Tensor:
        """Return what all tokens find among all: (batch, tokens, inner)."""
        query, key, value = (torch.cat(pair, dim=2) for pair in zip(*entered, strict=True))
        entered.clear()  # joined now
        return attention(query, key, value, self.scoring).transpose(1, 2).flatten(2)
