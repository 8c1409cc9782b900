"""Seconds and bytes of a task that is done in stages, taken while it runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter

import torch

from fathom.generation.measuring import peak_memory
from fathom.spec.work import Work


@dataclass(frozen=True)
class StagedMeasured:
    """What the last task took, stage by stage, as the model's spec names them.

    Attributes:
        work: how much was asked for; what it leaves open was as usual.
        seconds: of all passes of each stage, without those of stages within.
        passes: how often each was passed.
        peak_memory_bytes: the most that this process has held until now, weights included: on
            an accelerator in its own memory, else resident.
        load_seconds: what opening the model took.
    """

    work: Work = field(default_factory=Work)
    seconds: Mapping[str, float] = field(default_factory=dict)
    passes: Mapping[str, int] = field(default_factory=dict)
    peak_memory_bytes: int | None = None
    load_seconds: float | None = None


class StageMeter:
    """Adds up the time of each stage of a task.

    Attributes:
        work: how much is asked for, said by whoever knows it.
    """

    def __init__(self, device: torch.device | str = "cpu") -> None:
        self._device = torch.device(device)
        self.start()

    def start(self) -> None:
        """Begin a task; what was measured before is forgotten."""
        self.work = Work()
        self._seconds: dict[str, float] = {}
        self._passes: dict[str, int] = {}
        self._within = 0.0  # seconds of stages that ended within the one that is open

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time one pass of a stage; one within it is not counted twice."""
        outer, self._within = self._within, 0.0
        begun = perf_counter()
        try:
            yield
        finally:
            if self._device.type == "cuda":
                torch.cuda.synchronize(self._device)
            taken = perf_counter() - begun
            self._seconds[name] = self._seconds.get(name, 0.0) + taken - self._within
            self._passes[name] = self._passes.get(name, 0) + 1
            self._within = outer + taken

    def measured(self, load_seconds: float | None = None) -> StagedMeasured:
        """Return the figures so far."""
        return StagedMeasured(
            work=self.work,
            seconds=dict(self._seconds),
            passes=dict(self._passes),
            peak_memory_bytes=peak_memory(str(self._device)),
            load_seconds=load_seconds,
        )
