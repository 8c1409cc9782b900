"""Large planes in tiles: each passes a network by itself, and where they overlap they blend.

A tile sees nothing beyond its edge, so the result is near that of the whole, and not equal. What
is held at once is one tile and one row of results, whatever the size of the picture.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

OVERLAP = 0.25  # of a tile's side, with the next


@dataclass(frozen=True)
class Tiles:
    """Tiles of so many positions a side, which become `outputs` positions a side."""

    inputs: int
    outputs: int

    @property
    def stride(self) -> int:
        """Positions from the start of a tile to that of the next."""
        return int(self.inputs * (1 - OVERLAP))

    @property
    def blend(self) -> int:
        """Positions of a result in which it goes over into its neighbour."""
        return int(self.outputs * OVERLAP)

    def count(self, height: int, width: int) -> int:
        """Return how many tiles planes of a size are cut into."""
        return len(range(0, height, self.stride)) * len(range(0, width, self.stride))

    def apply(self, function: Callable[[Tensor], Tensor], planes: Tensor) -> Tensor:
        """Return what `function` makes of planes (batch, channels, height, width), in tiles."""
        rows, above = [], None
        for top in range(0, planes.shape[2], self.stride):
            row = self._row(function, planes[:, :, top : top + self.inputs], above)
            rows.append(torch.cat([self._kept(tile) for tile in row], dim=3))
            above = row
        return torch.cat(rows, dim=2)

    def _row(
        self, function: Callable[[Tensor], Tensor], band: Tensor, above: list[Tensor] | None
    ) -> list[Tensor]:
        row: list[Tensor] = []
        for index, left in enumerate(range(0, band.shape[3], self.stride)):
            tile = function(band[:, :, :, left : left + self.inputs])
            if above is not None:
                tile = _blended(above[index], tile, self.blend, axis=2)
            if row:
                tile = _blended(row[-1], tile, self.blend, axis=3)
            row.append(tile)
        return row

    def _kept(self, tile: Tensor) -> Tensor:
        """Return a tile without what the next ones say better."""
        most = self.outputs - self.blend
        return tile[:, :, :most, :most]


def _blended(before: Tensor, tile: Tensor, extent: int, axis: int) -> Tensor:
    """Let the end of one tile go over into the start of the next, along an axis."""
    extent = min(before.shape[axis], tile.shape[axis], extent)
    if extent == 0:
        return tile
    shape = [1, 1, 1, 1]
    shape[axis] = extent
    share = (torch.arange(extent, device=tile.device, dtype=tile.dtype) / extent).view(shape)
    ending = before.narrow(axis, before.shape[axis] - extent, extent)
    start = tile.narrow(axis, 0, extent)
    rest = tile.narrow(axis, extent, tile.shape[axis] - extent)
    return torch.cat((ending * (1 - share) + start * share, rest), dim=axis)
