"""A tower that sees a picture as several tiles at once, which know where they lie.

Llama Team, 2024 (arXiv 2407.21783, §7.1): a picture is laid on a canvas of a few square tiles.
Layers see all tiles together, and after a second norm so do some more, whose parts are gated.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fathom.spec.decoder import Layer
from fathom.spec.parts import Bare, Convolution, Norm, Part, Table
from fathom.spec.roles import Role
from fathom.spec.vision import layers_live, layers_operations
from fathom.spec.work import passing

ALIGNED = 8  # places of a tile are filled up to a multiple of this


def arrangements(tiles: int) -> tuple[tuple[int, int], ...]:
    """Return every (rows, columns) of up to so many tiles; their order numbers them from 1."""
    return tuple(
        (rows, columns) for rows in range(1, tiles + 1) for columns in range(1, tiles // rows + 1)
    )


@dataclass(frozen=True)
class TileOffset:
    """A vector for each tile, by how the tiles lie, times the tanh of a learned number."""

    tiles: int
    width: int

    def parts(self) -> Mapping[str, Part | None]:
        rows = 1 + len(arrangements(self.tiles))
        return {
            "gate": Bare((1,), Role.NORM),
            "by_tile": Table(rows, self.tiles * self.width),
        }


@dataclass(frozen=True)
class TilePositions:
    """A vector for each of the `places` of a tile, and one more for each place of each tile.

    ``(1 - tanh(gate)) · everywhere + tanh(gate) · by_tile``, the latter by how the tiles lie.
    """

    tiles: int
    places: int
    width: int

    def parts(self) -> Mapping[str, Part | None]:
        rows = 1 + len(arrangements(self.tiles))
        return {
            "gate": Bare((1,), Role.NORM),
            "everywhere": Bare((self.places, self.width), Role.EMBEDDING),
            "by_tile": Table(rows, self.tiles * self.places * self.width),
        }


@dataclass(frozen=True)
class TileEncoder:
    """A tower for pictures of up to `tiles` tiles of `side` pixels.

    Where a picture has fewer, empty ones stand for the rest: all are always computed, and only
    among themselves do empty places not look at one another. Each place ends as its last state
    and those after some of the `layers`, `depths` of them, number by number side by side.
    """

    tiles: int
    side: int
    patches: Convolution
    entering: Norm
    layers: tuple[Layer, ...]
    leaving: Norm
    whole: tuple[Layer, ...]
    depths: tuple[int, ...]

    def parts(self) -> Mapping[str, Part | None]:
        offset = TileOffset(self.tiles, self.width)
        return {
            "patches": self.patches,
            "summary": Bare((self.width,), Role.EMBEDDING),
            "before": offset,
            "positions": TilePositions(self.tiles, self.places, self.width),
            "entering": self.entering,
            "layers": self.layers,
            "leaving": self.leaving,
            "after": offset,
            "whole": self.whole,
        }

    @property
    def width(self) -> int:
        return self.patches.outputs

    @property
    def vector(self) -> int:
        """How many numbers each place ends as."""
        return self.width * (1 + len(self.depths))

    @property
    def places(self) -> int:
        """Places of a tile: of its summary, and of its patches."""
        return 1 + (self.side // self.patches.kernel[0]) ** 2

    @property
    def aligned(self) -> int:
        """Places of a tile with those that fill it up."""
        return -(-self.places // ALIGNED) * ALIGNED

    @property
    def length(self) -> int:
        """Places of a picture, however many of its tiles are empty."""
        return self.tiles * self.places

    def arranged(self, height: int, width: int) -> tuple[int, int]:
        """Return how many (rows, columns) of tiles suit a picture of so many pixels.

        Those on which it is enlarged least, or if it is too large for all, made smaller least; of
        several the fewest tiles.
        """
        known = arrangements(self.tiles)
        scales = [min(r * self.side / height, c * self.side / width) for r, c in known]
        enlarging = [scale for scale in scales if scale >= 1]
        best = min(enlarging) if enlarging else max(scales)
        fitting = [one for one, scale in zip(known, scales, strict=True) if scale == best]
        return min(fitting, key=lambda one: one[0] * one[1])

    def operations(self, height: int, width: int) -> int:
        """Floating-point operations for one picture, a multiplication and addition two."""
        rows, columns = self.arranged(height, width)
        cutting = passing(self.patches, rows * columns * (self.places - 1))
        layers = (*self.layers, *self.whole)
        total = self.tiles * self.aligned
        empty = total - rows * columns * self.places
        unseen = empty * sum(layer.operations(empty) for layer in layers)
        return cutting + layers_operations(layers, 1, total) - unseen

    def live(self, height: int, width: int) -> int:
        """Numbers held at the largest moment of a pass over one picture."""
        rows, columns = self.arranged(height, width)
        pixels = rows * columns * self.patches.inputs * self.side**2
        total = self.tiles * self.aligned
        stream = total * self.width
        entering = 4 * stream  # tokens, positions of their tile, both, and in their order
        within = layers_live((*self.layers, *self.whole), total)
        read = len(self.depths) * stream
        joined = 2 * self.length * self.vector  # side by side, and in the order of places
        return pixels + max(entering, read + within, read + joined)
