"""A stack of typed layers between an embedding and an output: every decoder-only text model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

from fathom.spec.attention import Attention
from fathom.spec.experts import Experts
from fathom.spec.feed_forward import GatedMlp, Mlp
from fathom.spec.latent_attention import LatentAttention
from fathom.spec.parts import Bare, Linear, Norm, Part, Table
from fathom.spec.positions import Sinusoid
from fathom.spec.roles import Role
from fathom.spec.state import StateArray
from fathom.spec.state_space import Recurrence

Mixer: TypeAlias = Attention | LatentAttention | Recurrence
M = TypeVar("M", bound=Mixer)
FeedForward: TypeAlias = GatedMlp | Mlp | Experts


@dataclass(frozen=True)
class Residual:
    """How a part joins the stream of hidden states.

    ``x ← closing(x + scale · after(part(before(x))))``, each norm only where there is one:
    `before` is the usual pre-norm, `after` OLMo 2's, both together Gemma 2's, `closing` BERT's.
    `scales` are learned, one per channel, beside the one `scale` (Touvron et al., 2021, arXiv
    2103.17239); a `gate` is one learned number, whose tanh scales the part (Alayrac et al., 2022,
    arXiv 2204.14198). An `exact` stream is kept in float32, whatever the type of the weights.
    """

    before: Norm | None = None
    after: Norm | None = None
    closing: Norm | None = None
    scale: float = 1.0
    exact: bool = False
    scales: Bare | None = None
    gate: Bare | None = None

    def parts(self) -> Mapping[str, Part | None]:
        return {
            "before": self.before,
            "after": self.after,
            "closing": self.closing,
            "scales": self.scales,
            "gate": self.gate,
        }


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

    def state(self, context: int) -> tuple[StateArray, ...]:
        """What one sequence of `context` tokens leaves behind in this layer."""
        return self.mixer.state(context)

    def operations(self, context: int) -> int:
        """Floating-point operations per token beside the linear maps, with `context` in reach."""
        return self.mixer.operations(context)


@dataclass(frozen=True)
class Embedding:
    """Token id → hidden state, multiplied by `scale`; some models add positions, types, a norm.

    `position_offset` is the row of position 0 (OPT keeps two rows free before it). `token_types`
    has a row per kind of text, such as question and passage. A `shared` embedding looks tokens up
    in the table of another one: a decoder's in its encoder's. A table narrower than the stream,
    of `table_width`, is widened by a linear map (OPT 350M).
    """

    vocabulary: int
    width: int
    scale: float = 1.0
    positions: Table | Sinusoid | None = None
    position_offset: int = 0
    token_types: Table | None = None
    norm: Norm | None = None
    shared: bool = False
    table_width: int | None = None

    def parts(self) -> Mapping[str, Part | None]:
        narrow = self.table_width
        return {
            "tokens": None if self.shared else Table(self.vocabulary, narrow or self.width),
            "widen": Linear(narrow, self.width, Role.DENSE) if narrow else None,
            "positions": self.positions if isinstance(self.positions, Table) else None,
            "token_types": self.token_types,
            "norm": self.norm,
        }


@dataclass(frozen=True)
class Output:
    """Hidden state → a score per token. A `tied` output reads the embedding's own table.

    The bias of a tied output is its own. Where the table is narrower than the stream, of
    `table_width`, a linear map narrows the stream first.
    """

    width: int
    vocabulary: int
    tied: bool = False
    bias: bool = False
    scale: float = 1.0  # of the scores
    soft_cap: float | None = None
    table_width: int | None = None

    def parts(self) -> Mapping[str, Part | None]:
        narrow = self.table_width
        head = Linear(narrow or self.width, self.vocabulary, Role.HEAD, self.bias)
        bias = Bare((self.vocabulary,), Role.HEAD) if self.tied and self.bias else None
        return {
            "narrow": Linear(self.width, narrow, Role.DENSE) if narrow else None,
            "head": None if self.tied else head,
            "bias": bias,
        }


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

    def __str__(self) -> str:
        from fathom.spec.outline import show

        return show(self)

    @property
    def width(self) -> int:
        return self.embedding.width

    @property
    def vocabulary(self) -> int:
        return self.embedding.vocabulary

    def mixer(self, kind: type[M]) -> M:
        """Return the first mixer of one kind, which a dialect made and its rules ask about.

        Raises:
            LookupError: when no layer has one.
        """
        for layer in self.layers:
            if isinstance(layer.mixer, kind):
                return layer.mixer
        raise LookupError(f"no layer of this decoder mixes by {kind.__name__}")
