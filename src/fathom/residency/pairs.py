"""A model that looks at a source as native programs on the processor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fathom.ops.program import Program, Weights
from fathom.ops.program_pair import ProgramPair
from fathom.ops.steps import Matrix
from fathom.planning.programs import most_tokens, planned_pair
from fathom.spec.model import Writing

if TYPE_CHECKING:
    from fathom.checkpoint.contents import Contents
    from fathom.checkpoint.naming import Assignment
    from fathom.checkpoint.progress import Progress
    from fathom.ops.program import Floats


def load_pair(
    spec: Writing,
    contents: Contents,
    assignments: Sequence[Assignment],
    *,
    dtype: str,
    threads: int,
    progress: Progress,
    quant: str | None = None,
) -> ProgramPair:
    """Return a model's programs, their weights packed once for both, as `programs.load_program`.

    Raises:
        NoProgramError: when `planning.programs.why_modules` has a reason.
        TensorMismatchError: when a tensor has another shape than the spec says.
    """
    from fathom.residency.packed import PackedWeights

    plans = planned_pair(spec, dtype)
    with PackedWeights(
        spec, contents, assignments, threads=threads, quant=quant, progress=progress
    ) as weights:
        shared = Shared(weights)
        reader, writer = (
            Program(plan, shared, most_tokens=most_tokens(plan, spec.context), threads=threads)
            for plan in plans
        )
    return ProgramPair(reader, writer)


class Shared:
    """Weights of which no matrix is packed twice."""

    def __init__(self, weights: Weights) -> None:
        self._weights = weights
        self._packed: dict[Matrix, Any] = {}

    def matrix(self, matrix: Matrix) -> Any:
        """Return a packed matrix."""
        if matrix not in self._packed:
            self._packed[matrix] = self._weights.matrix(matrix)
        return self._packed[matrix]

    def vector(self, name: str) -> Floats:
        """Return a small tensor in float32, flat."""
        return self._weights.vector(name)
