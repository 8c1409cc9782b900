"""Filters that make planes finer without edges between their old places (Zhang, 2019).

`taps` are of a filter along one axis, an even number of them and their sum one; it acts on rows
and on columns. Planes are (batch, channels, rows, columns).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def smooth(planes: Tensor, taps: tuple[float, ...]) -> Tensor:
    """Return planes with one row and column less, each a mixture of neighbours, four times it.

    That is for what a transposed convolution leaves: one more than twice as many rows and
    columns, of which three in four came of nothing.
    """
    filters = _filters(planes, taps[::-1])
    return functional.conv2d(planes, filters, padding=len(taps) // 2 - 1, groups=planes.shape[1])


def twice_as_fine(planes: Tensor, taps: tuple[float, ...]) -> Tensor:
    """Return planes with twice as many rows and columns."""
    filters, around = _filters(planes, taps), len(taps) // 2 - 1
    groups = planes.shape[1]
    return functional.conv_transpose2d(planes, filters, stride=2, padding=around, groups=groups)


def _filters(planes: Tensor, taps: tuple[float, ...]) -> Tensor:
    """Return the filter of each channel, times four: (channels, 1, taps, taps)."""
    line = 2 * torch.tensor(taps, dtype=planes.dtype, device=planes.device)
    return (line[:, None] * line[None, :]).expand(planes.shape[1], 1, -1, -1)
