"""A stack of typed layers between an embedding and an output: every decoder-only text model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from fathom.spec.attention import Attention
from fathom.spec.feed_forward import GatedMlp, Mlp
from fathom.spec.parts import Linear, Norm, Part, Table
from fathom.spec.roles import Role

Mixer: TypeAlias = Attention
FeedForward: TypeAlias = GatedMlp | Mlp


@dataclass(frozen=True)
class Residual:
    """How a part joins the stream of hidden states.

    ``x ← closing(x + scale · after(part(before(x))))``, each norm only where there is one:
    `before` is the usual pre-norm, `after` OLMo 2's, both together Gemma 2's, `closing` BERT's.
    """

    before: Norm | None = None
    after: Norm | None = None
    closing: Norm | None = None
    scale: float = 1.0

    def parts(self) -> Mapping[str, Part | None]:
        return {"before": self.before, "after": self.after, "closing": self.closing}


@dataclass(frozen=True)
class Layer:
    """A mixer, which lets tokens see one another, then a feed-forward, which treats each alone.

    `parallel` layers give both the same input and add both results (GPT-J, Falcon).
    """

    mixer: Mixer
    mixer_residual: Residual
    feed_forward: FeedForward | None
    feed_forward_residual: Residual = Residual()
    parallel: bool = False

    def parts(self) -> Mapping[str, Part | None]:
        return {
            "mixer": self.mixer,
            "mixer_residual": self.mixer_residual,
            "feed_forward": self.feed_forward,
            "feed_forward_residual": self.feed_forward_residual,
        }


@dataclass(frozen=True)
class Embedding:
    """Token id → hidden state, multiplied by `scale`; some models add learned positions, a norm.

    `position_offset` is the row of position 0 (OPT keeps two rows free before it).
    """

    vocabulary: int
    width: int
    scale: float = 1.0
    positions: Table | None = None
    position_offset: int = 0
    norm: Norm | None = None

    def parts(self) -> Mapping[str, Part | None]:
        return {
            "tokens": Table(self.vocabulary, self.width),
            "positions": self.positions,
            "norm": self.norm,
        }


@dataclass(frozen=True)
class Output:
    """Hidden state → a score per token. A `tied` output reads the embedding's own table."""

    width: int
    vocabulary: int
    tied: bool = False
    bias: bool = False
    scale: float = 1.0  # of the scores
    soft_cap: float | None = None

    def parts(self) -> Mapping[str, Part | None]:
        head = Linear(self.width, self.vocabulary, Role.HEAD, self.bias)
        return {"head": None if self.tied else head}


@dataclass(frozen=True)
class Decoder:
    """A decoder-only model. `context` is the number of positions that its publisher states."""

    context: int
    embedding: Embedding
    layers: tuple[Layer, ...]
    norm: Norm | None
    output: Output

    def parts(self) -> Mapping[str, Part | None]:
        return {
            "embedding": self.embedding,
            "layers": self.layers,
            "norm": self.norm,
            "output": self.output,
        }

    @property
    def width(self) -> int:
        return self.embedding.width

    @property
    def vocabulary(self) -> int:
        return self.embedding.vocabulary
