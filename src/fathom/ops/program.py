"""Programs: a flat list of steps over named rows, run for many tokens in one native call.

A `Plan` is data: it names rows, weights and what is done in which order, and can be printed. With
weights it becomes a `Program`. Tokens of several sequences go through together, each sequence
bringing as many as it likes. What earlier tokens left lies in pages, whose tables the caller owns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

from fathom.ops.native import native

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float32]
    Integers: TypeAlias = NDArray[np.int32]

PAGE_TOKENS = 32  # keys of one head that lie in one piece of a page
LANES = 16  # numbers of a vector; values are padded to whole ones
WIDEST_HEAD = 512
STATE_BYTES = {"float32": 4, "float16": 2}  # of a number of keys and values

StateType: TypeAlias = Literal["float32", "float16"]


class NoProgramError(Exception):
    """A part that no step expresses. Never leaves the house: it becomes a reason."""


def head_bytes(width: int, state: StateType) -> int:
    """Return the bytes that the keys and values of one head take in a page."""
    padded = -(-width // LANES) * LANES
    return PAGE_TOKENS * (width + padded) * STATE_BYTES[state]


@dataclass(frozen=True)
class Matrix:
    """A weight by the name of its parameter. An `exact` one is kept in float32."""

    name: str
    expert: int | None = None  # of a stack: which one
    exact: bool = False


class Weights(Protocol):
    """Where a program's weights come from."""

    def matrix(self, matrix: Matrix) -> Any:
        """Return a packed matrix of the native module."""
        ...

    def vector(self, name: str) -> Floats:
        """Return a small tensor in float32, flat."""
        ...


@dataclass(frozen=True)
class Rows:
    """A buffer: `width` numbers for every token, `repeats` times."""

    width: int
    repeats: int = 1


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
    """Every query meets the keys in its reach; results of all heads fill the target's rows."""

    heads: Heads
    target: str
    reach: Literal["everything", "window", "chunk"]
    reach_width: int
    scale: float
    soft_cap: float = 0.0
    slopes: tuple[float, ...] | None = None
    sinks: str | None = None

    def build(self, to: Assembly) -> None:
        import numpy as np

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


Step: TypeAlias = (
    Embed
    | AddRows
    | Normalise
    | Add
    | Activate
    | GateRows
    | Multiply
    | Angles
    | Place
    | Attend
    | MixExperts
    | Select
)


