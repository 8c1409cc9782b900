"""Programs: plans with weights, run for many tokens in one native call.

Tokens of several sequences go through together, each sequence bringing as many as it likes. What
earlier tokens left lies in pages, whose tables the caller owns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, TypeAlias

from fathom.ops.native import native
from fathom.programs.assembly import Assembly, Weights
from fathom.programs.plan import NoProgramError, Plan

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float32]
    Integers: TypeAlias = NDArray[np.int32]


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
    def plans(self) -> tuple[Plan, ...]:
        """Its plan, as a pair has two."""
        return (self.plan,)

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
