"""A picture or video as towers are shown it that take many sizes: in tiles, or at nearly its own.

At which size is said by a rule that the model's description holds (``spec/picture_sizes.py``);
what its publisher's file states goes before that. Filters and numbers are as everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fathom.errors import ConfigError
from fathom.inputs.picture_processing import (
    CLIP,
    HALF,
    WHERE,
    PictureProcessor,
    Stated,
    Usual,
    own_section,
    resize,
)
from fathom.inputs.pictures import Picture

MOST_PIXELS = 1 << 28  # of what a file may ask for
IN_TILES, AT_ITS_OWN = ("idefics3", "smolvlm"), ("qwen2vl",)
VIEWED: Mapping[str, Usual] = {
    **dict.fromkeys(IN_TILES, Usual({}, "lanczos", HALF, HALF)),
    **dict.fromkeys(AT_ITS_OWN, Usual({}, "bicubic", CLIP["mean"], CLIP["std"])),
}


class Sizing(Protocol):
    """A rule that makes one (height, width) of another."""

    def resized(self, height: int, width: int) -> tuple[int, int]: ...


class Tiling(Sizing, Protocol):
    """A rule for what is cut into squares of `side`, after it came to a `first` size."""

    @property
    def side(self) -> int: ...

    @property
    def cut(self) -> bool: ...

    def first(self, height: int, width: int) -> tuple[int, int]: ...


def read_views(config: Mapping[str, object]) -> tuple[PictureProcessor, dict[str, int]]:
    """Return how a ``preprocessor_config.json`` makes numbers of bytes, and what it says of sizes.

    The latter are fields of a rule: side, longest and cut, or multiple, least and most.

    Raises:
        ConfigError: for a processor that is not known, or a value that makes no sense.
    """
    stated = Stated(own_section(config))
    usual = stated.usual(VIEWED)
    if not stated.flag("do_resize", True):
        raise ConfigError(f"{WHERE}: 'do_resize' is off; a tower takes certain sizes: turn it on")
    sizes = _tiles(stated) if stated.kind() in IN_TILES else _pixels(stated)
    return stated.numbers(usual), sizes


def read_sizes(section: Mapping[str, object]) -> dict[str, int]:
    """Return the sizes that a section about videos states, as far as it does; errors as above."""
    stated = Stated(section)
    held = section.get("size")
    named = held if isinstance(held, Mapping) else {}
    found = _pixels(stated)
    said = {
        "least": "min_pixels" in section or "shortest_edge" in named,
        "most": "max_pixels" in section or "longest_edge" in named,
    }
    return {name: found[name] for name, is_said in said.items() if is_said}


def _tiles(stated: Stated) -> dict[str, int]:
    side = stated.edge("max_image_size", "longest_edge", 364)
    longest = stated.edge("size", "longest_edge", 4 * 364)
    return {"side": side, "longest": longest, "cut": stated.flag("do_image_splitting", True)}


def _pixels(stated: Stated) -> dict[str, int]:
    """Return the sizes that Qwen's files state, of old as bare numbers of pixels."""
    least = stated.edge("size", "shortest_edge", 56 * 56, MOST_PIXELS)
    most = stated.edge("size", "longest_edge", 1280 * 28 * 28, MOST_PIXELS)
    return {
        "multiple": stated.whole("patch_size", 14) * stated.whole("merge_size", 2),
        "least": stated.whole("min_pixels", least, MOST_PIXELS),
        "most": stated.whole("max_pixels", most, MOST_PIXELS),
    }


def tiles(picture: Picture, rule: Tiling, how: PictureProcessor) -> NDArray[np.float32]:
    """Return a picture's tiles row by row, then the whole: (tiles, 3, side, side)."""
    side = rule.side
    pixels = resize(picture.pixels, *rule.first(picture.height, picture.width), how.resample)
    if not rule.cut:
        return how.normalised(resize(pixels, side, side, how.resample))[None]
    height, width = rule.resized(*pixels.shape[:2])
    pixels = resize(pixels, height, width, how.resample)
    cut = [
        pixels[top : top + side, left : left + side]
        for top in range(0, height, side)
        for left in range(0, width, side)
    ]
    if len(cut) > 1:
        cut.append(resize(pixels, side, side, how.resample))
    return np.stack([how.normalised(tile) for tile in cut])


def frames(pictures: Sequence[Picture], rule: Sizing, how: PictureProcessor) -> NDArray[np.float32]:
    """Return pictures at the size that the rule has for the first: (pictures, 3, height, width)."""
    size = rule.resized(pictures[0].height, pictures[0].width)
    resized = (resize(picture.pixels, *size, how.resample) for picture in pictures)
    return np.stack([how.normalised(pixels) for pixels in resized])
