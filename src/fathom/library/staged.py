"""A model in memory that works in stages: pictures, sound, puzzles. Each kind adds its tasks."""

from __future__ import annotations

from fathom.library.model import Model
from fathom.planning.probe import measured_rates
from fathom.planning.stages import StagedPrediction, predict_stages
from fathom.spec.work import Staged, Work


class StagedModel(Model):
    """Any model whose spec states its work in stages. Made by `open`."""

    spec: Staged

    @property
    def tasks(self) -> tuple[str, ...]:
        return self.spec.about.tasks

    def fit(self, work: Work | None = None) -> StagedPrediction:
        """Predict memory and time on this machine; what the work leaves open is as usual."""
        rates = measured_rates()
        return predict_stages(self.spec, dtype=self.dtype, work=work or Work(), rates=rates)
