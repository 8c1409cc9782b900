"""At which size pictures are seen: as one, cut into tiles, or at nearly their own.

Each rule says for a picture of so many pixels what a tower is shown of it. Running asks it before
resizing, planning before there is a picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor, sqrt
from typing import TypeAlias

from fathom.errors import PictureError

STEEPEST = 200  # times that one side may be longer, of what is seen at its own size
LARGEST = 4096  # pixels of a side before tiles are cut


@dataclass(frozen=True)
class Shown:
    """What a tower is shown of a picture: so many `rows` × `columns` tiles, and the whole.

    Of a picture that is not cut rows and columns are 0. All are of one (height, width).
    """

    height: int
    width: int
    rows: int = 0
    columns: int = 0

    @property
    def count(self) -> int:
        """Pictures that the tower sees."""
        return self.rows * self.columns + 1


@dataclass(frozen=True)
class Whole:
    """Every picture is brought to one size, as its publisher's file about pictures says."""

    def resized(self, height: int, width: int) -> tuple[int, int]:
        return height, width

    def shown(self, height: int, width: int) -> Shown:
        return Shown(height, width)


@dataclass(frozen=True)
class Tiled:
    """The longer side becomes `longest`; squares of `side` are cut, and the whole is one more.

    Of the other side, what is left over makes another row of tiles: it is stretched a little.
    Without `cut` the whole alone is seen (Laurençon et al., 2024, arXiv 2408.12637).
    """

    side: int
    longest: int
    cut: bool = True

    def first(self, height: int, width: int) -> tuple[int, int]:
        """Return the size at which a picture comes to be cut, before sides are evened."""
        ratio = width / height
        if width >= height:
            width, height = self.longest, int(self.longest / ratio)
            height += height % 2
        else:
            height, width = self.longest, int(self.longest * ratio)
            width += width % 2
        return _below(max(height, 1), max(width, 1), LARGEST)

    def resized(self, height: int, width: int) -> tuple[int, int]:
        """Return the size whose tiles are whole, from the `first` one."""
        ratio = width / height
        if width >= height:
            width = self._whole(width)
            height = self._whole(int(width / ratio))
        else:
            height = self._whole(height)
            width = self._whole(int(height * ratio))
        return height, width

    def shown(self, height: int, width: int) -> Shown:
        if self.cut:
            height, width = self.resized(*self.first(height, width))
            if max(height, width) > self.side:
                rows, columns = height // self.side, width // self.side
                return Shown(self.side, self.side, rows, columns)
        return Shown(self.side, self.side)

    def _whole(self, length: int) -> int:
        return max(1, ceil(length / self.side)) * self.side


def _below(height: int, width: int, most: int) -> tuple[int, int]:
    ratio = width / height
    if width >= height and width > most:
        width, height = most, int(most / ratio)
    elif height > width and height > most:
        height, width = most, int(most * ratio)
    return max(height, 1), max(width, 1)


@dataclass(frozen=True)
class Native:
    """Sides become multiples of `multiple`, with `least` to `most` pixels in all."""

    multiple: int
    least: int
    most: int

    def resized(self, height: int, width: int) -> tuple[int, int]:
        """Return the nearest size.

        Raises:
            PictureError: for a picture one of whose sides is over 200 times the other.
        """
        if max(height, width) > STEEPEST * min(height, width):
            raise PictureError(
                f"a picture of {height} × {width} is too narrow: one side may be {STEEPEST} times"
                " the other; crop it"
            )
        multiple = self.multiple
        tall, wide = (round(length / multiple) * multiple for length in (height, width))
        if tall * wide > self.most:
            shrink = sqrt(height * width / self.most)
            tall, wide = (
                max(multiple, floor(length / shrink / multiple) * multiple)
                for length in (height, width)
            )
        elif tall * wide < self.least:
            grow = sqrt(self.least / (height * width))
            tall, wide = (ceil(length * grow / multiple) * multiple for length in (height, width))
        return tall, wide

    def shown(self, height: int, width: int) -> Shown:
        return Shown(*self.resized(height, width))


Sizing: TypeAlias = Whole | Tiled | Native
WHOLE = Whole()
