"""Measured rates: kept, read back, distrusted when broken. No speed is asserted."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fathom.planning import probe
from fathom.planning.machine import Machine, this_machine
from fathom.planning.probe import DTYPES, Rates

POINTS = ((512, 2e-6, 10e9), (1024, 2e-6, 16e9), (2048, 2e-6, 20e9), (4096, 2e-6, 22e9))
RATES = Rates(
    threads=2,
    memory_read=38e9,
    matvec=dict.fromkeys(DTYPES, POINTS),
    matmul=dict.fromkeys(DTYPES, ((2, 20e9), (512, 200e9))),
    attention=dict.fromkeys(DTYPES, 100e9),
    attention_step=dict.fromkeys(DTYPES, 10e9),
    moved=dict.fromkeys(DTYPES, 5e9),
    operation_seconds=1e-6,
    disk_read=None,
    measured_at="2026-01-02T03:04:05+00:00",
    seconds=1.5,
)


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Machine]:
    """An empty cache, and a probe that only counts how often it was asked."""
    asked: list[Machine] = []

    def measure(machine: Machine) -> Rates:
        asked.append(machine)
        return replace(RATES, seconds=float(len(asked)))

    monkeypatch.setenv("FATHOM_CACHE", str(tmp_path))
    monkeypatch.setattr(probe, "measure", measure)
    return asked


def kept_file() -> Path:
    return probe.rates_file(this_machine())


def test_rates_are_measured_once_and_kept_exactly(measured: list[Machine]) -> None:
    assert probe.cached_rates() is None
    first = probe.measured_rates()
    assert probe.measured_rates() == first == probe.cached_rates()
    assert len(measured) == 1
    assert not list(kept_file().parent.glob("*.part"))


@pytest.mark.parametrize(
    ("waited", "minutes", "times"), [(0.5, 60, 2), (0.5, 1, 1), (0.05, 60, 1), (None, 60, 1)]
)
def test_rates_of_a_busy_moment_are_measured_again_later(
    measured: list[Machine],
    monkeypatch: pytest.MonkeyPatch,
    waited: float | None,
    minutes: int,
    times: int,
) -> None:
    then = (datetime.now(UTC) - timedelta(minutes=minutes)).isoformat(timespec="seconds")
    first = replace(RATES, waited=waited, measured_at=then)
    monkeypatch.setattr(probe, "measure", lambda machine: measured.append(machine) or first)
    probe.measured_rates()
    assert probe.measured_rates() == first
    assert len(measured) == times


def test_the_less_disturbed_rates_are_kept(
    measured: list[Machine], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [
        replace(RATES, waited=waited, measured_at=f"2026-01-02T03:0{index}:05+00:00")
        for index, waited in enumerate((0.5, 0.9, 0.2))
    ]
    monkeypatch.setattr(probe, "measure", lambda machine: found.pop(0))
    assert [probe.measured_rates().waited for _ in range(3)] == [0.5, 0.5, 0.2]


def test_refresh_measures_again(measured: list[Machine]) -> None:
    probe.measured_rates()
    assert probe.measured_rates(refresh=True).seconds == 2
    assert probe.measured_rates().seconds == 2


def spoilt() -> dict[str, str]:
    """Return, per fault, a text that must not be taken for rates."""
    good = json.loads(json.dumps(asdict(RATES)))
    return {
        "empty": "",
        "half": json.dumps(good)[:100],
        "no object": "[1, 2]",
        "no text": "\udcff",
        "field missing": json.dumps({k: v for k, v in good.items() if k != "matmul"}),
        "field unknown": json.dumps({**good, "colour": 1}),
        "dtype missing": json.dumps({**good, "matmul": {"float32": 1.0}}),
        "zero": json.dumps({**good, "memory_read": 0}),
        "not finite": json.dumps({**good, "memory_read": float("inf")}),
        "text for a rate": json.dumps({**good, "operation_seconds": "fast"}),
        "no points": json.dumps({**good, "matvec": {name: [] for name in DTYPES}}),
        "threads a text": json.dumps({**good, "threads": "two"}),
    }


@pytest.mark.parametrize("fault", spoilt())
def test_a_broken_file_is_set_aside_and_measured_anew(fault: str, measured: list[Machine]) -> None:
    kept_file().parent.mkdir(parents=True)
    kept_file().write_bytes(spoilt()[fault].encode("utf-8", "surrogateescape"))
    with pytest.warns(UserWarning, match="measured anew"):
        rates = probe.measured_rates()
    assert rates.seconds == 1
    assert kept_file().with_suffix(".broken").exists()
    assert probe.measured_rates() == rates  # without a warning, which would be an error here


def test_the_same_text_unspoilt_is_taken(measured: list[Machine]) -> None:
    kept_file().parent.mkdir(parents=True)
    kept_file().write_text(json.dumps(asdict(RATES)))
    assert probe.measured_rates() == RATES
    assert not measured


def test_a_folder_that_cannot_be_written_only_costs_the_memory(
    measured: list[Machine], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("FATHOM_CACHE", str(tmp_path / "file"))
    with pytest.warns(UserWarning, match="not kept"):
        assert probe.measured_rates().threads == RATES.threads


def test_the_file_depends_on_what_the_rates_depend_on(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = replace(this_machine(), cores=8)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    names = {probe.rates_file(machine), probe.rates_file(replace(machine, cpu="other"))}
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    names.add(probe.rates_file(machine))
    monkeypatch.setattr("importlib.metadata.version", lambda _: "99")
    names.add(probe.rates_file(machine))
    assert len(names) == 4
    assert probe.rates_file(machine) == probe.rates_file(replace(machine, memory_available=1))


@pytest.mark.parametrize(
    ("wanted", "threads"), [("", 8), ("3", 3), ("99", 8), ("0", 8), ("4,2", 8), ("many", 8)]
)
def test_threads(wanted: str, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", wanted)
    assert probe.usable_threads(replace(this_machine(), cores=8)) == threads


@given(st.integers(1, 9000), st.integers(1, 9000), st.floats(1, 2000), st.floats(1, 2000))
def test_products_take_longer_with_more_rows(
    inputs: int, outputs: int, one: float, other: float
) -> None:
    few, many = sorted((one, other))
    short, long = (RATES.product_seconds("float32", inputs, outputs, rows) for rows in (few, many))
    assert 0 < short <= long * (1 + 1e-9) or few * 10 > many  # a faster rate may outrun few more


@pytest.mark.parametrize(
    ("inputs", "call", "rate"), [*POINTS, (1, 2e-6, 10e9), (2**14, 2e-6, 22e9)]
)
def test_one_row_takes_its_call_and_the_reading_of_the_matrix(
    inputs: int, call: float, rate: float
) -> None:
    seconds = RATES.product_seconds("bfloat16", inputs, 100, 1)
    assert seconds == pytest.approx(call + inputs * 100 * 2 / rate)


@pytest.mark.parametrize(("rows", "rate"), [(2, 20e9), (512, 200e9), (4096, 200e9)])
def test_many_rows_go_at_the_rate_of_arithmetic(rows: int, rate: float) -> None:
    seconds = RATES.product_seconds("float32", 64, 32, rows)
    assert seconds == pytest.approx(2 * rows * 64 * 32 / rate)


def test_a_machine_that_starts_no_process_has_no_rates(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FATHOM_CACHE", str(tmp_path))
    monkeypatch.setattr(probe.sys, "executable", "/nowhere/python")
    with pytest.warns(UserWarning, match="speed is not known"):
        assert probe.measured_rates() is None
    assert probe.cached_rates() is None


def test_what_other_work_disturbed_is_measured_again(monkeypatch: pytest.MonkeyPatch) -> None:
    waits = [0.5, 0.3, 0.4]
    monkeypatch.setattr(probe, "_measure", lambda _: replace(RATES, waited=waits.pop(0)))
    assert probe.measure(this_machine()).waited == 0.3
    assert not waits
    waits += [0.2, 0.01, 0.0]
    assert probe.measure(this_machine()).waited == 0.01
    assert waits == [0.0]


@pytest.mark.slow
def test_a_real_measurement_is_complete() -> None:
    """In a process of its own; an idle process there holds what another one sees."""
    machine = replace(this_machine(), last_level_cache=None, memory_available=2**29)
    rates = probe._measure(machine)
    assert rates.threads == probe.usable_threads(machine)
    assert 0 < rates.operation_seconds < 1  # in seconds
    code = "import psutil, torch, fathom.library; print(psutil.Process().memory_info().rss)"
    seen = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert rates.idle_bytes == pytest.approx(int(seen.stdout), rel=0.25)
    assert rates.code_bytes is not None and rates.prepared_bytes is not None


def test_the_buffer_is_beyond_the_cache_and_within_memory() -> None:
    machine = replace(this_machine(), last_level_cache=100 * 2**20, memory_available=2**62)
    assert probe._room(machine) == 400 * 2**20
    assert probe._room(replace(machine, memory_available=800)) == 100


def test_no_disk_rate_where_there_is_no_folder(tmp_path: Path) -> None:
    assert probe.disk_read_rate(tmp_path / "absent") is None
    rate = probe.disk_read_rate(tmp_path)
    assert rate is None or rate > 0
