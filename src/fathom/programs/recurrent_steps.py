"""Steps of recurrences, which keep of a sequence what is of one size, however long it is.

It lies in the sequence's slot (`ops.program.Batch`), a step's own part from `slot_offset` on. A
`Column` is a part of rows: their name, and the number with which it begins.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, TypeAlias

from fathom.programs.layout import whole_lanes
from fathom.programs.steps import NormShape

if TYPE_CHECKING:
    from fathom.programs.assembly import Assembly

WIDEST_CONVOLUTION = 8  # tokens that a channel's sum may see

Column: TypeAlias = tuple[str, int]


@dataclass(frozen=True)
class Convolve:
    """target = activation(bias + a sum over the last `kernel` rows of the source, by channel)."""

    source: Column
    target: str
    channels: int
    kernel: int
    weight: str  # (channels, kernel)
    bias: str | None
    activation: str
    slot_offset: int

    @property
    def remembered(self) -> int:
        """Numbers kept of a sequence."""
        return (self.kernel - 1) * self.channels

    @property
    def operations(self) -> int:
        """Floating-point operations for a token."""
        return 2 * self.kernel * self.channels

    def build(self, to: Assembly) -> None:
        to.program.convolve(
            to.column(self.source),
            to.number(self.target),
            self.channels,
            self.kernel,
            to.weights.vector(self.weight),
            to.optional(self.bias),
            self.activation,
            self.slot_offset,
        )


@dataclass(frozen=True)
class Scan:
    """target = the selective scan of `ops.selective_scan`, + skip · value, times silu(gate).

    `time_step` is before its bias and the softplus; `decay` as a checkpoint has it, a logarithm.
    """

    value: Column
    time_step: Column
    write: Column
    read: Column
    gate: Column
    target: str
    inner: int
    state_width: int
    decay: str  # (inner, state_width)
    time_step_bias: str
    skip: str
    slot_offset: int

    @property
    def remembered(self) -> int:
        """Numbers kept of a sequence."""
        return whole_lanes(self.inner) * self.state_width

    @property
    def operations(self) -> int:
        """Floating-point operations for a token: of each number 5, and 15 of its exponential."""
        return 20 * self.remembered

    def build(self, to: Assembly) -> None:
        columns = (self.value, self.time_step, self.write, self.read, self.gate)
        to.program.scan(
            [to.column(each) for each in columns],
            to.number(self.target),
            self.inner,
            self.state_width,
            [to.weights.vector(name) for name in (self.decay, self.time_step_bias, self.skip)],
            self.slot_offset,
        )


@dataclass(frozen=True)
class Dual:
    """target = the recurrence of `ops.state_space_duality`, + skip · value, head by head."""

    value: Column
    write: Column
    read: Column
    time_step: Column
    target: str
    heads: int
    head_width: int
    groups: int
    state_width: int
    limits: tuple[float, float | None]  # of a time step
    decay: str  # (heads)
    time_step_bias: str
    skip: str
    slot_offset: int

    @property
    def remembered(self) -> int:
        """Numbers kept of a sequence."""
        return self.heads * self.state_width * whole_lanes(self.head_width)

    @property
    def operations(self) -> int:
        """Floating-point operations for a token: decaying (1), writing (2), reading (2)."""
        return 5 * self.remembered

    def build(self, to: Assembly) -> None:
        least, most = self.limits
        to.program.dual(
            [to.column(each) for each in (self.value, self.write, self.read, self.time_step)],
            to.number(self.target),
            (self.heads, self.head_width, self.groups, self.state_width),
            (least, inf if most is None else most),
            [to.weights.vector(name) for name in (self.decay, self.time_step_bias, self.skip)],
            self.slot_offset,
        )


@dataclass(frozen=True)
class Delta:
    """target = the gated delta rule of `ops.delta_rule`, normed head by head.

    Queries and keys are made of length one here; `share` is before its sigmoid.
    """

    query: Column
    key: Column
    value: Column
    share: Column
    time_step: Column
    target: str
    heads: int
    head_width: int
    key_heads: int
    key_width: int
    decay: str  # (heads)
    time_step_bias: str
    norm: NormShape
    slot_offset: int

    @property
    def remembered(self) -> int:
        """Numbers kept of a sequence."""
        return self.heads * self.key_width * whole_lanes(self.head_width)

    @property
    def operations(self) -> int:
        """Floating-point operations for a token: decay 1, finding, reading, replacing 2."""
        return 7 * self.remembered

    def build(self, to: Assembly) -> None:
        columns = (self.query, self.key, self.value, self.share, self.time_step)
        to.program.delta(
            [to.column(each) for each in columns],
            to.number(self.target),
            (self.heads, self.head_width, self.key_heads, self.key_width),
            [to.weights.vector(name) for name in (self.decay, self.time_step_bias)],
            to.norm(self.norm),
            self.slot_offset,
        )


Recurrent: TypeAlias = Convolve | Scan | Dual | Delta
