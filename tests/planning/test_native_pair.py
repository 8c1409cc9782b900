"""Predictions of pairs of native programs against the programs themselves. No speed is asserted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from fathom.checkpoint.description import describe
from fathom.generation.native_pair import NativePair as Forward
from fathom.library import open as open_model
from fathom.library.speech import SpeechModel
from fathom.ops.program_pair import ProgramPair
from fathom.planning.fit import fit
from fathom.planning.native import predict_native
from fathom.planning.native_pair import NativePair
from fathom.planning.native_speech import native_speech, speech_reasons, written_natively
from fathom.planning.opened import native
from fathom.planning.staged_fit import fit_stages
from fathom.planning.stages import predict_stages
from fathom.spec.encoder_decoder import EncoderDecoder
from fathom.spec.speech import Speech
from library import pairs
from parity.cases_speech.whisper import SMALL
from parity.speech_case import SpeechCase, build_speech
from planning.test_native import KNOWN
from planning.test_probe import RATES


@pytest.fixture(scope="module", params=pairs.KINDS)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pairs.make(tmp_path_factory.mktemp("pairs"), request.param, {})[0]


def pair(folder: Path, quant: str | None = None) -> NativePair:
    description = describe(folder)
    assert isinstance(description.spec, EncoderDecoder)
    return native(description, description.spec, "float32", KNOWN, quant)


def test_weights_and_pages_are_those_that_opening_takes(folder: Path) -> None:
    model = pairs.opened(folder, natively=True)
    spec, programs, forecast = model.spec, model.program, pair(folder)
    assert isinstance(spec, EncoderDecoder) and isinstance(programs, ProgramPair)
    small = forecast.weight_bytes - programs.weight_bytes
    large = {matrix.name for matrix in programs.matrices}
    held = (p.numel() for name, p in model.module.named_parameters() if name not in large)
    assert small == 4 * sum(held)
    course = Forward(spec, programs).begin(rows=3, capacity=50, source=40)
    course.read([[5] * 40] * 3)
    course.scores([[0]] * 3)
    pages = course._own.nbytes + course._source.nbytes
    assert pages == 3 * forecast.state_bytes(50, 40)
    told = fit(describe(folder), context=50).prediction
    assert told.terms["weights"] == forecast.weight_bytes
    assert model.fit(context=50).terms == told.terms


def test_terms_are_told_and_add_up(folder: Path) -> None:
    found = predict_native(pair(folder), 40, 2)
    assert found.total_bytes == sum(found.terms.values())
    assert {*found.terms, "writing"} == set(pair(folder).reasons(found))
    assert found.decode_tokens_per_second and found.prefill_tokens_per_second
    assert fit(describe(folder)).runs_as == "native program, most of it F32"
    assert fit(describe(folder), dtype="float32").runs_as.startswith("PyTorch modules")
    without = replace(pair(folder).writer, rates=RATES)
    unmeasured = predict_native(NativePair(replace(pair(folder).reader, rates=RATES), without), 40)
    assert unmeasured.decode_tokens_per_second is unmeasured.prefill_tokens_per_second is None
    assert "writing" not in NativePair(without, without).reasons(unmeasured)


def test_more_rows_and_longer_sources_take_longer(folder: Path) -> None:
    def seconds(context: int, batch: int) -> float:
        return sum((pair(folder).step_seconds(context, batch) or {}).values())

    assert seconds(20, 1) < seconds(60, 1) < seconds(60, 4)
    assert (
        predict_native(pair(folder), 20).total_bytes < predict_native(pair(folder), 60).total_bytes
    )
    packed = pair(folder, "Q8_0").weight_bytes
    assert packed < pair(folder).weight_bytes


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("speech")
    build_speech(SpeechCase("whisper", "planned", SMALL), folder)
    return folder


def test_what_writes_about_sound_is_predicted_as_it_is_packed(speech: Path) -> None:
    model = open_model(str(speech), device="cpu")
    assert isinstance(model, SpeechModel) and isinstance(model.program, ProgramPair)
    description = describe(speech)
    spec = description.spec
    assert isinstance(spec, Speech)
    forecast = native_speech(description, spec, "float32", KNOWN)
    modules = predict_stages(spec, dtype="float32", rates=KNOWN)
    found = written_natively(modules, spec, forecast)
    assert set(speech_reasons(spec, forecast, found)) <= set(found.terms)
    small = sum(
        parameter.numel()
        for name, parameter in model.plain_module().named_parameters()
        if not name.startswith("encoder.") and name not in {m.name for m in model.program.matrices}
    )
    counted = found.terms["weights: decoder"] + found.terms["weights: output"]
    assert counted == model.program.weight_bytes + 4 * small
    assert found.terms["weights: encoder"] == modules.terms["weights: encoder"]
    assert found.seconds is not None and modules.seconds is not None
    assert found.seconds["encoder"] == modules.seconds["encoder"]
    assert found.seconds.keys() == modules.seconds.keys()
    course = model.writer.begin(rows=1, capacity=spec.context, source=50)
    course.hear(torch.zeros(1, 50, spec.encoder.width))
    course.scores([[1]])
    pages = course._own.nbytes + course._source.nbytes  # type: ignore[attr-defined]
    assert found.terms["kept"] == 4 * 50 * spec.encoder.width + pages


def test_fit_says_what_writes(speech: Path) -> None:
    description = describe(speech)
    spec = description.spec
    assert isinstance(spec, Speech)
    native = fit_stages(description, spec)
    assert set(native.reasons) >= set(native.prediction.terms)
    assert any("native program, most of it F32" in line for line in native.assumptions)
    modules = fit_stages(description, spec, dtype="float32")
    assert not any("native program" in line for line in modules.assumptions)
    assert native.prediction.terms != modules.prediction.terms
