"""A decoder as a native program on the processor, or why it runs as modules instead."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from fathom.blocks.lowering_decoder import lower, why_not
from fathom.ops.native import native
from fathom.ops.program import Plan, Program, StateType
from fathom.residency.packed import PackedWeights
from fathom.spec.decoder import Decoder

if TYPE_CHECKING:
    from fathom.checkpoint.contents import Contents
    from fathom.checkpoint.naming import Assignment
    from fathom.checkpoint.progress import Progress
    from fathom.spec.model import Model

MOST_TOKENS = 512  # that go through together: weights are read once for all of them
LEAST_TOKENS = 64
ROOM = 64 << 20  # bytes of rows for those tokens, where that leaves `LEAST_TOKENS` of them


def why_modules(
    spec: Model, *, device: str, dtype_asked: str | None = None, adapted: bool = False
) -> str | None:
    """Return why a model does not run as a native program; None where it does."""
    if os.environ.get("FATHOM_VARIANT") == "reference":
        return "FATHOM_VARIANT asks for the reference"
    if device != "cpu":
        return f"it is on {device}"
    if dtype_asked is not None:
        return f"computing in {dtype_asked} was asked for"
    if adapted:
        return "an adapter is on it"
    module = native()
    return module if isinstance(module, str) else why_not(spec)


def kernels() -> tuple[str, str]:
    """Return the name of the native kernels in use, and why there are no better ones ("").

    Raises:
        RuntimeError: where there are none.
    """
    module = native()
    if isinstance(module, str):
        raise RuntimeError(module)
    name, reason = module.best()
    return str(name), str(reason)


def state_type(dtype: str) -> StateType:
    """Return what keys and values are kept in, for weights published in a type.

    float16 holds three more bits of a number than bfloat16 does, at the same size.
    """
    return "float32" if dtype == "float32" else "float16"


def most_tokens(plan: Plan) -> int:
    """Return how many tokens go through a program together."""
    fitting = ROOM // plan.row_bytes() // LEAST_TOKENS * LEAST_TOKENS
    return min(MOST_TOKENS, max(LEAST_TOKENS, fitting))


def load_program(
    spec: Decoder,
    contents: Contents,
    assignments: Sequence[Assignment],
    *,
    dtype: str,
    threads: int,
    progress: Progress,
) -> Program:
    """Return a decoder's program, its weights packed from the files.

    Raises:
        NoProgramError: when `why_modules` has a reason.
        TensorMismatchError: when a tensor has another shape than the spec says.
    """
    plan = lower(spec, state_type(dtype))
    with PackedWeights(spec, contents, assignments, threads=threads, progress=progress) as weights:
        return Program(plan, weights, most_tokens=most_tokens(plan), threads=threads)
