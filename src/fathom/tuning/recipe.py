"""How to train: a recipe, what each of its steps reports, and how its numbers move over time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import cos, nan, pi

import torch
from torch import nn


@dataclass(frozen=True)
class Recipe:
    """How to train. `average` is the share of the past that the kept weights keep per step.

    0 keeps no average: the weights are those of the last step. `floor` is the share of the rate
    that is left at the end; 1 keeps the rate as it is. `rounded` multiplies in bfloat16,
    which takes half the time of wide layers where a processor knows the type; weights and norms
    stay in float32.
    """

    steps: int
    batch: int
    rate: float = 1e-3
    decay: float = 0.1
    warm: int = 100  # steps in which the rate rises; then it falls as a cosine, to `floor`
    floor: float = 0.0
    average: float = 0.995
    rounded: bool = True
    seed: int = 0


@dataclass(frozen=True)
class Report:
    """What a step of training looked like, of what it was shown."""

    step: int
    loss: float
    solved: float  # share of the batch whose answer is right in every place


class LastLoss:
    """Hands reports on to whoever watches, and keeps the loss of the last."""

    def __init__(self, watch: Callable[[Report], None]) -> None:
        self.loss = nan
        self._watch = watch

    def __call__(self, report: Report) -> None:
        self.loss = report.loss
        self._watch(report)


def share_of_rate(step: int, recipe: Recipe) -> float:
    """Return the share of the full rate at a step."""
    if step < recipe.warm:
        return (step + 1) / recipe.warm
    fallen = 0.5 * (1 + cos(pi * (step - recipe.warm) / max(1, recipe.steps - recipe.warm)))
    return recipe.floor + (1 - recipe.floor) * fallen


@torch.no_grad()
def average(kept: nn.Module, model: nn.Module, share: float) -> None:
    """Move kept weights towards a model's, `share` of the past remaining."""
    for mean, new in zip(kept.parameters(), model.parameters(), strict=True):
        mean.lerp_(new, 1 - share)
