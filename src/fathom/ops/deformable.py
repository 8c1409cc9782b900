"""Attention to a few places between those of several maps (Zhu et al., 2020, arXiv 2010.04159).

Shapes: value (batch, heads, places, head_width), the places being those of all maps one behind
the other, row by row; `looks` (batch, heads, queries, maps, points, 2) is where a query looks, x
and y from 0 to 1 over a map, and `weights` (batch, heads, queries, maps, points) how it weighs
what is there. Between places values are blended; outside of a map they are zero. The result is
(batch, heads, queries, head_width), and all is float32.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from fathom.ops.choose import Operation, Variant

Grid = tuple[int, int]


def reference(value: Tensor, grids: Sequence[Grid], looks: Tensor, weights: Tensor) -> Tensor:
    """The definition: the four places around a look, each weighed by how near it is."""
    width, start = value.shape[-1], 0
    result = value.new_zeros(*looks.shape[:3], width)
    for number, (rows, columns) in enumerate(grids):
        size = torch.tensor((columns, rows), dtype=looks.dtype, device=looks.device)
        at = looks[:, :, :, number] * size - 0.5  # (batch, heads, queries, points, 2)
        corner = at.floor()
        for right in (0, 1):
            for below in (0, 1):
                x, y = (corner[..., 0] + right).long(), (corner[..., 1] + below).long()
                near = (1 - (at[..., 0] - x).abs()) * (1 - (at[..., 1] - y).abs())
                inside = (x >= 0) & (x < columns) & (y >= 0) & (y < rows)
                row = start + y.clamp(0, rows - 1) * columns + x.clamp(0, columns - 1)
                share = torch.where(inside, near, 0) * weights[:, :, :, number]
                found = value.gather(2, row.flatten(2)[..., None].expand(-1, -1, -1, width))
                result += (found.unflatten(2, row.shape[2:]) * share[..., None]).sum(dim=3)
        start += rows * columns
    return result


def _sampled(value: Tensor, grids: Sequence[Grid], looks: Tensor, weights: Tensor) -> Tensor:
    """PyTorch's sampling of a plane, map by map; only one map's findings are held at once."""
    batch, heads, _, width = value.shape
    planes = value.flatten(0, 1).transpose(1, 2)  # (batch · heads, head_width, places)
    grid, shares = (2 * looks - 1).flatten(0, 1), weights.flatten(0, 1)
    result: Tensor | None = None
    start = 0
    for number, (rows, columns) in enumerate(grids):
        plane = planes[..., start : start + rows * columns].unflatten(2, (rows, columns))
        found = functional.grid_sample(plane, grid[:, :, number], align_corners=False)
        part = torch.einsum("bcqp,bqp->bqc", found, shares[:, :, number])
        result = part if result is None else result.add_(part)
        start += rows * columns
    if result is None:
        return value.new_zeros(*looks.shape[:3], width)
    return result.unflatten(0, (batch, heads))


def _refuses(value: Tensor, grids: Sequence[Grid], looks: Tensor, weights: Tensor) -> str | None:
    return None


deformable_attention = Operation(
    "deformable_attention", reference, [Variant("sampled planes", _sampled, _refuses)]
)
