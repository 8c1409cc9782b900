"""Whether a model runs as a native program on the processor, and how large that is.

The one home of this decision: what opens a model and what predicts it ask here.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from fathom.planning.kernels import why_none
from fathom.planning.machine import this_machine
from fathom.programs.layout import StateType
from fathom.programs.lowering_decoder import lower, why_not
from fathom.programs.lowering_pair import lower_look, lower_reader, lower_writer
from fathom.programs.plan import Plan
from fathom.spec.decoder import Decoder
from fathom.spec.encoder import Encoder

if TYPE_CHECKING:
    from fathom.checkpoint.contents import Contents
    from fathom.spec.model import Layered, Model, TextModel, Writing
    from fathom.spec.speech import Speech

__all__ = [
    "most_tokens",
    "opened_dtype",
    "planned",
    "planned_look",
    "rounds",
    "steps_that_run",
    "why_modules",
]

MOST_TOKENS = 512  # that go through together: weights are read once for all of them
LEAST_TOKENS = 64
ROOM = 8 << 20  # bytes of rows for those tokens, where that leaves `LEAST_TOKENS` of them


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
    return why_none() or why_not(spec)


def opened_dtype(contents: Contents) -> str:
    """Return the type in which a checkpoint is computed where nobody asks for another."""
    encodings = {tensor.encoding for tensor in contents.tensors.values()}
    if encodings <= {"F32", "F64", "I64", "I32"}:  # positions may be stored, as whole numbers
        return "float32"
    machine = this_machine()
    fast = {"avx512_bf16", "amx_bf16", "bf16"}
    computes = bool(machine.accelerators) or not fast.isdisjoint(machine.instructions)
    return "bfloat16" if computes else "float32"


def planned(spec: Layered | Writing, dtype: str) -> tuple[Plan, ...]:
    """Return the steps of a model whose weights were published in a type.

    Of one that looks at a source, those that read it and those that write about it.

    Raises:
        NoProgramError: when `why_modules` has a reason.
    """
    state = _state(spec, dtype)
    if isinstance(spec, Decoder | Encoder):
        return (lower(spec, state),)
    return lower_reader(spec, state), lower_writer(spec, state)


def planned_look(spec: Speech, heads: Sequence[tuple[int, int]], dtype: str) -> Plan:
    """Return the steps that say where heads, pairs of layer and head, look at a window.

    Raises:
        NoProgramError: when `why_modules` has a reason.
    """
    window = spec.encoder.length(spec.encoder.frames)
    return lower_look(spec, heads, window, _state(spec, dtype))


def steps_that_run(
    spec: TextModel, dtype: str, *, dtype_asked: str | None = None
) -> tuple[type, ...]:
    """Return the kinds of steps of the programs that opening makes on this machine, as they run.

    None where it makes none; `dtype` is what the model was published in.
    """
    if why_modules(spec, device=this_machine().device, dtype_asked=dtype_asked) is not None:
        return ()
    steps = (step for plan in planned(spec, dtype) for step in plan.steps)
    return tuple(dict.fromkeys(map(type, steps)))


def _state(spec: Layered | Writing, dtype: str) -> StateType:
    """Return what keys and values are kept in.

    That is float32 where nothing else is rounded, or else float16, which holds three more bits of
    a number than bfloat16 does, at the same size.
    """
    return "float32" if dtype == "float32" and not rounds(spec) else "float16"


def rounds(spec: Model) -> bool:
    """Return whether matrices published in float32 are rounded to bfloat16 for the program.

    An encoder's are: its vectors stay the same to a cosine of 0.9999 and are made in much less
    time. Who wants float32 asks for it, and has modules.
    """
    return isinstance(spec, Encoder)


def most_tokens(plan: Plan, context: int) -> int:
    """Return how many tokens go through a program together.

    What delivers hidden states reads texts in both directions, and so whole.
    """
    fitting = ROOM // plan.row_bytes() // LEAST_TOKENS * LEAST_TOKENS
    usual = min(MOST_TOKENS, max(LEAST_TOKENS, fitting))
    return usual if plan.delivered is None else max(usual, context)
