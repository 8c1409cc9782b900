"""A picture on a canvas of square tiles: as large as it fits, black at the right and below."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import floor

import numpy as np
from numpy.typing import NDArray

from fathom.inputs.picture_processing import PictureProcessor, resize
from fathom.inputs.pictures import Picture


@dataclass(frozen=True)
class Tiled:
    """What a model is given of a picture: float32 (tiles, 3, side, side), row by row."""

    values: NDArray[np.float32]
    arrangement: tuple[int, int]  # rows and columns of tiles


@dataclass(frozen=True)
class PictureCanvas:
    """Cuts pictures into tiles of `side` pixels.

    `arranged` tells how many (rows, columns) of tiles suit a (height, width); numbers become what
    `how` makes of bytes.
    """

    how: PictureProcessor
    side: int
    arranged: Callable[[int, int], tuple[int, int]]

    def __call__(self, picture: Picture) -> Tiled:
        """Return the tiles of a picture."""
        rows, columns = self.arranged(picture.height, picture.width)
        canvas = rows * self.side, columns * self.side
        height, width = fitted(picture.height, picture.width, canvas, self.side)
        pixels = np.zeros((*canvas, 3), dtype=np.uint8)
        pixels[:height, :width] = resize(picture.pixels, height, width, self.how.resample)
        values = self.how.normalised(pixels)
        cut = values.reshape(3, rows, self.side, columns, self.side).transpose(1, 3, 0, 2, 4)
        tiles = np.ascontiguousarray(cut.reshape(rows * columns, 3, self.side, self.side))
        return Tiled(tiles, (rows, columns))


def fitted(height: int, width: int, canvas: tuple[int, int], side: int) -> tuple[int, int]:
    """Return the (height, width) of a picture on a canvas, its proportions kept.

    One that fits stays as it is, but at least one of its sides becomes a tile's.
    """
    goal_height = min(max(height, side), canvas[0])
    goal_width = min(max(width, side), canvas[1])
    tall, wide = goal_height / height, goal_width / width
    if wide < tall:
        return min(floor(height * wide) or 1, goal_height), goal_width
    return goal_height, min(floor(width * tall) or 1, goal_width)
