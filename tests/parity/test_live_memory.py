"""What parts of pipelines hold at their peak is what their stages say, within a quarter.

Most runs come within a tenth. What convolutions and attention take for themselves meanwhile
differs by processor, and from run to run by some megabytes.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from parity import live_memory

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not live_memory.REFERENCES.exists(), reason="only Linux tells the peak of a process"
    ),
]


@pytest.mark.parametrize("kind", live_memory.PARTS)
def test_a_stage_holds_what_it_says(kind: str) -> None:
    program = [sys.executable, str(Path(live_memory.__file__)), kind]
    done = subprocess.run(program, capture_output=True, text=True, check=True)
    for line in done.stdout.splitlines():
        stated, held = map(int, line.split())
        assert stated == pytest.approx(held, rel=0.25, abs=2e6)
    assert done.stdout
