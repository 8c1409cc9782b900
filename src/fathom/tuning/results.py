"""What training gives: a model, how well it does on what it never saw, and the files beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import nn


@dataclass(frozen=True)
class Outcome:
    """What a run came to; `solved` is the share that came out right of what it was tested on."""

    parameters: int
    solved: float
    tested: int
    of: str  # what it was tested on, in words
    seconds: float
    loss: float


@dataclass(frozen=True)
class Trained:
    """A trained model with its configuration in its authors' words.

    `files` are texts by name that belong beside the weights; `data` says what it learned from.
    """

    model: nn.Module
    config: Mapping[str, object]
    outcome: Outcome
    data: Mapping[str, object]
    files: Mapping[str, str] = field(default_factory=dict)
