"""A tower whose places see one another in windows that shift, and that grows coarser by stages.

Liu et al., 2021 (arXiv 2103.14030). Between stages four neighbouring places become one of twice
the width. What each stage ends with can be read: a pyramid of maps.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from fathom.spec.grid import GridLayer
from fathom.spec.parts import Bare, Convolution, Linear, Norm, Part
from fathom.spec.roles import Role
from fathom.spec.work import passing

Grid: TypeAlias = tuple[int, int]


@dataclass(frozen=True)
class WindowAttention:
    """Every place of a square window sees every other, in a grid cut into such windows.

    A learned number for each distance, of rows and columns together, is added to the scores of
    each head. Where windows are `shifted`, by half of one, those that join what does not lie
    side by side keep it apart.
    """

    width: int
    heads: int
    window: int
    shifted: bool
    bias: bool = True  # on query, key and value

    def parts(self) -> Mapping[str, Part | None]:
        into = Linear(self.width, self.width, Role.INTO_HEADS, self.bias)
        return {
            "query": into,
            "key": into,
            "value": into,
            "distances": Bare(((2 * self.window - 1) ** 2, self.heads), Role.EMBEDDING),
            "output": Linear(self.width, self.width, Role.OUT_OF_HEADS, bias=True),
        }

    @property
    def head_width(self) -> int:
        return self.width // self.heads

    def places(self, grid: Grid) -> int:
        """Return the places that are computed for a grid, with those that fill up its windows."""
        rows, columns = (-(-side // self.window) * self.window for side in grid)
        return rows * columns

    def operations(self, grid: Grid) -> int:
        """Floating-point operations of a grid's attention, all maps included."""
        places = self.places(grid)
        return passing(self, places) + 4 * places * self.width * self.window**2

    def held(self, grid: Grid) -> int:
        """Numbers held at the largest moment, what enters not counted.

        The grid filled up, windows, three maps, what is found and how it is laid out; what is
        added to scores once for all windows, or for each where some are kept apart.
        """
        shared = self.heads * self.window**4
        each = self.heads * self.places(grid) * self.window**2 if self.shifted else 0
        return 7 * self.places(grid) * self.width + shared + each


@dataclass(frozen=True)
class Merging:
    """Four neighbouring places, side by side and normed, become one of twice the width."""

    width: int
    epsilon: float = 1e-5

    def parts(self) -> Mapping[str, Part | None]:
        return {
            "norm": Norm(4 * self.width, self.epsilon, "layer", bias=True),
            "reduction": Linear(4 * self.width, 2 * self.width, Role.DENSE),
        }


@dataclass(frozen=True)
class WindowStage:
    """Layers on one grid. Where the stage is read, a norm of its own makes what is read."""

    layers: tuple[GridLayer, ...]
    read: Norm | None
    merging: Merging | None

    def parts(self) -> Mapping[str, Part | None]:
        return {"layers": self.layers, "read": self.read, "merging": self.merging}

    @property
    def width(self) -> int:
        return self.layers[0].mixer.width


@dataclass(frozen=True)
class WindowTower:
    """Patches, normed, then stages. Learned positions, of a `grid`, are added where it has any."""

    patches: Convolution
    norm: Norm
    stages: tuple[WindowStage, ...]
    grid: Grid | None = None

    def parts(self) -> Mapping[str, Part | None]:
        width = self.patches.outputs
        positions = None if self.grid is None else Bare((*self.grid, width), Role.EMBEDDING)
        return {
            "patches": self.patches,
            "norm": self.norm,
            "positions": positions,
            "stages": self.stages,
        }

    @property
    def widths(self) -> tuple[int, ...]:
        """Of the maps that are read, in order."""
        return tuple(stage.width for stage in self.stages if stage.read is not None)

    def grids(self, height: int, width: int) -> tuple[Grid, ...]:
        """Return the (rows, columns) of each stage for a picture; what sticks out is filled up."""
        high, wide = self.patches.kernel
        found = [(-(-height // high), -(-width // wide))]
        for _ in self.stages[1:]:
            rows, columns = found[-1]
            found.append((-(-rows // 2), -(-columns // 2)))
        return tuple(found)

    def read_grids(self, height: int, width: int) -> tuple[Grid, ...]:
        """Return the (rows, columns) of the maps that are read."""
        grids = self.grids(height, width)
        return tuple(g for g, s in zip(grids, self.stages, strict=True) if s.read is not None)

    def operations(self, batch: int, height: int, width: int) -> int:
        """Floating-point operations for so many pictures of one size."""
        grids = self.grids(height, width)
        total = passing(self.patches, grids[0][0] * grids[0][1])
        for grid, stage in zip(grids, self.stages, strict=True):
            total += sum(layer.operations(grid) for layer in stage.layers)
            if stage.merging is not None:
                total += passing(stage.merging, -(-grid[0] // 2) * -(-grid[1] // 2))
        return batch * total

    def moved(self, batch: int, height: int, width: int) -> int:
        """Numbers that layers have read and written beside products."""
        grids = zip(self.grids(height, width), self.stages, strict=True)
        return batch * sum(layer.moved(grid) for grid, one in grids for layer in one.layers)

    def live(self, batch: int, height: int, width: int) -> int:
        """Numbers held at the largest moment of a pass, the picture itself not counted."""
        most = kept = 0
        for grid, stage in zip(self.grids(height, width), self.stages, strict=True):
            stream = grid[0] * grid[1] * stage.width
            moments = [layer.live(grid) for layer in stage.layers]
            merging = 0 if stage.merging is None else 2 * stream  # cut up, and normed
            most = max(most, kept + stream + max(*moments, merging))
            kept += 0 if stage.read is None else stream
        return batch * most
