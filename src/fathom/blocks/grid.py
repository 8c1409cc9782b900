"""A tower that keeps a picture a grid: patches, layers whole or in windows, convolutions."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from fathom.blocks.bricks import Convolution, Linear, Norm
from fathom.blocks.build import Block
from fathom.blocks.feed_forward import Mlp
from fathom.blocks.layer import Residual
from fathom.ops.attention import Scoring, attention
from fathom.ops.grid_attention import grid_attention
from fathom.spec import grid as spec


class GridAttention(Block):
    """Places (batch, rows, columns, width) that see one another, in windows or all."""

    query: Linear
    key: Linear
    value: Linear
    rows: Tensor | None
    columns: Tensor | None
    output: Linear

    def __init__(self, described: spec.GridAttention) -> None:
        super().__init__(described)
        self.spec = described

    def forward(self, x: Tensor) -> Tensor:
        if not self.spec.windows:
            return self._seen(x)
        grid = (x.shape[1], x.shape[2])
        return joined(self._seen(windows(x, self.spec.extent)), self.spec.extent, grid)

    def _seen(self, x: Tensor) -> Tensor:
        """Let all places of each row of the batch see one another."""
        query, key, value = (self._heads(one(x)) for one in (self.query, self.key, self.value))
        if self.rows is None or self.columns is None:
            scoring = Scoring(scale=self.spec.head_width**-0.5, causal=False)
            mixed = attention(query, key, value, scoring)
        else:
            mixed = grid_attention(query, key, value, self.rows, self.columns)
        return self.output(mixed.transpose(1, 2).reshape(x.shape))

    def _heads(self, x: Tensor) -> Tensor:
        """(batch, rows, columns, width) → (batch, heads, places, head_width)."""
        places = x.flatten(1, 2)
        return places.unflatten(2, (self.spec.heads, self.spec.head_width)).transpose(1, 2)


def windows(x: Tensor, extent: tuple[int, int]) -> Tensor:
    """Cut (batch, rows, columns, width) into windows, (batch · windows, \\*extent, width).

    What sticks out of the grid is zero.
    """
    high, wide = extent
    missing = -x.shape[1] % high, -x.shape[2] % wide
    if any(missing):
        x = functional.pad(x, (0, 0, 0, missing[1], 0, missing[0]))
    cut = x.unflatten(2, (-1, wide)).unflatten(1, (-1, high))
    return cut.transpose(2, 3).flatten(0, 2)


def joined(cut: Tensor, extent: tuple[int, int], grid: tuple[int, int]) -> Tensor:
    """Put windows together again, and leave out what stuck out: the reverse of `windows`."""
    down, across = (-(-n // side) for n, side in zip(grid, extent, strict=True))
    parts = cut.unflatten(0, (-1, down, across)).transpose(2, 3)
    whole = parts.flatten(3, 4).flatten(1, 2)
    return whole[:, : grid[0], : grid[1]]


class GridLayer(Block):
    """Attention among places, then a feed-forward on each; (batch, rows, columns, width)."""

    mixer: nn.Module
    mixer_residual: Residual
    feed_forward: Mlp
    feed_forward_residual: Residual

    def forward(self, x: Tensor) -> Tensor:
        x = self.mixer_residual.join(x, self.mixer(self.mixer_residual.enter(x)))
        fed = self.feed_forward(self.feed_forward_residual.enter(x))
        return self.feed_forward_residual.join(x, fed)


class GridEncoder(Block):
    """Pictures (batch, channels, height, width) → (batch, outputs, rows, columns)."""

    patches: Convolution
    positions: Tensor | None
    layers: nn.ModuleList
    narrow: Convolution
    narrow_norm: Norm
    smooth: Convolution
    smooth_norm: Norm

    def forward(self, pixels: Tensor) -> Tensor:
        """Return states of places; their channels lie together in memory."""
        x = self.patches(pixels).permute(0, 2, 3, 1).contiguous()
        if self.positions is not None:
            x = x + self.positions
        for layer in self.layers:
            x = layer(x)
        x = by_channel(self.narrow_norm, self.narrow(x.permute(0, 3, 1, 2)))
        return by_channel(self.smooth_norm, self.smooth(x))


def by_channel(norm: Norm, x: Tensor) -> Tensor:
    """Norm the channels of each place of (batch, channels, rows, columns)."""
    return norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def as_places(x: Tensor) -> Tensor:
    """(batch, channels, rows, columns) → (batch, places, channels)."""
    return x.flatten(2).transpose(1, 2)


def as_grid(x: Tensor, grid: tuple[int, int]) -> Tensor:
    """(batch, places, channels) → (batch, channels, rows, columns), channels together in memory."""
    return x.unflatten(1, grid).permute(0, 3, 1, 2)


def centres(grid: tuple[int, int], device: torch.device) -> Tensor:
    """Return where the middle of each place is, (places, 2) as x and y from 0 to 1."""
    rows, columns = grid
    y = (torch.arange(rows, device=device) + 0.5) / rows
    x = (torch.arange(columns, device=device) + 0.5) / columns
    return torch.stack((x.expand(rows, -1), y[:, None].expand(-1, columns)), dim=-1).flatten(0, 1)
