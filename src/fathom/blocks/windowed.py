"""A tower of windows that shift: places of a grid see one another in them, stage by stage."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from fathom.blocks.bricks import Convolution, Linear, Norm
from fathom.blocks.build import Block
from fathom.blocks.grid import joined, windows
from fathom.ops.attention import Scoring, attention
from fathom.spec import windowed as spec


class WindowAttention(Block):
    """Places (batch, rows, columns, width) that see one another in windows."""

    query: Linear
    key: Linear
    value: Linear
    distances: Tensor
    output: Linear

    def __init__(self, described: spec.WindowAttention) -> None:
        super().__init__(described)
        self.spec = described
        self.shift = described.window // 2 if described.shifted else 0
        self.scoring = Scoring(scale=described.head_width**-0.5, causal=False)

    def forward(self, x: Tensor) -> Tensor:
        side, batch, grid = self.spec.window, x.shape[0], (x.shape[1], x.shape[2])
        x = functional.pad(x, (0, 0, 0, -grid[1] % side, 0, -grid[0] % side))
        whole = (x.shape[1], x.shape[2])
        if self.shift:
            x = x.roll((-self.shift, -self.shift), (1, 2))
        added = self.added(whole)
        if self.shift and batch > 1:
            added = added.repeat(batch, 1, 1, 1)
        x = self._seen(windows(x, (side, side)).flatten(1, 2), added).unflatten(1, (side, side))
        x = joined(x, (side, side), whole)
        if self.shift:
            x = x.roll((self.shift, self.shift), (1, 2))
        return x[:, : grid[0], : grid[1]]

    def _seen(self, x: Tensor, added: Tensor) -> Tensor:
        """Let all places of each window (batch · windows, places, width) see one another."""
        query, key, value = (self._heads(one(x)) for one in (self.query, self.key, self.value))
        mixed = attention(query, key, value, self.scoring, None, added.to(query.dtype))
        return self.output(mixed.transpose(1, 2).flatten(2))

    def _heads(self, x: Tensor) -> Tensor:
        """(batch, places, width) → (batch, heads, places, head_width)."""
        return x.unflatten(2, (self.spec.heads, self.spec.head_width)).transpose(1, 2)

    def added(self, grid: tuple[int, int]) -> Tensor:
        """Return what is added to scores in a grid of whole windows, shifted already.

        It is (windows, heads, places, places), or for all windows alike (1, …).
        """
        side, device = self.spec.window, self.distances.device
        line = torch.arange(side, device=device)
        between = line[:, None] - line[None, :] + side - 1
        rows = between[:, None, :, None] * (2 * side - 1)
        numbers = (rows + between[None, :, None, :]).flatten(0, 1).flatten(1)
        shared = self.distances[numbers].permute(2, 0, 1)[None]
        if not self.shift:
            return shared
        apart = ~self._together(grid)[:, None]  # (windows, 1, places, places)
        return shared.masked_fill(apart, float("-inf"))

    def hollow(self) -> None:
        """Let go of the maps: a packed layer has their weights, and takes `added` from here."""
        for name in ("query", "key", "value", "output"):
            setattr(self, name, None)

    def _together(self, grid: tuple[int, int]) -> Tensor:
        """Return which places of each window lay side by side before the shift."""
        side, device = self.spec.window, self.distances.device
        regions = []
        for length in grid:
            place = torch.arange(length, device=device)
            regions.append((place >= length - side).int() + (place >= length - self.shift).int())
        region = regions[0][:, None] * 3 + regions[1][None, :]
        cut = windows(region[None, :, :, None], (side, side)).flatten(1)  # (windows, places)
        return cut[:, :, None] == cut[:, None, :]


class Merging(Block):
    """(batch, rows, columns, width) → (batch, rows / 2, columns / 2, 2 · width), rounded up."""

    norm: Norm
    reduction: Linear

    def forward(self, x: Tensor) -> Tensor:
        x = functional.pad(x, (0, 0, 0, x.shape[2] % 2, 0, x.shape[1] % 2))
        four = [x[:, row::2, column::2] for column in (0, 1) for row in (0, 1)]
        return self.reduction(self.norm(torch.cat(four, dim=-1)))


class WindowStage(Block):
    """Layers on one grid (batch, rows, columns, width)."""

    layers: nn.ModuleList
    read: Norm | None
    merging: Merging | None

    def forward(self, x: Tensor) -> tuple[Tensor | None, Tensor]:
        """Return what is read of the stage, and what the next one begins with."""
        for layer in self.layers:
            x = layer(x)
        read = None if self.read is None else self.read(x)
        return read, x if self.merging is None else self.merging(x)


class WindowTower(Block):
    """Pictures (batch, channels, height, width) → the maps that are read."""

    patches: Convolution
    norm: Norm
    positions: Tensor | None
    stages: nn.ModuleList

    def __init__(self, described: spec.WindowTower) -> None:
        super().__init__(described)
        self.spec = described

    def forward(self, pixels: Tensor) -> list[Tensor]:
        """Return maps (batch, channels, rows, columns), finest first; channels lie together."""
        high, wide = self.spec.patches.kernel
        missing = -pixels.shape[2] % high, -pixels.shape[3] % wide
        x = self.patches(functional.pad(pixels, (0, missing[1], 0, missing[0])))
        x = self.norm(x.permute(0, 2, 3, 1))
        if self.positions is not None:
            x = x + self._positions((x.shape[1], x.shape[2]), self.positions)
        found = []
        for stage in self.stages:
            seen, x = stage(x)
            found += [] if seen is None else [seen.permute(0, 3, 1, 2)]
        return found

    def _positions(self, grid: tuple[int, int], learned: Tensor) -> Tensor:
        """Return learned positions, (rows, columns, width), stretched to another grid."""
        if grid == self.spec.grid:
            return learned
        plane = learned.float().permute(2, 0, 1)[None]
        stretched = functional.interpolate(plane, size=grid, mode="bicubic")
        return stretched[0].permute(1, 2, 0).to(learned.dtype)
