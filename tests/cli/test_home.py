"""`fathom` alone: what it knows without measuring or fetching."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from fathom.catalog.starters import starters
from fathom.checkpoint.sources import hub_cache
from fathom.cli import home
from fathom.planning import probe
from fathom.planning.accelerators import Accelerator
from fathom.planning.machine import this_machine
from fathom.planning.probe import DTYPES, Rates

RATES = Rates(
    threads=2,
    memory_read=38e9,
    matvec=dict.fromkeys(DTYPES, ((512, 0.0, 10e9), (4096, 0.0, 22e9))),
    matmul=dict.fromkeys(DTYPES, ((2, 20e9), (512, 200e9))),
    operation_seconds=1e-6,
    disk_read=None,
    measured_at="2026-01-02T03:04:05+00:00",
    seconds=1.5,
)


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("FATHOM_CACHE", str(tmp_path))
    monkeypatch.setattr(hub_cache, "root", lambda: tmp_path / "absent")
    return tmp_path


def test_nothing_is_measured_and_nothing_written(door, cache: Path, monkeypatch) -> None:
    monkeypatch.setattr(probe, "measure", lambda _: pytest.fail("measured"))
    code, out, err = door()
    assert (code, err) == (0, "")
    assert "not yet" in out and home.TRY in out and "nothing yet" in out
    assert not list(cache.iterdir())


def test_kept_rates_are_shown(door, monkeypatch) -> None:
    monkeypatch.setattr(home, "cached_rates", lambda: RATES)
    out = door()[1]
    assert "38.0 GB/s" in out and "float32 22.0 GB/s" in out and "2026-01-02, 2 threads" in out
    assert json.loads(door("--json")[1])["rates"]["memory_read"] == 38e9


def test_what_was_fetched_is_listed(door, cache: Path) -> None:
    package = cache / "packages/some-model/1.0"
    package.mkdir(parents=True)
    (package / "weights").write_bytes(bytes(1500))
    assert "pypi:some-model==1.0, 1.50 kB" in door()[1]
    kept = json.loads(door("--json")[1])["cache"]["fetched"]
    assert [(entry["origin"], entry["size"]) for entry in kept] == [("pypi:some-model==1.0", 1500)]


@pytest.mark.parametrize("name", starters())
def test_every_starter_is_named(name: str, door) -> None:
    assert f"{name}, {starters()[name].title}" in door()[1]
    assert name in json.loads(door("--json")[1])["starters"]


def test_the_command_to_try_names_a_starter() -> None:
    assert home.TRY.split()[2] in starters()


def test_limits_and_accelerators_are_named() -> None:
    machine = replace(
        this_machine(),
        cores=2,
        host_cores=64,
        memory_limit=8 * 10**9,
        memory_total=100 * 10**9,
        accelerators=(Accelerator("cuda", "Card", 24 * 10**9),),
    )
    facts = dict(home.machine_facts(machine))
    assert facts["processor"].endswith("2 of 64 cores")
    assert "a limit; the host has 100 GB" in facts["memory"]
    assert facts["accelerator"] == "Card, 24.0 GB"
    free = replace(machine, cores=64, memory_limit=machine.memory_total, accelerators=())
    facts = dict(home.machine_facts(free))
    assert facts["processor"].endswith(", 64 cores")
    assert "limit" not in facts["memory"] and "accelerator" not in facts
