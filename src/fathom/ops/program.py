"""Programs: a flat list of steps over named rows, run for many tokens in one native call.

A `Plan` is data: it names rows, weights and what is done in which order, and can be printed. With
weights it becomes a `Program`. Tokens of several sequences go through together, each sequence
bringing as many as it likes. What earlier tokens left lies in pages, whose tables the caller owns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from fathom.ops.native import native
from fathom.ops.steps import Factor, Heads, Matrix, NormShape, Routing, Rows, StateType

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float32]
    Integers: TypeAlias = NDArray[np.int32]

PAGE_TOKENS = 32  # keys of one head that lie in one piece of a page
LANES = 16  # numbers of a vector; values are padded to whole ones
WIDEST_HEAD = 512
ALIGNMENT = 64  # bytes on which begins what a step keeps
STATE_BYTES = {"float32": 4, "float16": 2}  # of a number of keys and values


class NoProgramError(Exception):
    """A part that no step expresses. Never leaves the house: it becomes a reason."""


def head_bytes(width: int, state: StateType) -> int:
    """Return the bytes that the keys and values of one head take in a page."""
    padded = -(-width // LANES) * LANES
    return PAGE_TOKENS * (width + padded) * STATE_BYTES[state]


class Step(Protocol):
    """Something that is done to all rows: what `ops.steps` and its neighbours hold."""

    def build(self, to: Assembly) -> None:
        """Add it to a native program."""
        ...


class Weights(Protocol):
    """Where a program's weights come from."""

    def matrix(self, matrix: Matrix) -> Any:
        """Return a packed matrix of the native module."""
        ...

    def vector(self, name: str) -> Floats:
        """Return a small tensor in float32, flat."""
        ...


@dataclass(frozen=True)
class PoolShape:
    """Pages of layers with one reach: of `window` tokens, or of all; or those of a `source`."""

    window: int | None
    page_bytes: int
    source: bool = False

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
    slot_bytes: int = 0  # of what recurrences remember of a sequence
    delivered: int | None = None  # numbers of a result, where those are no scores

    @property
    def result_width(self) -> int:
        """Numbers that come out for a token: of hidden states where those are, else scores."""
        return self.vocabulary if self.delivered is None else self.delivered

    def row_bytes(self) -> int:
        """Return the bytes of all rows for one token, about: float32 and what it becomes."""
        numbers = sum(rows.width * rows.repeats for rows in self.rows.values())
        remainders = sum(rows.refined * rows.repeats for rows in self.rows.values())
        return numbers * (4 + 2) + remainders * ALIGNMENT

    def page_bytes(self, capacity: int, most_tokens: int) -> int:
        """Return the bytes of one sequence's own pages, of up to `capacity` tokens."""
        own = (pool for pool in self.pools if not pool.source)
        return sum(pool.pages(capacity, most_tokens) * pool.page_bytes for pool in own)

    def source_bytes(self, length: int) -> int:
        """Return the bytes of the pages of a source of `length` tokens, which may be looked at."""
        read = (pool for pool in self.pools if pool.source)
        return sum(pool.pages(length, length) * pool.page_bytes for pool in read)

    def state_bytes(self, capacity: int, most_tokens: int) -> int:
        """Return the bytes of one sequence of up to `capacity` tokens: its pages and its slot."""
        return self.page_bytes(capacity, most_tokens) + self.slot_bytes


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
            self.numbers[name] = self.program.buffer(rows.width, rows.repeats, rows.refined)
        return self.numbers[name]

    def matrix(self, matrix: Matrix) -> Any:
        if matrix not in self.matrices:
            self.matrices[matrix] = self.weights.matrix(matrix)
        return self.matrices[matrix]

    def column(self, column: tuple[str, int]) -> tuple[int, int]:
        return self.number(column[0]), column[1]

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

    The caller owns pages and slots, and says whose is which. A slot is one piece of
    `Plan.slot_bytes`: what recurrences remember of a sequence, whatever its length. It needs no
    clearing, as a sequence whose start is 0 remembers nothing; and unlike pages it cannot be
    shared or rewound, only copied as a whole, together with the number of tokens it has seen.

    Attributes:
        ids: (tokens) int32.
        counts: tokens of each sequence.
        starts: the position of each sequence's first token here.
        tables: for each pool (sequences, pages) int32: where `PAGE_TOKENS` positions lie.
        frequencies: (sequences, frequency_width) float32.
        outputs: (outputs) int32: tokens whose scores are wanted.
        slots: which slot of the memory is each sequence's own; none where a plan has no slots.
        read: tokens of the source that each sequence looks at; None where nothing looks.
        given: (tokens, width) float32: rows in place of those of `ids`, where a plan accepts them.
    """

    ids: Integers
    counts: Sequence[int]
    starts: Sequence[int]
    tables: Sequence[Integers]
    frequencies: Floats
    outputs: Integers
    slots: Sequence[int] = ()
    read: Sequence[int] | None = None
    given: Floats | None = None


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
        self._turn = Lock()

    @property
    def bytes(self) -> int:
        """Bytes of packed weights and rows."""
        return self._program.bytes + self.weight_bytes

    @property
    def weight_bytes(self) -> int:
        """Bytes of packed weights alone."""
        return sum(each.nbytes for each in self.matrices.values())

    def run(
        self,
        batch: Batch,
        pages: Sequence[NDArray[np.uint8]],
        memory: NDArray[np.uint8] | None = None,
    ) -> Floats:
        """Take tokens in; return scores, or what is delivered: (outputs, `Plan.result_width`).

        `pages` are those of each pool, and `memory` (slots · `Plan.slot_bytes`,) all slots.
        """
        import numpy as np

        counts = np.asarray(batch.counts, dtype=np.int32)
        begins = np.concatenate(([0], counts.cumsum())).astype(np.int32)
        owners = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
        offsets = np.arange(len(batch.ids), dtype=np.int32) - begins[owners]
        positions = offsets + np.asarray(batch.starts, dtype=np.int32)[owners]
        scores = np.empty((len(batch.outputs), self.plan.result_width), dtype=np.float32)
        with self._turn:  # its rows are one batch's at a time, whichever thread brings it
            self._program.run(
                batch.ids,
                positions,
                owners,
                begins,
                batch.frequencies,
                list(zip(pages, batch.tables, strict=True)),
                np.zeros(0, dtype=np.uint8) if memory is None else memory,
                np.asarray(batch.slots, dtype=np.int32),
                batch.outputs,
                scores,
                None if batch.read is None else np.asarray(batch.read, dtype=np.int32),
                batch.given,
            )
        return scores
