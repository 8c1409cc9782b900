"""Predictions put right by records, and by no record that speaks of something else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from fathom.dialects.config import Config
from fathom.dialects.dialect import find
from fathom.planning import calibration as module
from fathom.planning.calibration import FEWEST, REACH, calibrate
from fathom.planning.predict import Prediction
from fathom.planning.records import (
    DECODE,
    PREFILL,
    WAITED,
    Figure,
    Record,
    Subject,
    new_record,
    settings,
)
from fathom.planning.store import keep
from fathom.spec.classes import model_class
from fathom.spec.model import TextModel
from fathom.spec.parts import active, count

CONFIG = {
    "model_type": "llama",
    "vocab_size": 1000,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "max_position_embeddings": 512,
    "rms_norm_eps": 1e-5,
}
PREDICTED = Prediction(
    "float32",
    512,
    1,
    {"weights": 1},
    decode_tokens_per_second=100.0,
    prefill_tokens_per_second=1000.0,
)


@pytest.fixture
def spec() -> TextModel:
    return find("llama").read(Config(CONFIG))


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FATHOM_DATA", str(tmp_path))
    return tmp_path


def record(spec: TextModel, decode: float, **changes: object) -> Record:
    """A run of this very machine that wrote at `decode` times the speed predicted."""
    subject = Subject("m", "d", "llama", model_class(spec)[0], count(spec), active(spec), "F32")
    how = settings("float32", "cpu", 300, prompt=100, new=50)
    figures = {
        DECODE: Figure(100.0, 100.0 * decode),
        PREFILL: Figure(1000.0, 500.0),
        WAITED: Figure(None, 0.0),
    }
    return replace(new_record("run", subject, how, figures), **changes)  # type: ignore[arg-type]


def test_the_median_ratio_puts_both_rates_right_and_says_from_how_many(spec: TextModel) -> None:
    for ratio in (0.5, 0.8, 0.9):
        assert keep(record(spec, ratio))
    found = calibrate(PREDICTED, spec)
    assert found.decode_tokens_per_second == pytest.approx(80)
    assert found.prefill_tokens_per_second == pytest.approx(500)
    assert found.calibrated_from == 3
    assert found.raw == PREDICTED
    assert found.calibrated[DECODE].ratio == pytest.approx(0.8)


def test_a_forecast_carries_both(spec: TextModel) -> None:
    for _ in range(FEWEST):
        assert keep(record(spec, 0.8))
    forecast = calibrate(PREDICTED, spec).forecast(200)
    assert forecast.decode_tokens_per_second == pytest.approx(80)
    assert forecast.calibrated_from == FEWEST
    assert forecast.raw is not None
    assert forecast.raw.decode_tokens_per_second == 100
    assert PREDICTED.forecast(200).raw is None


def test_too_few_change_nothing(spec: TextModel) -> None:
    for _ in range(FEWEST - 1):
        assert keep(record(spec, 0.8))
    assert calibrate(PREDICTED, spec) is PREDICTED


def test_only_the_latest_count(spec: TextModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LATEST", 3)
    for ratio in (0.1, 0.1, 0.1, 0.1, 2.0, 2.0, 2.0):
        assert keep(record(spec, ratio))
    assert calibrate(PREDICTED, spec).decode_tokens_per_second == pytest.approx(200)


def _part(name: str, **changes: object):
    return lambda one: replace(one, **{name: replace(getattr(one, name), **changes)})


def _figure(name: str, figure: Figure):
    return lambda one: replace(one, figures={**one.figures, name: figure})


# What makes a record speak of something else; each alone is enough.
FOREIGN = {
    "another machine": lambda one: replace(one, machine="another"),
    "another class": _part("subject", model_class="MoE"),
    "another type": _part("settings", dtype="bfloat16"),
    "another device": _part("settings", device="cuda"),
    "other threads": _part("settings", threads=999),
    "another batch": _part("settings", batch=2),
    "another torch": _part("software", torch="1.0"),
    "another formula": _part("software", formula="0"),
    "a far larger model": _part("subject", active_parameters=10**12),
    "a far smaller model": _part("subject", active_parameters=1),
    "too short": _part("settings", new_tokens=3, prompt_tokens=3),
    "a busy machine": _figure(WAITED, Figure(None, 0.5)),
}


@pytest.mark.parametrize("case", FOREIGN)
def test_a_record_of_something_else_does_not_count(case: str, spec: TextModel) -> None:
    for _ in range(FEWEST):
        assert keep(FOREIGN[case](record(spec, 0.8)))
    assert calibrate(PREDICTED, spec) is PREDICTED
    for _ in range(FEWEST):  # the twin that counts
        assert keep(record(spec, 0.8))
    assert calibrate(PREDICTED, spec).calibrated_from == FEWEST


@pytest.mark.parametrize(("factor", "covered"), [(REACH, True), (1 / REACH, True), (3, False)])
def test_sizes_are_covered_within_reach(factor: float, covered: bool, spec: TextModel) -> None:
    size = round(active(spec) / factor)
    for _ in range(FEWEST):
        assert keep(_part("subject", active_parameters=size)(record(spec, 0.8)))
    assert (calibrate(PREDICTED, spec).calibrated_from > 0) == covered


def test_a_rate_without_measurements_stays_as_it_is(spec: TextModel) -> None:
    for _ in range(FEWEST):
        assert keep(_figure(PREFILL, Figure(1000.0, None))(record(spec, 0.8)))
    found = calibrate(PREDICTED, spec)
    assert set(found.calibrated) == {DECODE}
    assert found.prefill_tokens_per_second == 1000


def test_a_store_that_cannot_be_used_is_a_warning(
    spec: TextModel, folder: Path, monkeypatch
) -> None:
    (folder / "measurements.sqlite").write_bytes(b"")
    monkeypatch.setattr("fathom.planning.store._version", lambda store: 99)
    with pytest.warns(UserWarning, match="not calibrated: .* update Fathom"):
        assert calibrate(PREDICTED, spec) is PREDICTED
