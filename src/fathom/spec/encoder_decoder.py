"""Two stacks: one reads a text in both directions, the other writes one and looks at the first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fathom.spec.attention import Attention
from fathom.spec.decoder import Embedding, FeedForward, Layer, Output, Residual
from fathom.spec.parts import Linear, Norm, Part
from fathom.spec.relative import DistanceScores
from fathom.spec.roles import Role
from fathom.spec.state import StateArray


@dataclass(frozen=True)
class CrossAttention:
    """Attention from the text being written to what was read, seen or heard before.

    Keys and values come from the encoder's hidden states, of `source_width` where that is not the
    own, and are worked out once; `kv_heads`, where they are fewer, share them among the heads. The
    norms are of each head.
    """

    width: int
    heads: int
    head_width: int
    scale: float | None = None  # of the scores; head_width ** -0.5 unless said
    bias: bool = False  # on all four maps
    key_bias: bool | None = None  # on the key, where that differs
    output_bias: bool | None = None  # likewise on the output
    source_width: int | None = None
    kv_heads: int | None = None
    query_norm: Norm | None = None
    key_norm: Norm | None = None

    def parts(self) -> Mapping[str, Part | None]:
        inner, shared = (heads * self.head_width for heads in (self.heads, self.key_heads))
        key_bias = self.bias if self.key_bias is None else self.key_bias
        output_bias = self.bias if self.output_bias is None else self.output_bias
        source = self.source_width or self.width
        return {
            "query": Linear(self.width, inner, Role.INTO_HEADS, self.bias),
            "key": Linear(source, shared, Role.INTO_HEADS, key_bias),
            "value": Linear(source, shared, Role.INTO_HEADS, self.bias),
            "query_norm": self.query_norm,
            "key_norm": self.key_norm,
            "output": Linear(inner, self.width, Role.OUT_OF_HEADS, output_bias),
        }

    @property
    def key_heads(self) -> int:
        """Heads of keys and of values."""
        return self.heads if self.kv_heads is None else self.kv_heads

    def state(self, source: int) -> tuple[StateArray, ...]:
        """What a text of `source` tokens leaves behind once it was read."""
        shape = (self.key_heads, source, self.head_width)
        return StateArray("cross_key", shape), StateArray("cross_value", shape)

    def operations(self, source: int) -> int:
        """Floating-point operations per token written, beside the linear maps."""
        return 4 * self.heads * self.head_width * source


@dataclass(frozen=True)
class CrossLayer:
    """A layer that also looks at another text: mixer, cross attention, feed-forward."""

    mixer: Attention
    mixer_residual: Residual
    cross: CrossAttention
    cross_residual: Residual
    feed_forward: FeedForward
    feed_forward_residual: Residual

    def parts(self) -> Mapping[str, Part | None]:
        return {
            "mixer": self.mixer,
            "mixer_residual": self.mixer_residual,
            "cross": self.cross,
            "cross_residual": self.cross_residual,
            "feed_forward": self.feed_forward,
            "feed_forward_residual": self.feed_forward_residual,
        }

    def state(self, context: int) -> tuple[StateArray, ...]:
        """What `context` tokens written, after as many read, leave behind in this layer."""
        return *self.mixer.state(context), *self.cross.state(context)

    def operations(self, context: int) -> int:
        """Floating-point operations per token beside the linear maps, with `context` in reach."""
        return self.mixer.operations(context) + self.cross.operations(context)


@dataclass(frozen=True)
class LookingLayer:
    """A layer that looks away from its text, at what was seen: cross attention, feed-forward.

    It stands in the place of a layer whose mixer looks at the text. Without anything to look at
    it is passed by.
    """

    cross: CrossAttention
    cross_residual: Residual
    feed_forward: FeedForward
    feed_forward_residual: Residual

    def parts(self) -> Mapping[str, Part | None]:
        return {
            "cross": self.cross,
            "cross_residual": self.cross_residual,
            "feed_forward": self.feed_forward,
            "feed_forward_residual": self.feed_forward_residual,
        }


@dataclass(frozen=True)
class Stack:
    """One of the two halves. `distances` are scores that all its layers add to their own."""

    embedding: Embedding
    layers: tuple[Layer | CrossLayer, ...]
    norm: Norm | None = None
    distances: DistanceScores | None = None

    def parts(self) -> Mapping[str, Part | None]:
        return {
            "embedding": self.embedding,
            "distances": self.distances,
            "layers": self.layers,
            "norm": self.norm,
        }


@dataclass(frozen=True)
class EncoderDecoder:
    """A sequence-to-sequence model. `context` bounds the text read and the text written, each.

    A tied output reads the decoder's table, which may be the encoder's.
    """

    context: int
    encoder: Stack
    decoder: Stack
    output: Output

    def parts(self) -> Mapping[str, Part | None]:
        return {"encoder": self.encoder, "decoder": self.decoder, "output": self.output}

    def __str__(self) -> str:
        from fathom.spec.outline import show

        return show(self)

    @property
    def layers(self) -> tuple[Layer | CrossLayer, ...]:
        """The layers of both halves, the encoder's first."""
        return *self.encoder.layers, *self.decoder.layers

    @property
    def embedding(self) -> Embedding:
        """Where the text that is read comes in."""
        return self.encoder.embedding

    @property
    def width(self) -> int:
        return self.encoder.embedding.width

    @property
    def vocabulary(self) -> int:
        """Tokens that may be written."""
        return self.decoder.embedding.vocabulary
