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

LARGEST = 4 << 20  # bytes; the largest published normalisation has 250 kB
DEEPEST = 64  # bytes that are respelt at once; published ones respell up to 12
MOST_BYTES = 64  # that one character may become; the most of NFKC is 33
_STEP = 4096  # nodes that are followed at once, each to its 255 possible children
_REMEDY = "fetch the tokenizer file again"
_LABELS = np.arange(1, 256, dtype=np.int32)  # bytes of a character; 0 ends a text


def check_charsmap(charsmap: bytes) -> None:
    """Refuse a normalisation that leads outside itself or makes much of little.

    Raises:
        TokenizerError: ``E_TRUNCATED``, ``E_OFFSET``, ``E_HEADER_ENCODING``, ``E_DEPTH`` or
            ``E_LIMIT``.
    """
    if len(charsmap) > LARGEST:
        _refuse("E_LIMIT", f"has {len(charsmap):,} bytes, at most {LARGEST:,}")
    size = int.from_bytes(charsmap[:4], "little")
    if len(charsmap) < 4 or size % 4 or size == 0 or 4 + size > len(charsmap):
        _refuse("E_TRUNCATED", "is cut short")
    units = np.frombuffer(charsmap, dtype="<u4", count=size // 4, offset=4).astype(np.int64)
    _check_texts(charsmap[4 + size :], _places(units))


def _places(units: NDArray[np.int64]) -> NDArray[np.int64]:
    """The places in the texts to which the trie leads, found level by level."""
    labels = (units & 0x800000FF).astype(np.uint32)
    seen, values = np.zeros(len(units), dtype=bool), np.zeros(len(units), dtype=bool)
    bases = _offset(units[:1])
    for _ in range(DEEPEST):
        if not bases.size:
            return units[np.flatnonzero(values)] & 0x7FFFFFFF
        children = np.flatnonzero(_reached(bases, labels) & ~seen)
        seen[children] = True
        bases = children ^ _offset(units[children])
        if bases.size and bases.max() >= len(units):
            _refuse("E_OFFSET", "leads outside its own table")
        values[bases[units[children] >> 8 & 1 == 1]] = True
    return _refuse("E_DEPTH", f"respells more than {DEEPEST} bytes at once")


def _reached(bases: NDArray[np.int64], labels: NDArray[np.uint32]) -> NDArray[np.bool_]:
    """Which units are children of these nodes: those that bear the byte that leads to them."""
    reached = np.zeros(len(labels), dtype=bool)
    if (bases | 255).max() >= len(labels):  # some byte of a text would look beyond the end
        _refuse("E_OFFSET", "leads outside its own table")
    for at in range(0, bases.size, _STEP):
        grid = bases[at : at + _STEP].astype(np.int32)[:, None] ^ _LABELS
        reached[grid[labels[grid] == _LABELS]] = True
    return reached


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
    ends = np.concatenate([np.flatnonzero(letters == 0), [len(letters)]])
    lengths = ends[np.searchsorted(ends, places)] - places
    if lengths.size and lengths.max() > MOST_BYTES:
        _refuse("E_LIMIT", f"makes {lengths.max():,} bytes of one character")


def _refuse(code: str, what: str) -> NoReturn:
    raise TokenizerError(f"the tokenizer's normalisation {what}; {_REMEDY}", code=code)
