"""Measured rates: kept, read back, distrusted when broken. No speed is asserted."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fathom.planning import probe
from fathom.planning.machine import Machine, this_machine
from fathom.planning.probe import DTYPES, MATRIX_SIDES, Rates

POINTS = ((2**18, 10e9), (2**20, 16e9), (2**22, 20e9), (2**24, 22e9))
RATES = Rates(
    threads=2,
    memory_read=38e9,
    matvec=dict.fromkeys(DTYPES, POINTS),
    matmul=dict.fromkeys(DTYPES, 200e9),
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


@given(st.integers(1, 2**30), st.integers(1, 2**30))
def test_interpolation_is_monotonic_between_measured_points(one: int, other: int) -> None:
    slow, fast = (RATES.weights_per_second("float32", size) for size in sorted((one, other)))
    assert POINTS[0][1] <= slow <= fast <= POINTS[-1][1]


@pytest.mark.parametrize(
    ("elements", "rate"),
    [*POINTS, (2**19, 13e9), (1, 10e9), (2**30, 22e9)],
)
def test_interpolation_meets_the_points(elements: int, rate: float) -> None:
    assert RATES.weights_per_second("bfloat16", elements) == pytest.approx(rate)


def test_a_real_measurement_is_complete(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import torch

    monkeypatch.setenv("FATHOM_CACHE", str(tmp_path))
    monkeypatch.setattr(probe, "_BUDGET", 0.0)  # one pass of each
    monkeypatch.setattr(probe, "MATRIX_SIDES", MATRIX_SIDES[:2])
    before = torch.get_num_threads()
    machine = replace(this_machine(), last_level_cache=None, memory_available=2**26)
    rates = probe.measure(machine)
    assert torch.get_num_threads() == before
    assert rates.threads == probe.usable_threads(machine)
    assert set(rates.matvec) == set(rates.matmul) == set(DTYPES)
    sizes = tuple(side * side for side in MATRIX_SIDES[:2])
    for points in rates.matvec.values():
        assert tuple(elements for elements, _ in points) == sizes
        assert all(0 < rate < float("inf") for _, rate in points)
    assert all(0 < rate < float("inf") for rate in rates.matmul.values())
    assert rates.memory_read > 0 and 0 < rates.operation_seconds < 1e-3
    assert not list(tmp_path.glob("**/*.*"))  # the file for the disk's rate is gone


def test_the_buffer_is_beyond_the_cache_and_within_memory() -> None:
    room = 2**62
    machine = replace(this_machine(), last_level_cache=100 * 2**20, memory_available=room)
    buffer = probe._buffer(machine)
    assert buffer.nbytes == 384 * 2**20  # 400 MiB, whole float32 matrices of the largest side
    assert probe._buffer(replace(machine, memory_available=1)).nbytes == 64 * 2**20


def test_no_disk_rate_where_there_is_no_folder(tmp_path: Path) -> None:
    assert probe.disk_read_rate(tmp_path / "absent") is None
    rate = probe.disk_read_rate(tmp_path)
    assert rate is None or rate > 0
