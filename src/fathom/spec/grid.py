"""Attention among the places of a picture: layers that keep it a grid, whole or in windows.

Places know how many rows and columns lie between them, by a table for each (Li et al., 2021,
arXiv 2112.01526).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from fathom.spec.decoder import Residual
from fathom.spec.feed_forward import Mlp
from fathom.spec.parts import Bare, Compound, Convolution, Linear, Norm, Part
from fathom.spec.roles import Role
from fathom.spec.work import ADDED, MAPPED, passing

ADDED_AT_ONCE = 1 << 24  # numbers that are added to scores at once, if a head has not more


@dataclass(frozen=True)
class GridAttention:
    """Every place of an `extent` (rows, columns) sees every other.

    In a grid that is larger, windows of the extent lie side by side and each is for itself; what
    sticks out is filled with zeros. If `relative`, a query's product with a learned vector per
    distance, of rows and of columns, is added to its scores.
    """

    width: int
    heads: int
    extent: tuple[int, int]
    windows: bool
    bias: bool = True  # on query, key and value
    relative: bool = True

    def parts(self) -> Mapping[str, Part | None]:
        into = Linear(self.width, self.width, Role.INTO_HEADS, self.bias)
        rows, columns = (Bare((2 * n - 1, self.head_width), Role.EMBEDDING) for n in self.extent)
        return {
            "query": into,
            "key": into,
            "value": into,
            "rows": rows if self.relative else None,
            "columns": columns if self.relative else None,
            "output": Linear(self.width, self.width, Role.OUT_OF_HEADS, bias=True),
        }

    @property
    def head_width(self) -> int:
        return self.width // self.heads

    def places(self, grid: tuple[int, int]) -> int:
        """Return the places that are computed for a grid, with those that fill up its windows."""
        if not self.windows:
            return grid[0] * grid[1]
        whole = [-(-n // extent) * extent for n, extent in zip(grid, self.extent, strict=True)]
        return whole[0] * whole[1]

    def operations(self, grid: tuple[int, int]) -> int:
        """Floating-point operations of a grid's attention, all maps included."""
        places, (rows, columns) = self.places(grid), self.extent
        seen = rows * columns
        distances = rows + columns if self.relative else 0
        scores = 2 * places * self.width * (2 * seen + distances)
        return passing(self, places) + scores

    def held(self, grid: tuple[int, int]) -> int:
        """Numbers held at the largest moment, what enters not counted."""
        copies = 5 if self.windows else 4  # what enters cut up, three maps, what is found
        return copies * self.places(grid) * self.width + self._added(grid)

    def _added(self, grid: tuple[int, int]) -> int:
        """Return the numbers held of what distances add to scores, a few heads of it at once."""
        if not self.relative:
            return 0
        (rows, columns), places = self.extent, self.places(grid)
        one_head = (places if self.windows else rows * columns) * rows * columns
        several = min(self.heads * one_head, max(one_head, ADDED_AT_ONCE))
        return self.heads * places * (rows + columns) + several


class PlaceMixer(Compound, Protocol):
    """What lets the places of a grid see one another."""

    @property
    def width(self) -> int: ...

    def operations(self, grid: tuple[int, int]) -> int:
        """Floating-point operations of a grid's attention, all maps included."""

    def held(self, grid: tuple[int, int]) -> int:
        """Numbers held at the largest moment, what enters not counted."""


@dataclass(frozen=True)
class GridLayer:
    """Attention among places and a feed-forward on each, both with a norm before."""

    mixer: PlaceMixer
    mixer_residual: Residual
    feed_forward: Mlp
    feed_forward_residual: Residual

    def parts(self) -> Mapping[str, Part | None]:
        return {
            "mixer": self.mixer,
            "mixer_residual": self.mixer_residual,
            "feed_forward": self.feed_forward,
            "feed_forward_residual": self.feed_forward_residual,
        }

    def operations(self, grid: tuple[int, int]) -> int:
        """Floating-point operations of one grid."""
        return self.mixer.operations(grid) + passing(self.feed_forward, grid[0] * grid[1])

    def moved(self, grid: tuple[int, int]) -> int:
        """Numbers read and written beside products: norms, sums, activations, copies of heads."""
        width = (7 * MAPPED + 2 * ADDED) * self.mixer.width
        return grid[0] * grid[1] * (width + MAPPED * self.feed_forward.inner)

    def live(self, grid: tuple[int, int]) -> int:
        """Numbers held at the largest moment beside what came in."""
        places, width = grid[0] * grid[1], self.mixer.width
        attending = places * width + self.mixer.held(grid)
        return max(attending, 4 * places * width + 2 * places * self.feed_forward.inner)


@dataclass(frozen=True)
class GridEncoder:
    """A tower that keeps a picture a grid: patches, layers, and two convolutions at its end.

    Pictures have one size, `grid` times the patch.
    """

    patches: Convolution
    grid: tuple[int, int]
    positions: bool
    layers: tuple[GridLayer, ...]
    narrow: Convolution
    narrow_norm: Norm
    smooth: Convolution
    smooth_norm: Norm

    def parts(self) -> Mapping[str, Part | None]:
        positions = Bare((*self.grid, self.width), Role.EMBEDDING)
        return {
            "patches": self.patches,
            "positions": positions if self.positions else None,
            "layers": self.layers,
            "narrow": self.narrow,
            "narrow_norm": self.narrow_norm,
            "smooth": self.smooth,
            "smooth_norm": self.smooth_norm,
        }

    @property
    def width(self) -> int:
        return self.patches.outputs

    @property
    def picture(self) -> tuple[int, int]:
        """The (height, width) of the pictures that it takes, in pixels."""
        height, width = self.patches.kernel
        return self.grid[0] * height, self.grid[1] * width

    def operations(self, batch: int) -> int:
        """Floating-point operations for so many pictures."""
        places = self.grid[0] * self.grid[1]
        ends = sum(passing(one, places) for one in (self.patches, self.narrow, self.smooth))
        return batch * (ends + sum(layer.operations(self.grid) for layer in self.layers))

    def moved(self, batch: int) -> int:
        """Numbers that layers have read and written beside products."""
        return batch * sum(layer.moved(self.grid) for layer in self.layers)

    def live(self, batch: int) -> int:
        """Numbers held at the largest moment of a pass, the picture itself not counted."""
        stream = self.grid[0] * self.grid[1] * self.width
        return batch * (stream + max(layer.live(self.grid) for layer in self.layers))
