"""What text is expected to take, on this machine and in the way that a model writes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, overload

from fathom.planning.native import predict_native
from fathom.planning.native_pair import NativePair
from fathom.planning.native_program import Native
from fathom.planning.opened import of_plans
from fathom.planning.predict import Forecast, Prediction, predict
from fathom.planning.probe import Rates, measured_rates
from fathom.planning.records import DECODE, PREFILL
from fathom.spec.model import Layered, TextModel, Writing

if TYPE_CHECKING:
    from fathom.ops.program import Program
    from fathom.ops.program_pair import ProgramPair


def forecast(
    spec: TextModel, program: Program | ProgramPair | None, dtype: str, context: int, batch: int
) -> Prediction:
    """Predict memory and speed of native programs; without any, of modules in a type."""
    rates = measured_rates()
    if program is None:
        return predict(spec, dtype=dtype, context=context, batch=batch, rates=rates)
    return predict_native(of_program(spec, program, rates), context, batch)


@overload
def of_program(spec: Layered, program: Program | ProgramPair, rates: Rates | None) -> Native: ...


@overload
def of_program(
    spec: Writing, program: Program | ProgramPair, rates: Rates | None
) -> NativePair: ...


def of_program(
    spec: Layered | Writing, program: Program | ProgramPair, rates: Rates | None
) -> Native | NativePair:
    """Return programs in memory as predictions see them, with matrices as they are packed."""
    matrices = program.matrices
    return of_plans(spec, program.plans, lambda one: matrices[one].encoding, rates)


def forecast_answer(
    predicted: Callable[[int, int], Prediction], most: int, prompt: int, capacity: int, beams: int
) -> Forecast:
    """Return what an answer is expected to take, written in room for `capacity` tokens.

    Speed is that of just these lengths: a prediction's own is of half a context read, and
    written on from nothing.

    Args:
        predicted: what is predicted at a context and a batch.
        most: tokens of the longest context.
        prompt: tokens that are read.
        beams: texts that are written side by side.
    """
    reading = predicted(min(most, 2 * prompt), beams)
    writing = predicted(min(most, prompt + capacity), beams)
    asked = ((PREFILL, reading), (DECODE, writing))
    return replace(
        predicted(capacity, beams),
        prefill_tokens_per_second=reading.prefill_tokens_per_second,
        decode_tokens_per_second=writing.decode_tokens_per_second,
        calibrated={name: of.calibrated[name] for name, of in asked if name in of.calibrated},
    ).forecast(prompt)
