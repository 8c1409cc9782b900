"""SentencePiece's compiled normalisation, checked before the `tokenizers` library follows it.

It is a trie (a double array of 32-bit units, as darts-clone makes them) from characters to places
in a block of texts. The library believes every offset: version 0.23 panics on the first text that
meets a bad one, and a text without an end makes a mebibyte of one character.
Layout: normalizer.cc of SentencePiece; units: darts.h of darts-clone.
"""

from __future__ import annotations

from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from fathom.errors import TokenizerError

__all__ = ["check_charsmap"]

MOST_BYTES = 64  # that one character may become; the most of NFKC is 33
_STEP = 4096  # nodes that are followed at once, each to its 255 possible children
_REMEDY = "fetch the tokenizer file again"
_LABELS = np.arange(1, 256, dtype=np.int32)  # bytes of a character; 0 ends a text


def check_charsmap(charsmap: bytes) -> None:
    """Refuse a normalisation that leads outside itself or makes much of little.

    Raises:
        TokenizerError: ``E_TRUNCATED``, ``E_OFFSET``, ``E_HEADER_ENCODING`` or ``E_LIMIT``.
    """
    size = int.from_bytes(charsmap[:4], "little")
    if len(charsmap) < 4 or size % 4 or size == 0 or 4 + size > len(charsmap):
        _refuse("E_TRUNCATED", "is cut short")
    units = np.frombuffer(charsmap, dtype="<u4", count=size // 4, offset=4).astype(np.int64)
    _check_texts(charsmap[4 + size :], _places(units))


def _places(units: NDArray[np.int64]) -> NDArray[np.int64]:
    """The places in the texts to which the trie leads; each of its units is followed once."""
    labels = (units & 0x800000FF).astype(np.uint32)
    found: list[NDArray[np.int64]] = []
    seen = np.zeros(len(units), dtype=bool)
    waiting = [_offset(units[:1])]
    while waiting:
        bases = waiting.pop()
        if (bases | 255).max() >= len(units):  # some byte of a text would look beyond the end
            _refuse("E_OFFSET", "leads outside its own table")
        grid = bases.astype(np.int32)[:, None] ^ _LABELS
        children = np.unique(grid[labels[grid] == _LABELS]).astype(np.int64)
        children = children[~seen[children]]
        seen[children] = True
        below = children ^ _offset(units[children])
        leaves = below[units[children] >> 8 & 1 == 1]
        if leaves.size and leaves.max() >= len(units):
            _refuse("E_OFFSET", "leads outside its own table")
        found.append(units[leaves] & 0x7FFFFFFF)
        waiting += [below[at : at + _STEP] for at in range(0, below.size, _STEP)]
    return np.unique(np.concatenate(found))


def _offset(units: NDArray[np.int64]) -> NDArray[np.int64]:
    return (units >> 10) << ((units & 1 << 9) >> 6)


def _check_texts(texts: bytes, places: NDArray[np.int64]) -> None:
    """Each place begins a character of a text that ends soon."""
    try:
        texts.decode()
    except UnicodeDecodeError:
        _refuse("E_HEADER_ENCODING", "holds texts that are not UTF-8")
    letters = np.frombuffer(texts, dtype=np.uint8)
    if places.size and (places.max() >= len(letters) or (letters[places] & 0xC0 == 0x80).any()):
        _refuse("E_OFFSET", "leads outside its own texts")
    ends = np.append(np.flatnonzero(letters == 0), len(letters))
    lengths = ends[np.searchsorted(ends, places)] - places
    if lengths.size and lengths.max() > MOST_BYTES:
        _refuse("E_LIMIT", f"makes {lengths.max():,} bytes of one character")


def _refuse(code: str, what: str) -> NoReturn:
    raise TokenizerError(f"the tokenizer's normalisation {what}; {_REMEDY}", code=code)
