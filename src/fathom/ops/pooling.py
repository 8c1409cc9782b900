"""Many hidden states to one: how the tokens of a text become its vector.

Each takes hidden states (batch, length, width) and positions (batch, length), which are negative
at padding, and returns (batch, width) in the type of the hidden states, summed in float32.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor


def first(x: Tensor, positions: Tensor) -> Tensor:
    """The first token of each text."""
    return _row(x, (positions >= 0).int().argmax(dim=1))


def last(x: Tensor, positions: Tensor) -> Tensor:
    """The last token of each text."""
    return _row(x, positions.argmax(dim=1))


def mean(x: Tensor, positions: Tensor) -> Tensor:
    """The mean over the tokens."""
    real = (positions >= 0)[..., None]
    total = (x.float() * real).sum(dim=1)
    return (total / real.sum(dim=1)).to(x.dtype)


def mean_by_root(x: Tensor, positions: Tensor) -> Tensor:
    """The sum over the tokens, divided by the square root of their number."""
    real = (positions >= 0)[..., None]
    total = (x.float() * real).sum(dim=1)
    return (total / real.sum(dim=1).sqrt()).to(x.dtype)


def weighted_mean(x: Tensor, positions: Tensor) -> Tensor:
    """The mean, a token weighing as much as its place counted from 1 (Muennighoff, 2022)."""
    weights = (positions + 1).clamp(min=0)[..., None].float()
    return ((x.float() * weights).sum(dim=1) / weights.sum(dim=1)).to(x.dtype)


def largest(x: Tensor, positions: Tensor) -> Tensor:
    """The largest value of each dimension over the tokens."""
    return x.masked_fill((positions < 0)[..., None], float("-inf")).amax(dim=1)


def _row(x: Tensor, index: Tensor) -> Tensor:
    return x[torch.arange(len(x), device=x.device), index]


POOLINGS: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "first": first,
    "last": last,
    "mean": mean,
    "mean_by_root": mean_by_root,
    "weighted_mean": weighted_mean,
    "max": largest,
}
