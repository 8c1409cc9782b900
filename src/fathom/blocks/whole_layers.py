"""Layers in one native call each, in the place of modules: they hold packed weights alone."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fathom.blocks.state import MixerState, Step
from fathom.blocks.windowed import WindowAttention
from fathom.ops.whole_layer import Groups, WholeLayer
from fathom.programs.lowering_whole import whole_plan
from fathom.spec import decoder, grid, windowed

Grid = tuple[int, int]


class Packed(nn.Module):
    """A module that stands for a layer; its weights are no parameters any more."""

    whole: WholeLayer


class PackedLayer(Packed):
    """A `Layer` of tokens (batch, length, width) that see one another, those that are padding not.

    What it gives for padding means nothing.
    """

    def __init__(self, layer: nn.Module, described: decoder.Layer) -> None:
        super().__init__()
        self.whole = WholeLayer(whole_plan(described), layer.get_parameter)

    def forward(self, x: Tensor, step: Step, state: MixerState) -> Tensor:
        """Return states; nothing is kept in `state`, as tokens come all at once."""
        batch, length, _ = x.shape
        real = step.real
        groups = _rows(batch, length) if real is None else _real(real)
        return self.whole.run(x.flatten(0, 1), groups).view(x.shape)


class PackedGridLayer(Packed):
    """A `GridLayer` of places (batch, rows, columns, width), in windows or all together."""

    def __init__(self, layer: nn.Module, described: grid.GridLayer) -> None:
        super().__init__()
        mixer = described.mixer
        if not isinstance(mixer, grid.GridAttention):
            raise TypeError(f"{type(mixer).__name__} is no attention of a grid")
        self.whole = WholeLayer(whole_plan(described), layer.get_parameter)
        self.extent = mixer.extent if mixer.windows else None

    def forward(self, x: Tensor) -> Tensor:
        batch, high, wide, _ = x.shape
        groups = _windows(batch, (high, wide), self.extent or (high, wide), 0)
        return self.whole.run(x.flatten(0, 2), groups).view(x.shape)


class PackedWindowLayer(Packed):
    """A `GridLayer` of windows that shift, with learned scores of distances."""

    mixer: WindowAttention

    def __init__(self, layer: nn.Module, described: grid.GridLayer) -> None:
        super().__init__()
        self.whole = WholeLayer(whole_plan(described), layer.get_parameter)
        mixer = layer.get_submodule("mixer")
        if not isinstance(mixer, WindowAttention):
            raise TypeError(f"{type(mixer).__name__} is no attention in windows")
        mixer.hollow()
        self.mixer = mixer

    def forward(self, x: Tensor) -> Tensor:
        batch, high, wide, _ = x.shape
        side = self.mixer.spec.window
        groups = _windows(batch, (high, wide), (side, side), self.mixer.shift)
        added = self.mixer.added(_filled((high, wide), (side, side))).float().contiguous()
        seen = Groups(groups.members, groups.begins, added.numpy())
        return self.whole.run(x.flatten(0, 2), seen).view(x.shape)


def packed(layer: nn.Module, described: decoder.Layer | grid.GridLayer) -> Packed:
    """Return a layer with the weights of a module, packed; the module is of no use afterwards."""
    if isinstance(described, decoder.Layer):
        return PackedLayer(layer, described)
    if isinstance(described.mixer, windowed.WindowAttention):
        return PackedWindowLayer(layer, described)
    return PackedGridLayer(layer, described)


@lru_cache(maxsize=16)
def _rows(batch: int, length: int) -> Groups:
    """Every row of a batch is a group."""
    members = np.arange(batch * length, dtype=np.int32)
    return Groups(members, np.arange(batch + 1, dtype=np.int32) * np.int32(length))


def _real(real: Tensor) -> Groups:
    """The tokens of every row, (batch, length), that are no padding, are a group."""
    members = torch.nonzero(real.flatten()).flatten().int().numpy()
    return Groups(members, _begins(real.sum(dim=1).numpy()))


@lru_cache(maxsize=16)
def _windows(batch: int, high_wide: Grid, extent: Grid, shift: int) -> Groups:
    """Windows of an extent side by side over a grid, moved by `shift` down and to the right."""
    high, wide = high_wide
    rows, columns = _filled(high_wide, extent)
    places = np.full((rows, columns), -1, dtype=np.int32)
    places[:high, :wide] = np.arange(high * wide, dtype=np.int32).reshape(high, wide)
    places = np.roll(places, (-shift, -shift), (0, 1))
    cut = places.reshape(rows // extent[0], extent[0], columns // extent[1], extent[1])
    one = cut.transpose(0, 2, 1, 3).reshape(-1)
    first = np.arange(batch, dtype=np.int32)[:, None] * np.int32(high * wide)
    members = np.where(one < 0, one, one + first).reshape(-1)
    windows = len(members) // (extent[0] * extent[1])
    return Groups(members, _begins(np.full(windows, extent[0] * extent[1])))


def _begins(lengths: NDArray[np.integer]) -> NDArray[np.int32]:
    return np.concatenate(([0], lengths.cumsum())).astype(np.int32)


def _filled(grid: Grid, extent: Grid) -> Grid:
    """Return a grid filled up to whole windows."""
    return -(-grid[0] // extent[0]) * extent[0], -(-grid[1] // extent[1]) * extent[1]
