"""A model of text as native programs on the processor, its weights packed from the files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fathom.ops.program import Program
from fathom.ops.program_pair import ProgramPair
from fathom.planning.programs import most_tokens, planned, planned_look, rounds
from fathom.programs.assembly import Weights
from fathom.programs.steps import Matrix
from fathom.spec.model import Layered, Writing
from fathom.spec.speech import Speech

if TYPE_CHECKING:
    from fathom.checkpoint.contents import Contents
    from fathom.checkpoint.naming import Assignment
    from fathom.checkpoint.progress import Progress
    from fathom.programs.assembly import Floats


def load_programs(
    spec: Layered | Writing,
    contents: Contents,
    assignments: Sequence[Assignment],
    *,
    dtype: str,
    threads: int,
    progress: Progress,
    quant: str | None = None,
    meanwhile: Callable[[], object] = lambda: None,
) -> Program | ProgramPair:
    """Return a model's program, or the two of one that looks at a source.

    Weights are packed from the files, perhaps as `quant`, and once where both programs read them.
    Native threads do that, and `meanwhile` is called: what it leaves behind is the last that takes
    memory, and what it only passes through leaves no holes among what stays.

    Raises:
        NoProgramError: when `planning.programs.why_modules` has a reason.
        TensorMismatchError: when a tensor has another shape than the spec says.
    """
    from fathom.residency.packed import PackedWeights

    with PackedWeights(
        spec,
        contents,
        assignments,
        threads=threads,
        rounded=rounds(spec),
        quant=quant,
        progress=progress,
    ) as weights:
        shared = Shared(weights)
        made = [
            Program(plan, shared, most_tokens=most_tokens(plan, spec.context), threads=threads)
            for plan in planned(spec, dtype)
        ]
        meanwhile()
    return ProgramPair(*made) if len(made) > 1 else made[0]


def load_looking(
    spec: Speech,
    contents: Contents,
    assignments: Sequence[Assignment],
    heads: Sequence[tuple[int, int]],
    *,
    dtype: str,
    threads: int,
    packed: Mapping[Matrix, Any],
) -> Program:
    """Return the program that says where heads look; matrices are those `packed` already.

    Raises:
        ModelFileError: when a file is not what it was any more.
    """
    from fathom.residency.packed import PackedWeights

    plan = planned_look(spec, heads, dtype)
    most = most_tokens(plan, 1)  # it may take a text in pieces
    with PackedWeights(spec, contents, assignments, threads=1) as weights:
        return Program(plan, Shared(weights, packed), most_tokens=most, threads=threads)


class Shared:
    """Weights of which no matrix is packed twice; some may be packed `already`."""

    def __init__(self, weights: Weights, already: Mapping[Matrix, Any] | None = None) -> None:
        self._weights = weights
        self._packed: dict[Matrix, Any] = dict(already or {})

    def matrix(self, matrix: Matrix) -> Any:
        """Return a packed matrix."""
        if matrix not in self._packed:
            self._packed[matrix] = self._weights.matrix(matrix)
        return self._packed[matrix]

    def vector(self, name: str) -> Floats:
        """Return a small tensor in float32, flat."""
        return self._weights.vector(name)
