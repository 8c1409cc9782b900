"""Attention with grouped heads: every variant of it that decoders and encoders publish."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from fathom.spec.parts import Bare, Linear, Norm, Part
from fathom.spec.positions import Alibi, Rotary, RoundedAlibi, Temperature
from fathom.spec.roles import Role
from fathom.spec.state import StateArray


@dataclass(frozen=True)
class Everything:
    """A token sees all tokens before it, and itself."""


@dataclass(frozen=True)
class Window:
    """A token sees itself and the `width` - 1 tokens before it."""

    width: int


@dataclass(frozen=True)
class Chunk:
    """A token sees the tokens before it in its own block of `width`."""

    width: int


@dataclass(frozen=True)
class Pane:
    """A patch of a picture sees those in its own pane of `rows` × `columns` patches.

    Panes are cut from the top left; those at the right and below may be smaller.
    """

    rows: int
    columns: int

    @property
    def width(self) -> int:
        """Patches of a whole pane."""
        return self.rows * self.columns

    def seen(self, rows: int, columns: int) -> float:
        """Return how many patches one sees on average, in a picture of so many."""
        return _mean_cut(rows, self.rows) * _mean_cut(columns, self.columns)


def _mean_cut(length: int, cut: int) -> float:
    """Return how long the piece is on average in which a point of a cut length lies."""
    whole, rest = divmod(length, cut)
    return (whole * cut * cut + rest * rest) / length


Reach: TypeAlias = Everything | Window | Chunk | Pane


@dataclass(frozen=True)
class Attention:
    """Scaled dot-product attention; `kv_heads` < `heads` shares keys among groups of heads.

    `query_norm` and `key_norm` act per head when their width is `head_width`, else on all heads
    together; they come before the rotation, or after it. `clip` bounds queries, keys and values;
    `soft_cap` bounds scores by a scaled tanh. `sinks` adds a learned score per head that takes
    part in the softmax and yields nothing.
    """

    width: int
    heads: int
    kv_heads: int
    head_width: int
    positions: Rotary | Alibi | RoundedAlibi | None = None
    reach: Reach = Everything()
    causal: bool = True
    scale: float | None = None  # of the scores; head_width ** -0.5 unless said
    input_bias: bool = False  # on query, key and value
    output_bias: bool = False
    key_bias: bool | None = None  # on the key, where that differs (Whisper has none there)
    query_norm: Norm | None = None
    key_norm: Norm | None = None
    norm_after_rotary: bool = False
    temperature: Temperature | None = None
    clip: float | None = None
    soft_cap: float | None = None
    sinks: bool = False

    def parts(self) -> Mapping[str, Part | None]:
        into, out = Role.INTO_HEADS, Role.OUT_OF_HEADS
        query_width = self.heads * self.head_width
        kv_width = self.kv_heads * self.head_width
        key_bias = self.input_bias if self.key_bias is None else self.key_bias
        return {
            "query": Linear(self.width, query_width, into, self.input_bias),
            "key": Linear(self.width, kv_width, into, key_bias),
            "value": Linear(self.width, kv_width, into, self.input_bias),
            "query_norm": self.query_norm,
            "key_norm": self.key_norm,
            "sinks": Bare((self.heads,), Role.INTO_HEADS) if self.sinks else None,
            "output": Linear(query_width, self.width, out, self.output_bias),
        }

    def state(self, context: int) -> tuple[StateArray, ...]:
        """What one sequence of `context` tokens leaves behind: its keys and values.

        Attention in both directions leaves nothing: a token more would change all before it.
        """
        if not self.causal:
            return ()
        kept = min(context, self.reach.width) if isinstance(self.reach, Window) else context
        shape = (self.kv_heads, kept, self.head_width)
        return StateArray("key", shape), StateArray("value", shape)

    def operations(self, context: int) -> int:
        """Floating-point operations per token beside the linear maps, with `context` in reach."""
        seen = context if isinstance(self.reach, Everything) else min(context, self.reach.width)
        return 4 * self.heads * self.head_width * seen


@dataclass(frozen=True)
class GatedAttention(Attention):
    """Attention whose result is multiplied by the sigmoid of a map of what came in.

    Qiu et al., 2025 (arXiv 2505.06708).
    """

    def parts(self) -> Mapping[str, Part | None]:
        plain = dict(super().parts())
        inner = self.heads * self.head_width
        gate = Linear(self.width, inner, Role.INTO_HEADS, self.input_bias)
        output = plain.pop("output")
        return {**plain, "gate": gate, "output": output}
