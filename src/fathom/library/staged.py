"""A model in memory that works in stages: pictures, sound, puzzles. Each kind adds its tasks."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, wraps
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

from fathom.library.model import Model
from fathom.planning.probe import measured_rates
from fathom.planning.stages import StagedPrediction, predict_stages
from fathom.planning.whole_layers import as_run
from fathom.spec.work import Staged, Work

if TYPE_CHECKING:
    from fathom.generation.stage_meter import StagedMeasured, StageMeter

S = TypeVar("S", bound="StagedModel")
P = ParamSpec("P")
R = TypeVar("R")


def task(method: Callable[Concatenate[S, P], R]) -> Callable[Concatenate[S, P], R]:
    """Have a method measured as a task: `StagedModel.measured` tells of it from then on."""

    @wraps(method)
    def measured(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
        self._meter.start()
        return method(self, *args, **kwargs)

    return measured


class StagedModel(Model):
    """Any model whose spec states its work in stages. Made by `open`."""

    spec: Staged

    @property
    def tasks(self) -> tuple[str, ...]:
        return self.spec.about.tasks

    @property
    def computing(self) -> str:
        """What measurements of it are told apart by: its type."""
        return self.dtype

    @property
    def kernels(self) -> str:
        """What it runs on, and why nothing faster is."""
        if self.unpacked is None:
            return super().kernels
        from fathom.planning.kernels import kernels

        return f"layers whole on {kernels()[0]} kernels, the rest PyTorch modules in {self.dtype}"

    @property
    def measured(self) -> StagedMeasured:
        """What the last task took so far, stage by stage."""
        return self._meter.measured(self.load_seconds)

    def fit(self, work: Work | None = None) -> StagedPrediction:
        """Predict memory and time on this machine; what the work leaves open is as usual."""
        rates = measured_rates()
        spec = self.spec
        if self.unpacked is not None:
            spec = as_run(spec, device=self.device_type, dtype=self.dtype)
        return predict_stages(spec, dtype=self.dtype, work=work or Work(), rates=rates)

    @cached_property
    def _meter(self) -> StageMeter:
        from fathom.generation.stage_meter import StageMeter

        return StageMeter(self.device)
