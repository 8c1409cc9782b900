"""Seconds and bytes of one generation, taken while it runs."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sized
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter

import psutil

from fathom.generation.results import Measured

_STATUS = Path("/proc/self/status")


class Meter:
    """Adds up the time of reading the prompt and of writing tokens, and nothing between."""

    def __init__(self, device: str, load_seconds: float | None = None) -> None:
        self._device = device
        self._load_seconds = load_seconds
        self._started: float | None = None
        self._first: float | None = None
        self._read, self._reading = 0, 0.0
        self._written, self._writing = 0, 0.0
        self._peak: int | None = None

    def start(self) -> None:
        """Begin: the time to the first token counts from here."""
        self._started = perf_counter()

    @contextmanager
    def reading(self, tokens: int) -> Iterator[None]:
        """Time the computing of so many prompt tokens, up to the first token chosen."""
        begun = perf_counter()
        yield
        ended = perf_counter()
        self._read, self._reading = tokens, ended - begun
        self._first = ended - (begun if self._started is None else self._started)
        self._peak = peak_memory(self._device)

    @contextmanager
    def writing(self, tokens: Sized | None = None) -> Iterator[None]:
        """Time one more token, or those by which `tokens` grow meanwhile."""
        before = 0 if tokens is None else len(tokens)
        begun = perf_counter()
        yield
        self._writing += perf_counter() - begun
        self._written += 1 if tokens is None else len(tokens) - before

    def end(self) -> None:
        """Look at the memory once more."""
        self._peak = peak_memory(self._device)

    @property
    def measured(self) -> Measured:
        """The figures so far."""
        return Measured(
            seconds_to_first_token=self._first,
            prefill_tokens_per_second=self._read / self._reading if self._reading else None,
            decode_tokens_per_second=self._written / self._writing if self._writing else None,
            peak_memory_bytes=self._peak,
            load_seconds=self._load_seconds,
        )


def peak_memory(device: str) -> int:
    """Return the most bytes that this process has held: on the accelerator, else resident.

    `device` is as PyTorch spells it, such as "cuda:0".
    """
    if device.startswith("cuda"):
        import torch

        return int(torch.cuda.max_memory_allocated(device))
    if sys.platform == "linux":
        # Not getrusage: its figure begins at what the parent process held.
        found = [line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM:")]
        return int(found[0].split()[1]) * 1024
    if sys.platform == "win32":
        return int(psutil.Process().memory_info().peak_wset)
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS
