"""Predicted beside measured: the figures of one generation, for people and for programs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fathom.cli.output import Json, byte_text, column_lines, plain, rate_text, seconds_text

if TYPE_CHECKING:
    from fathom.library import Generation
    from fathom.planning.predict import Forecast

_ENDINGS = {"stop": "ended by itself", "length": "cut at the length asked for"}


def report(generation: Generation) -> dict[str, Json]:
    """Return a finished generation as `--json` prints it."""
    content: dict[str, Json] = {
        "text": generation.text,
        "reasoning": generation.reasoning,
        "finish_reason": generation.finish_reason,
        "usage": plain(generation.usage),
        "predicted": plain(generation.predicted),
        "measured": plain(generation.measured),
        "notes": list(generation.notes),
        "kernels": generation.kernels,
    }
    if generation.logprobs is not None:
        content["logprobs"] = plain(generation.logprobs)
    return content


def figure_lines(generation: Generation) -> list[str]:
    """Return a table of predicted and measured figures, and one line on the tokens."""
    predicted, measured = generation.predicted, generation.measured
    pairs = (
        (
            "first token",
            _seconds(predicted.seconds_to_first_token),
            _seconds(measured.seconds_to_first_token),
        ),
        (
            "reading",
            _tokens(predicted.prefill_tokens_per_second),
            _tokens(measured.prefill_tokens_per_second),
        ),
        (
            "writing",
            _tokens(predicted.decode_tokens_per_second),
            _tokens(measured.decode_tokens_per_second),
        ),
        ("memory", _bytes(expected_memory(generation)), _bytes(measured.peak_memory_bytes)),
    )
    rows = [("", "predicted", "measured"), *pairs]
    table = column_lines(rows, right=frozenset({1, 2}))
    return [*table, *_calibrated(predicted), generation.kernels, _account(generation)]


def expected_memory(generation: Generation) -> int | None:
    """Return the forecast of memory for as many tokens as there were: what was left is not taken.

    How fast those come was forecast before the first of them, how many was not.
    """
    usage = generation.usage
    tokens = usage.prompt_tokens + usage.completion_tokens
    return generation.predicted.memory_after(usage.prompt_tokens, tokens)


def _calibrated(predicted: Forecast) -> list[str]:
    if predicted.raw is None:
        return []
    formula = predicted.raw.decode_tokens_per_second
    alone = "" if formula is None else f"; the formula alone says {_tokens(formula)} of writing"
    return [f"predicted speed is calibrated from {predicted.calibrated_from} runs here{alone}"]


def _account(generation: Generation) -> str:
    usage = generation.usage
    thought = f" ({usage.reasoning_tokens:,} of them thought)" if usage.reasoning_tokens else ""
    ending = _ENDINGS.get(generation.finish_reason or "", str(generation.finish_reason))
    loaded = generation.measured.load_seconds
    load = "" if loaded is None else f"; loaded in {seconds_text(loaded)}"
    return (
        f"{usage.prompt_tokens:,} tokens in, {usage.completion_tokens:,} out{thought}, "
        f"{ending}{load}"
    )


def _seconds(value: float | None) -> str:
    return "–" if value is None else seconds_text(value)


def _tokens(value: float | None) -> str:
    return "–" if value is None else rate_text(value, "tokens")


def _bytes(value: float | None) -> str:
    return "–" if value is None else byte_text(value)
