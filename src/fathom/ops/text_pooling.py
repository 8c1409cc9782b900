"""Pooling of one text at a time, for native programs: `ops.pooling` without PyTorch.

Each takes the hidden states of a text's tokens, (tokens, width) float32, and the place of the
first of them in its text, and returns (width,).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float32]


def _weighted(x: Floats, start: int) -> Floats:
    """Weigh each token by its place counted from 1."""
    weights = np.arange(start + 1, start + 1 + len(x), dtype=np.float32)
    found: Floats = weights @ x / weights.sum()
    return found


def _by_root(x: Floats, start: int) -> Floats:
    """Divide the sum by the square root of the number of tokens."""
    found: Floats = x.sum(axis=0) / np.sqrt(np.float32(len(x)))
    return found


TEXT_POOLINGS: Mapping[str, Callable[[Floats, int], Floats]] = {
    "first": lambda x, start: x[0],
    "last": lambda x, start: x[-1],
    "mean": lambda x, start: x.mean(axis=0),
    "mean_by_root": _by_root,
    "weighted_mean": _weighted,
    "max": lambda x, start: x.max(axis=0),
}
