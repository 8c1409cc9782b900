"""A decoder or an encoder as a native program on the processor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fathom.ops.program import Program
from fathom.planning.programs import most_tokens, planned, rounds
from fathom.spec.model import Layered

if TYPE_CHECKING:
    from fathom.checkpoint.contents import Contents
    from fathom.checkpoint.naming import Assignment
    from fathom.checkpoint.progress import Progress


def load_program(
    spec: Layered,
    contents: Contents,
    assignments: Sequence[Assignment],
    *,
    dtype: str,
    threads: int,
    progress: Progress,
    quant: str | None = None,
) -> Program:
    """Return a model's program, its weights packed from the files, perhaps as `quant`.

    Raises:
        NoProgramError: when `planning.programs.why_modules` has a reason.
        TensorMismatchError: when a tensor has another shape than the spec says.
    """
    from fathom.residency.packed import PackedWeights

    plan = planned(spec, dtype)
    with PackedWeights(
        spec,
        contents,
        assignments,
        threads=threads,
        rounded=rounds(spec),
        quant=quant,
        progress=progress,
    ) as weights:
        return Program(plan, weights, most_tokens=most_tokens(plan, spec.context), threads=threads)
