"""The steps that programs are made of: data that names rows and weights, and can be printed.

Each step adds itself to a native program by its `build`; `ops/kernels/steps.hpp` has what it does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from fathom.programs.layout import StateType

if TYPE_CHECKING:
    from fathom.programs.assembly import Assembly
    from fathom.programs.distance_table import Distances


@dataclass(frozen=True)
class Matrix:
    """A weight by the name of its parameter.

    An `exact` one is kept in float32; a `turned` one has the parameter's columns as its rows.
    """

    name: str
    expert: int | None = None  # of a stack: which one
    exact: bool = False
    turned: bool = False


@dataclass(frozen=True)
class Rows:
    """A buffer: `width` numbers for every token, `repeats` times.

    For products with quantised weights they become eight bits in blocks of 32, and the `refined`
    largest blocks of each row as many bits again.
    """

    width: int
    repeats: int = 1
    refined: int = 0


@dataclass(frozen=True)
class NormShape:
    """`parts` norms of `width` numbers each, beside each other; weights are names or None."""

    width: int
    parts: int
    centred: bool
    epsilon: float
    weight: str | None
    bias: str | None


@dataclass(frozen=True)
class Factor:
    """A matrix and the name of its bias."""

    matrix: Matrix
    bias: str | None


@dataclass(frozen=True)
class Heads:
    """Heads of one layer: in the rows query heads, key heads, value heads, in this order."""

    source: str
    heads: int
    kv_heads: int
    width: int
    pool: int
    page_offset: int  # bytes of a page before this layer's
    state: StateType


@dataclass(frozen=True)
class Routing:
    """How scores become chosen experts, in the words of `spec.experts`."""

    scoring: Literal["softmax", "sigmoid", "sparse"]
    experts: int
    active: int
    renormalise: bool = False
    floor: float = 0.0
    scale: float = 1.0
    jitter: float = 0.0
    correction: str | None = None
    groups: tuple[int, int, int] = (0, 0, 0)  # count, active, best


@dataclass(frozen=True)
class Embed:
    """target = table[id] · scale + positions[position + offset] + the first row of `types`."""

    table: Matrix
    target: str
    scale: float
    positions: str | None = None
    offset: int = 0
    types: str | None = None

    def build(self, to: Assembly) -> None:
        target = to.number(self.target)
        positions, types = to.optional(self.positions), to.first_row(self.types, self.target)
        to.program.embed(to.matrix(self.table), target, self.scale, positions, self.offset, types)


@dataclass(frozen=True)
class AddRows:
    """target += positions[position + offset] + the first row of `types`."""

    target: str
    positions: str | None
    offset: int
    types: str | None

    def build(self, to: Assembly) -> None:
        positions, types = to.optional(self.positions), to.first_row(self.types, self.target)
        to.program.add_rows(to.number(self.target), positions, self.offset, types)


@dataclass(frozen=True)
class Normalise:
    """target = norm(source)."""

    source: str
    target: str
    shape: NormShape

    def build(self, to: Assembly) -> None:
        to.program.norm(to.number(self.source), to.number(self.target), to.norm(self.shape))


@dataclass(frozen=True)
class Add:
    """target += scale · source."""

    source: str
    target: str
    scale: float

    def build(self, to: Assembly) -> None:
        to.program.add(to.number(self.source), to.number(self.target), self.scale)


@dataclass(frozen=True)
class Activate:
    """target = activation(gate) · other, or of the gate alone; each from an offset on."""

    gate: tuple[str, int]
    other: tuple[str, int] | None
    target: str
    count: int
    kind: str
    alpha: float = 0.0
    limit: float = 0.0

    def build(self, to: Assembly) -> None:
        gate, gate_offset = self.gate
        other, other_offset = self.other or (None, 0)
        to.program.activate(
            to.number(gate),
            gate_offset,
            -1 if other is None else to.number(other),
            other_offset,
            to.number(self.target),
            self.count,
            self.kind,
            self.alpha,
            self.limit,
        )


@dataclass(frozen=True)
class GateRows:
    """target = target · sigmoid(score), one score for each row."""

    score: str
    target: str

    def build(self, to: Assembly) -> None:
        to.program.gate_rows(to.number(self.score), to.number(self.target))


@dataclass(frozen=True)
class Multiply:
    """target = source · factors side by side, + biases; scaled, then bounded by `cap` · tanh.

    With `room`, results lie there first and are added to the target. No target: the scores.
    """

    source: str
    target: str | None
    factors: tuple[Factor, ...]
    room: str | None = None
    scale: float = 1.0
    cap: float = 0.0

    def build(self, to: Assembly) -> None:
        to.program.multiply(
            to.number(self.source),
            -1 if self.target is None else to.number(self.target),
            [(to.matrix(each.matrix), to.optional(each.bias)) for each in self.factors],
            -1 if self.room is None else to.number(self.room),
            self.scale,
            self.cap,
        )


@dataclass(frozen=True)
class Angles:
    """Cosines and sines of every token's position, by frequencies from `offset` on."""

    target: str
    offset: int

    def build(self, to: Assembly) -> None:
        to.program.angles(to.number(self.target), self.offset)


