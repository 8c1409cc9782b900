"""What verbs remember of an answer or a task: how fast it was beside what was predicted."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, cast

from fathom.cli.figures import expected_memory
from fathom.planning.contention import Turns, turns
from fathom.planning.records import (
    DECODE,
    FIRST,
    LOAD,
    PASS_SECONDS,
    PREFILL,
    TOTAL,
    WAITED,
    Figure,
    Record,
    new_record,
    settings,
)
from fathom.planning.store import keep, recording

if TYPE_CHECKING:
    from fathom.library import Generation, Model, TextModel
    from fathom.library.staged import StagedModel


def record_run(model: TextModel, generation: Generation) -> None:
    """Keep a record of an answer, unless the user's environment says not to."""
    if recording() and generation.usage.completion_tokens:
        keep(run_record(model, generation))


def run_record(model: TextModel, generation: Generation) -> Record:
    """Return the record of an answer: counts and figures, nothing of what was said."""
    usage, measured = generation.usage, generation.measured
    predicted = generation.predicted.raw or generation.predicted
    how = settings(
        model.computing,
        model.device_type,
        context=usage.prompt_tokens + usage.completion_tokens,
        prompt=usage.prompt_tokens - usage.reused_tokens,
        new=usage.completion_tokens,
    )
    figures = {
        DECODE: Figure(predicted.decode_tokens_per_second, measured.decode_tokens_per_second),
        LOAD: Figure(None, measured.load_seconds),
        TOTAL: Figure(expected_memory(generation), measured.peak_memory_bytes),
        WAITED: Figure(None, turns().since(Turns())),
    }
    if not usage.reused_tokens:  # a prompt that was known in part was not forecast as such
        figures |= {
            PREFILL: Figure(
                predicted.prefill_tokens_per_second, measured.prefill_tokens_per_second
            ),
            FIRST: Figure(predicted.seconds_to_first_token, measured.seconds_to_first_token),
        }
    return new_record("run", model.subject, how, figures)


def record_task(model: Model, args: argparse.Namespace) -> None:
    """Keep a record of what a model in stages has just done, unless the user says not to."""
    took = getattr(model, "measured", None)  # which models of text have for each answer
    if took is not None and took.seconds and not args.no_record and recording():
        keep(task_record(cast("StagedModel", model)))


def task_record(model: StagedModel) -> Record:
    """Return the record of the last task: seconds of a pass of each stage, and the memory."""
    took = model.measured
    predicted = model.fit(took.work)
    passes = {stage.name: stage.passes for stage in model.spec.stages(predicted.work)}
    forecast = predicted.seconds or {}
    figures = {
        name + PASS_SECONDS: Figure(
            forecast[name] / passes[name] if forecast.get(name) and passes[name] else None,
            seconds / took.passes[name],
        )
        for name, seconds in took.seconds.items()
    }
    figures |= {
        LOAD: Figure(None, took.load_seconds),
        TOTAL: Figure(predicted.total_bytes, took.peak_memory_bytes),
        WAITED: Figure(None, turns().since(Turns())),
    }
    work = predicted.work
    how = settings(
        model.computing,
        model.device_type,
        context=(work.tokens or 0) + (work.written or 0),
        batch=work.batch,
        prompt=work.tokens or 0,
        new=work.written or 0,
    )
    return new_record("run", model.subject, how, figures)
