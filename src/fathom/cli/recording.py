"""What `fathom run` remembers of an answer: how fast it was beside what was predicted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fathom.cli.figures import expected_memory
from fathom.planning.contention import Turns, turns
from fathom.planning.records import (
    DECODE,
    FIRST,
    LOAD,
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
    from fathom.library import Generation, TextModel


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