@dataclass(frozen=True)
class PoolShape:
    """Pages of layers with one reach: of `window` tokens, or of all."""

    window: int | None
    page_bytes: int

    def pages(self, capacity: int, most_tokens: int) -> int:
        """Return the pages that one sequence needs: with a window, what is in reach of a step."""
        every = -(-capacity // PAGE_TOKENS)
        if self.window is None:
            return every
        return min(every, -(-(self.window + most_tokens) // PAGE_TOKENS) + 1)


@dataclass(frozen=True)
class Plan:
    """What is computed, in order; printable."""

    rows: Mapping[str, Rows]
    steps: tuple[Step, ...]
    pools: tuple[PoolShape, ...]
    frequency_width: int
    vocabulary: int

    def row_bytes(self) -> int:
        """Return the bytes of all rows for one token, about: float32 and what it becomes."""
        numbers = sum(rows.width * rows.repeats for rows in self.rows.values())
        return numbers * (4 + 2)

    def state_bytes(self, capacity: int, most_tokens: int) -> int:
        """Return the bytes of one sequence's pages, of up to `capacity` tokens."""
        return sum(pool.pages(capacity, most_tokens) * pool.page_bytes for pool in self.pools)


@dataclass
class Assembly:
    """A plan on its way to being a native program."""

    program: Any
    weights: Weights
    rows: Mapping[str, Rows]
    numbers: dict[str, int] = field(default_factory=dict)
    matrices: dict[Matrix, Any] = field(default_factory=dict)

    def number(self, name: str) -> int:
        if name not in self.numbers:
            rows = self.rows[name]
            self.numbers[name] = self.program.buffer(rows.width, rows.repeats)
        return self.numbers[name]

    def matrix(self, matrix: Matrix) -> Any:
        if matrix not in self.matrices:
            self.matrices[matrix] = self.weights.matrix(matrix)
        return self.matrices[matrix]

    def optional(self, name: str | None) -> Floats | None:
        return None if name is None else self.weights.vector(name)

    def first_row(self, name: str | None, target: str) -> Floats | None:
        return None if name is None else self.weights.vector(name)[: self.rows[target].width]

    def row(self, factor: Factor) -> Floats | None:
        """Return one expert's bias."""
        if factor.bias is None:
            return None
        expert, stacked = factor.matrix.expert, self.weights.vector(factor.bias)
        rows = self.matrix(factor.matrix).rows
        return stacked if expert is None else stacked[expert * rows : (expert + 1) * rows]

    def norm(self, shape: NormShape) -> tuple[object, ...]:
        weight, bias = self.optional(shape.weight), self.optional(shape.bias)
        return shape.width, shape.parts, shape.centred, shape.epsilon, weight, bias

    def heads(self, heads: Heads) -> tuple[object, ...]:
        exact = heads.state == "float32"
        shape = heads.heads, heads.kv_heads, heads.width
        return self.number(heads.source), *shape, heads.pool, heads.page_offset, exact

    def routing(self, routing: Routing) -> tuple[object, ...]:
        return (
            routing.scoring,
            routing.experts,
            routing.active,
            routing.renormalise,
            routing.floor,
            routing.scale,
            routing.jitter,
            self.optional(routing.correction),
            *routing.groups,
        )


@dataclass(frozen=True)
class Batch:
    """Tokens of several sequences, one sequence after the other.

    Attributes:
        ids: (tokens) int32.
        counts: tokens of each sequence.
        starts: the position of each sequence's first token here.
        tables: for each pool (sequences, pages) int32: where `PAGE_TOKENS` positions lie.
        frequencies: (sequences, frequency_width) float32.
        outputs: (outputs) int32: tokens whose scores are wanted.
    """

    ids: Integers
    counts: Sequence[int]
    starts: Sequence[int]
    tables: Sequence[Integers]
    frequencies: Floats
    outputs: Integers


class Program:
    """A plan with its weights, ready to run."""

    def __init__(self, plan: Plan, weights: Weights, *, most_tokens: int, threads: int) -> None:
        """Take a plan; up to `most_tokens` tokens may come in one call.

        Raises:
            NoProgramError: when there are no native kernels.
        """
        module = native()
        if isinstance(module, str):
            raise NoProgramError(module)
        self.plan = plan
        assembly = Assembly(module.Program(most_tokens, threads), weights, plan.rows)
        for step in plan.steps:
            step.build(assembly)
        assembly.program.finish()
        self._program = assembly.program
        self.matrices = assembly.matrices
        self.most_tokens = most_tokens

    @property
    def bytes(self) -> int:
        """Bytes of packed weights and rows."""
        return self._program.bytes + sum(each.nbytes for each in self.matrices.values())

    def run(self, batch: Batch, pages: Sequence[NDArray[np.uint8]]) -> Floats:
        """Take tokens in; return scores (outputs, vocabulary). `pages` are those of each pool."""
        import numpy as np

        counts = np.asarray(batch.counts, dtype=np.int32)
        begins = np.concatenate(([0], counts.cumsum())).astype(np.int32)
        owners = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
        offsets = np.arange(len(batch.ids), dtype=np.int32) - begins[owners]
        positions = offsets + np.asarray(batch.starts, dtype=np.int32)[owners]
        scores = np.empty((len(batch.outputs), self.plan.vocabulary), dtype=np.float32)
        self._program.run(
            batch.ids,
            positions,
            owners,
            begins,
            batch.frequencies,
            list(zip(pages, batch.tables, strict=True)),
            batch.outputs,
            scores,
        )
        return scores
