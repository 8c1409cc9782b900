"""Distances between tokens put into buckets: near ones by themselves, far ones together."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def buckets(ahead: Tensor, *, count: int, furthest: int, both_directions: bool) -> Tensor:
    """Return the bucket of each distance, from 0 to `count` - 1 (Raffel et al., 2020).

    `ahead` is how far a key stands after its query. In one direction keys ahead count as at
    distance 0; in both, the upper half of the buckets is for them. Of the buckets of a direction
    the first half are exact, the others grow by logarithm; from `furthest` on all share the last.
    """
    if both_directions:
        count //= 2
        base = (ahead > 0).long() * count
        distance = ahead.abs()
    else:
        base = torch.zeros_like(ahead)
        distance = (-ahead).clamp(min=0)
    exact = count // 2
    growth = torch.log(distance.float().clamp(min=1) / exact) / math.log(furthest / exact)
    far = (exact + (growth * (count - exact)).long()).clamp(max=count - 1)
    return base + torch.where(distance < exact, distance, far)
