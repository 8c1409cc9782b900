"""The peak of memory is what the system says this process has held."""

from __future__ import annotations

import psutil
import torch

from fathom.generation.measuring import peak_memory

CPU = "cpu"


def test_the_peak_grows_with_what_is_held_and_stays() -> None:
    before = peak_memory(CPU)
    resident = psutil.Process().memory_info().rss
    assert before >= resident * 0.99  # the system counts in batches, so to about a percent
    room = 64 * 2**20
    held = torch.ones(before - resident + room, dtype=torch.uint8)
    during = peak_memory(CPU)
    assert before + room * 0.9 < during < before + room * 1.5
    del held
    assert peak_memory(CPU) >= during * 0.99