@dataclass(frozen=True)
class Place:
    """Norms, turns and bounds queries and keys; writes keys and values to their pages."""

    heads: Heads
    angles: str | None = None
    interleaved: bool = False
    query_norm: NormShape | None = None
    key_norm: NormShape | None = None
    late: bool = False
    clip: float = 0.0
    sharpened: int = 0  # positions after which queries grow once more
    strength: float = 0.0

    def build(self, to: Assembly) -> None:
        to.program.place(
            to.heads(self.heads),
            -1 if self.angles is None else to.number(self.angles),
            self.interleaved,
            None if self.query_norm is None else to.norm(self.query_norm),
            None if self.key_norm is None else to.norm(self.key_norm),
            self.late,
            self.clip,
            self.sharpened,
            self.strength,
        )


@dataclass(frozen=True)
class Attend:
    """Every query meets the keys in its reach; results of all heads fill the target's rows.

    Where the `query` matrix takes its inputs in eight bits, scores of a prompt are products of
    bfloat16, which is finer than those; else they are exact. Unless it is `causal` that is on both
    sides, and texts have to come whole. Where it `looks` at a source, rows hold queries alone, and
    keys are all those of the source.
    """

    heads: Heads
    target: str
    reach: Literal["everything", "window", "chunk"]
    reach_width: int
    scale: float
    soft_cap: float = 0.0
    slopes: tuple[float, ...] | None = None
    sinks: str | None = None
    causal: bool = True
    rounded: bool = False  # slopes are those of `RoundedAlibi`
    looks: bool = False
    distances: Distances | None = None
    narrowed: bool = False  # rows of chosen tokens alone are read
    query: Matrix | None = None  # what made the queries

    def build(self, to: Assembly) -> None:
        import numpy as np

        far = self.distances
        slopes = None if self.slopes is None else np.asarray(self.slopes, dtype=np.float32)
        to.program.attend(
            to.heads(self.heads),
            to.number(self.target),
            self.reach,
            self.reach_width,
            self.scale,
            self.soft_cap,
            slopes,
            to.optional(self.sinks),
            self.causal,
            self.rounded,
            self.looks,
            None if far is None else far.expanded(to.weights.vector(far.name)),
            self.narrowed,
            None if self.query is None else to.matrix(self.query),
        )


@dataclass(frozen=True)
class MixExperts:
    """target += scale · the chosen experts' weighted results; a `fresh` target begins at zero."""

    source: str
    scores: str
    target: str
    rooms: tuple[str, str, str, str]
    routing: Routing
    experts: tuple[tuple[Factor, Factor, Factor], ...]  # gate, up, down of each
    kind: str
    scale: float
    weighs_input: bool
    fresh: bool
    alpha: float = 0.0
    limit: float = 0.0

    def build(self, to: Assembly) -> None:
        to.program.experts(
            to.number(self.source),
            to.number(self.scores),
            to.number(self.target),
            [to.number(room) for room in self.rooms],
            to.routing(self.routing),
            [[(to.matrix(m.matrix), to.row(m)) for m in maps] for maps in self.experts],
            self.kind,
            self.alpha,
            self.limit,
            self.scale,
            self.weighs_input,
            self.fresh,
        )


@dataclass(frozen=True)
class Select:
    """From here on rows are those tokens whose scores are wanted."""

    source: str
    target: str

    def build(self, to: Assembly) -> None:
        to.program.select(to.number(self.source), to.number(self.target))


@dataclass(frozen=True)
class Narrow:
    """From here on rows are those of chosen tokens in every buffer named, each with a free room."""

    buffers: tuple[tuple[str, str], ...]

    def build(self, to: Assembly) -> None:
        to.program.narrow([(to.number(rows), to.number(room)) for rows, room in self.buffers])


@dataclass(frozen=True)
class Deliver:
    """Rows of the chosen tokens are the results, in place of scores."""

    source: str

    def build(self, to: Assembly) -> None:
        to.program.deliver(to.number(self.source))
