"""When each word was said: where the decoder looked while it wrote, laid along time.

Some heads of the cross attention follow the speech. Their weights, normed and smoothed, make a
grid of tokens and moments; the cheapest path through it that goes forward in both, found by
dynamic time warping, says when each token was said (Radford et al., 2022).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from fathom.tasks.languages import UNSPACED
from fathom.tasks.transcribe_control import SECONDS_PER_STEP
from fathom.tasks.transcripts import Word

_BEFORE = "\"'“¡¿([{-"  # punctuation that belongs to the word after it
_AFTER = "\"'.。,，!！?？:：”)]}、"  # and to the word before it
_MARKS = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"
_BROKEN = "\ufffd"  # half of a character


def moments(weights: Tensor, filtered: int) -> NDArray[np.float64]:
    """Return when each token was said, (tokens,) in seconds.

    `weights` are (heads, tokens, positions), `filtered` the width of the median.
    """
    if not weights.shape[1]:
        return np.zeros(0)
    spread = weights.std(dim=-2, keepdim=True, unbiased=False)
    normed = (weights - weights.mean(dim=-2, keepdim=True)) / spread
    grid = _smoothed(normed, filtered).mean(dim=0)
    tokens, positions = warp(-grid.double().cpu().numpy())
    new = np.diff(tokens, prepend=-1).astype(bool)
    found: NDArray[np.float64] = positions[new] * SECONDS_PER_STEP
    return found


def _smoothed(weights: Tensor, width: int) -> Tensor:
    """The median of `width` neighbours in time, mirrored at the ends."""
    half = width // 2
    if weights.shape[-1] <= half:
        return weights
    padded = functional.pad(weights, (half, half), mode="reflect")
    return padded.unfold(-1, width, 1).sort(dim=-1).values[..., half]


def warp(costs: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the cheapest path through a grid (rows, columns): the row and column of each step.

    It leads from the first corner to the last, a step along either axis or both. Where steps cost
    the same, one to the next column goes first. Whole diagonals are worked out at a time.
    """
    rows, columns = costs.shape
    total = np.full((rows + 1, columns + 1), np.inf, dtype=np.float32)
    total[0, 0] = 0
    came = np.full((rows + 1, columns + 1), 2, dtype=np.int8)  # 0 both, 1 a row on, 2 a column on
    for diagonal in range(2, rows + columns + 1):
        row = np.arange(max(1, diagonal - columns), min(rows, diagonal - 1) + 1)
        column = diagonal - row
        both, down, across = (
            total[row - 1, column - 1],
            total[row - 1, column],
            total[row, column - 1],
        )
        step = np.where((both < down) & (both < across), 0, 2)
        step[(down < both) & (down < across)] = 1
        came[row, column] = step
        least = np.choose(step, (both, down, across))
        total[row, column] = costs[row - 1, column - 1] + least
    came[0, :], came[:, 0] = 2, 1
    return _path(came)


def _path(came: NDArray[np.int8]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    row, column = came.shape[0] - 1, came.shape[1] - 1
    path = []
    while row > 0 or column > 0:
        path.append((row - 1, column - 1))
        step = came[row, column]
        row -= step != 2
        column -= step != 1
    steps = np.array(path[::-1], dtype=np.int64)
    return steps[:, 0], steps[:, 1]


class Decoding(Protocol):
    """What turns token ids into text."""

    def decode(self, ids: Sequence[int], skip_special: bool = True) -> str: ...


def words(
    coder: Decoding,
    tokens: Sequence[int],
    times: Sequence[tuple[float, float]],
    language: str | None,
) -> tuple[Word, ...]:
    """Return words of text tokens, each token with its (start, end) in seconds."""
    groups = _characters(coder, tokens)
    if language not in UNSPACED:
        groups = _spaced(groups)
    return tuple(
        Word(text, times[places[0]][0], times[places[-1]][1])
        for text, places in _punctuated(groups)
    )


_Group = tuple[str, list[int]]  # a piece of text and the places of its tokens


def _characters(coder: Decoding, tokens: Sequence[int]) -> list[_Group]:
    """Return the shortest runs of tokens that are whole characters."""
    whole = coder.decode(tokens, skip_special=False)
    groups: list[_Group] = []
    begun: list[int] = []
    length = 0
    for place in range(len(tokens)):
        begun.append(place)
        text = coder.decode([tokens[at] for at in begun], skip_special=False)
        at = length + text.find(_BROKEN)
        if _BROKEN not in text or at >= len(whole) or whole[at] == _BROKEN:
            groups.append((text, begun))
            begun = []
            length += len(text)
    return groups


def _spaced(groups: Sequence[_Group]) -> list[_Group]:
    """Join what has no space before it to what came before; marks stand alone for now."""
    joined: list[_Group] = []
    for text, places in groups:
        if not joined or text.startswith(" ") or text.strip() in _MARKS:
            joined.append((text, list(places)))
        else:
            before, held = joined[-1]
            joined[-1] = before + text, [*held, *places]
    return joined


def _punctuated(groups: Sequence[_Group]) -> list[_Group]:
    """Join marks to the words that they belong to."""
    held = list(groups)
    following = len(held) - 1
    for at in range(len(held) - 2, -1, -1):
        text, places = held[at]
        if text.startswith(" ") and text.strip() in _BEFORE:
            after, more = held[following]
            held[following] = text + after, [*places, *more]
            held[at] = "", []
        else:
            following = at
    preceding = 0
    for at in range(1, len(held)):
        text, places = held[at]
        before, so_far = held[preceding]
        if not before.endswith(" ") and text in _AFTER:
            held[preceding] = before + text, [*so_far, *places]
            held[at] = "", []
        else:
            preceding = at
    return [group for group in held if group[0]]
