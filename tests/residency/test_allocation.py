"""Freed arrays go back to the system, so that a process holds what is alive."""

from __future__ import annotations

import subprocess
import sys

import pytest

_SCRIPT = """
import sys, torch, psutil
from fathom.residency.allocation import hold_what_is_alive
if sys.argv[1] == "held":
    assert hold_what_is_alive()
resident = lambda: psutil.Process().memory_info().rss
torch.ones(4_000_000)  # freed: glibc now takes arrays of up to 16 MB from its heap
before = resident()
many = [torch.ones(1_000_000) for _ in range(20)]
del many[:-1]  # the last one stands above the others in a heap
print(resident() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the C library of Linux")
def test_what_is_freed_is_given_back() -> None:
    def left(manner: str) -> int:
        command = [sys.executable, "-c", _SCRIPT, manner]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return int(done.stdout)

    assert left("held") < 8_000_000
    assert left("usual") > 40_000_000
