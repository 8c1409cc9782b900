"""Masks of pictures, written: as lengths of runs, the way COCO does, and laid over the picture.

A mask is an array of bool, (height, width). COCO counts down the columns: how many places are
outside, then inside, and so on (Lin et al., 2014, arXiv 1405.0312; its ``mask`` API).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from fathom.errors import PictureError
from fathom.inputs.pictures import MOST_PIXELS, Pixels

Places: TypeAlias = NDArray[np.bool_]  # (height, width)

OPAQUE = 0.5  # of a mask's colour, over the picture
GOLDEN = 0.61803398875  # steps of this part of a circle never come close to one another


def run_lengths(mask: Places) -> list[int]:
    """Return the lengths of runs down the columns, outside first: COCO's uncompressed counts."""
    flat = np.asarray(mask, dtype=bool).T.ravel()
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    edges = np.concatenate(([0], changes, [flat.size]))
    lengths: list[int] = np.diff(edges).tolist()
    return [0, *lengths] if flat.size and flat[0] else lengths


def from_run_lengths(lengths: Sequence[int], height: int, width: int) -> Places:
    """Return the mask of some runs; the reverse of `run_lengths`.

    Raises:
        PictureError: when they do not add up to the size, or one is negative.
    """
    fits = all(length >= 0 for length in lengths) and sum(lengths) == height * width
    if not fits or height * width > MOST_PIXELS:
        raise PictureError(f"these runs are no mask of {height} × {width} places; check its size")
    inside = np.arange(len(lengths)) % 2 == 1
    return np.repeat(inside, lengths).reshape(width, height).T


def packed(lengths: Sequence[int]) -> str:
    """Return runs as COCO's text: each as its difference from the last but one, 5 bits a sign."""
    signs = []
    for place, length in enumerate(lengths):
        rest = length - (lengths[place - 2] if place > 2 else 0)
        more = True
        while more:
            bits, rest = rest & 31, rest >> 5
            more = rest != (-1 if bits & 16 else 0)
            signs.append(chr(48 + (bits | (32 if more else 0))))
    return "".join(signs)


def overlaid(picture: Pixels, masks: Sequence[Places]) -> Pixels:
    """Return a picture with each mask in a colour of its own; the first lie on top."""
    shown = picture.astype(np.float32)
    for number, mask in reversed(list(enumerate(masks))):
        shown[mask] += OPAQUE * (_colour(number) - shown[mask])
        shown[_edge(mask)] = _colour(number)
    return shown.round().astype(np.uint8)


def _edge(mask: Places) -> Places:
    """Return the places of a mask that have a neighbour outside of it."""
    within = np.pad(mask, 1)
    inner = within[:-2, 1:-1] & within[2:, 1:-1] & within[1:-1, :-2] & within[1:-1, 2:]
    return mask & ~inner


def _colour(number: int) -> NDArray[np.float32]:
    """Return a bright colour: every number has its own place on the circle of hues."""
    hue = (number * GOLDEN) % 1.0 * 6 + np.array([0, 4, 2])
    bright: NDArray[np.float32] = (np.abs(hue % 6 - 3) - 1).clip(0, 1).astype(np.float32) * 255
    return bright
