"""The memory of a process without a model, measured by one."""

from __future__ import annotations

import subprocess
import sys

import pytest

from fathom.planning.idle import measure_idle


@pytest.mark.slow
def test_an_idle_process_holds_what_another_one_sees() -> None:
    found = measure_idle(1)
    assert found is not None
    code = "import psutil, torch, fathom.library; print(psutil.Process().memory_info().rss)"
    seen = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.process == pytest.approx(int(seen.stdout), rel=0.1)
    assert 0 < found.code < found.process


def test_without_a_process_nothing_is_claimed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    assert measure_idle(1) is None
