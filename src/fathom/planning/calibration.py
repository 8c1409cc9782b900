"""Predictions put right by what this machine measured before.

A formula misses a machine by much the same factor each time, so the median of measured by
predicted corrects it. It speaks only of what it was taken from: the same machine, device,
threads, type, batch, class of model, versions and formula, and models of a like size. What was
measured while other work kept this process waiting does not count.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import median

from fathom.errors import RequestError
from fathom.planning.contention import BUSY
from fathom.planning.machine import this_machine
from fathom.planning.predict import Calibrated, Prediction
from fathom.planning.records import (
    DECODE,
    PREFILL,
    WAITED,
    Figure,
    Record,
    Settings,
    machine_identity,
    settings,
    this_software,
)
from fathom.planning.store import records
from fathom.spec.classes import model_class
from fathom.spec.model import TextModel
from fathom.spec.parts import active

FEWEST = 3  # records: below that a median is an anecdote
LATEST = 50  # of more, only these count: a machine changes
REACH = 2  # a model speaks of those from half to twice its size

# Shorter runs say more about their first moments than about a rate. Tokens.
_LONG_ENOUGH: Mapping[str, tuple[str, int]] = {
    DECODE: ("new_tokens", 8),
    PREFILL: ("prompt_tokens", 64),
}


def calibration(spec: TextModel, asked: Settings) -> Mapping[str, Sequence[float]]:
    """Return, per rate, measured by predicted of the records that speak of this question.

    A rate that too few records cover is absent.

    Raises:
        RequestError: the store of measurements cannot be read.
    """
    software = this_software()
    found = records(
        machine=machine_identity(this_machine()),
        subject_model_class=model_class(spec)[0],
        settings_dtype=asked.dtype,
        settings_device=asked.device,
        settings_threads=asked.threads,
        settings_batch=asked.batch,
        software_torch=software.torch,
        software_formula=software.formula,
    )
    ratios = {rate: _ratios(found, rate, active(spec)) for rate in _LONG_ENOUGH}
    return {rate: values for rate, values in ratios.items() if len(values) >= FEWEST}


def _ratios(found: Sequence[Record], rate: str, size: int) -> list[float]:
    """Return the ratios of one rate, latest last, of the records that a model of `size` is near."""
    counted, fewest = _LONG_ENOUGH[rate]
    return [
        ratio
        for record in found
        if not _disturbed(record)
        and getattr(record.settings, counted) >= fewest
        and size <= record.subject.active_parameters * REACH
        and size >= record.subject.active_parameters / REACH
        and (ratio := record.figures.get(rate, Figure()).ratio) is not None
    ][-LATEST:]


def _disturbed(record: Record) -> bool:
    """Whether other work held up this measurement."""
    waited = record.figures.get(WAITED, Figure()).measured
    return waited is not None and waited > BUSY


def calibrate(prediction: Prediction, spec: TextModel, device: str = "cpu") -> Prediction:
    """Return a prediction whose rates this machine's measurements have put right.

    What was put right, and by how many measurements, stands in `calibrated`; a rate that no
    measurements cover stays as the formula gives it. A store that cannot be read is a warning:
    predictions do without.
    """
    asked = settings(prediction.dtype, device, prediction.context, prediction.batch)
    try:
        found = calibration(spec, asked)
    except RequestError as error:
        warnings.warn(f"predictions are not calibrated: {error}", stacklevel=2)
        return prediction
    raw = {
        DECODE: prediction.decode_tokens_per_second,
        PREFILL: prediction.prefill_tokens_per_second,
    }
    changed = {
        rate: Calibrated(raw=value, ratio=median(found[rate]), runs=len(found[rate]))
        for rate, value in raw.items()
        if value is not None and rate in found
    }
    if not changed:
        return prediction
    rates = {rate: one.raw * one.ratio for rate, one in changed.items()}
    return replace(prediction, calibrated=changed, **rates)  # type: ignore[arg-type]  # rates alone
