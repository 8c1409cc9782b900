"""What a model of speech takes whose tower is modules and whose text a pair of programs writes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from fathom.checkpoint.description import Description
from fathom.planning.costs import BYTES
from fathom.planning.native import NUMBER
from fathom.planning.native_pair import NativePair
from fathom.planning.opened import native
from fathom.planning.packing import packed_bytes
from fathom.planning.probe import NativeRates, Rates
from fathom.planning.programs import opened_dtype
from fathom.planning.stages import StagedPrediction, held
from fathom.programs.layout import PAGE_TOKENS
from fathom.spec.parts import children, parameters
from fathom.spec.speech import OPENING, SCORED, Speech

ROWS = "rows"  # of the programs, which stay beside the tower's workspace


def native_speech(
    description: Description, spec: Speech, dtype: str, rates: Rates | None
) -> NativePair:
    """Return the programs that opening makes of a model of speech, as `planning.opened.native`."""
    contents = description.contents
    named = dtype if contents is None else opened_dtype(contents)
    return native(description, spec, named, rates)


def written_natively(found: StagedPrediction, spec: Speech, pair: NativePair) -> StagedPrediction:
    """Return a prediction of modules as one of native programs for all but what hears."""
    work, number = found.work, BYTES[found.dtype]
    hearing = spec.stages(work)[0]
    heard = spec.encoder.length(spec.encoder.frames)
    copied = 0 if found.dtype == "float32" else NUMBER * work.batch * heard * spec.encoder.width
    packed = {name: size for name, size in _weights(spec, pair).items() if name in found.terms}
    opening = work.batch * (work.tokens or OPENING)
    rows = min(heard, pair.reader.most_tokens) * pair.reader.plan.row_bytes()
    rows += min(opening, pair.writer.most_tokens) * pair.writer.plan.row_bytes()
    terms = {
        **found.terms,
        **packed,
        "kept": number * hearing.kept + copied + work.batch * pair.state_bytes(spec.context, heard),
        "workspace": held(hearing, found.dtype),
        ROWS: rows + NUMBER * SCORED * work.batch * spec.vocabulary,
    }
    rates = pair.measured
    seconds = found.seconds
    if seconds is not None and rates is not None:
        seconds = {**seconds, **_seconds(spec, found, pair, rates)}
    return replace(found, terms=terms, seconds=seconds)


def speech_reasons(spec: Speech, pair: NativePair, found: StagedPrediction) -> Mapping[str, str]:
    """Return a line per term that native programs change: what is multiplied with what."""
    heard = spec.encoder.length(spec.encoder.frames)
    pages = pair.state_bytes(spec.context, heard)
    return {
        "weights: decoder": f"of {pair.told_sizes}, in panels of 16 rows; small tensors in float32",
        "weights: output": "its matrix in panels of 16 rows, or the decoder's own table",
        "kept": f"what was heard, and {found.work.batch} × {pages:,} bytes of pages of"
        f" {PAGE_TOKENS} tokens: {spec.context:,} written about {heard:,} that were heard",
        ROWS: f"{min(heard, pair.reader.most_tokens):,} positions ×"
        f" {pair.reader.plan.row_bytes():,} bytes, those of the opening, {SCORED} rows of scores",
    }


def _weights(spec: Speech, pair: NativePair) -> Mapping[str, int]:
    """Return the bytes of what is packed, by the terms of components."""
    sizes = {matrix.name: packed_bytes(*one) for matrix, one in pair.matrices.items()}
    return {
        f"weights: {name}": sum(
            sizes.get(f"{name}.{one.name}", NUMBER * one.elements) for one in parameters(part)
        )
        for name, part in children(spec)
        if name != "encoder"
    }


def _seconds(
    spec: Speech, found: StagedPrediction, pair: NativePair, rates: NativeRates
) -> Mapping[str, float]:
    """Return the seconds of all passes of the stages that write."""
    work, reader, writer = found.work, pair.reader, pair.writer
    heard = spec.encoder.length(spec.encoder.frames)
    opening, written = work.tokens or OPENING, work.written or 1
    passes = {stage.name: stage.passes for stage in spec.stages(work)}
    together = min(heard, reader.most_tokens)
    keys = reader.product_seconds(rates, together, scored=0) / together
    keys += reader.moved_bytes() / rates.moved
    steps = len(writer.plan.steps) * rates.step_seconds

    def token(rows: int, before: int) -> float:
        products = writer.product_seconds(rates, rows, scored=work.batch)
        attended = writer.score_operations(before, read=heard)
        return products + rows * attended / rates.attention_step + steps

    begun = work.batch * heard * keys + token(work.batch * opening, opening)
    more = token(work.batch, opening + written // 2)
    return {"opening": passes["opening"] * begun, "decoder": passes["decoder"] * more}
