"""The bytes that weights take once they are packed for the native kernels, from shapes alone.

A statement of its own of what `ops/kernels/layout.hpp` lays out, so that a plan needs no compiled
code: panels of 16 rows, in each before the values of some blocks of 32 columns their scales.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from fathom.checkpoint.contents import Contents
from fathom.checkpoint.naming import Assignment
from fathom.errors import RequestError

PANEL_ROWS = 16
BLOCK_COLUMNS = 32
LINE = 64  # bytes of a cache line, on which values begin
DECODED = ""  # in place of an encoding, of a matrix whose rows a naming rule takes apart


@dataclass(frozen=True)
class Layout:
    """How one encoding is packed: bits of a value, and bytes of scales for columns of one row."""

    bits: int
    scale_bytes: int = 0
    scale_columns: int = BLOCK_COLUMNS


LAYOUTS: Mapping[str, Layout] = {
    "F32": Layout(32),
    "F16": Layout(16),
    "BF16": Layout(16),
    "Q4_0": Layout(4, 2),
    "Q4_1": Layout(4, 4),
    "Q5_0": Layout(5, 2),
    "Q5_1": Layout(5, 4),
    "Q8_0": Layout(8, 2),
    "Q4_K": Layout(4, 2 + 2 + 8 + 8, 256),  # two of float16, a step and a minimum for each block
    "Q5_K": Layout(5, 2 + 2 + 8 + 8, 256),
    "Q6_K": Layout(6, 2 + 16 + 2, 256),  # one of float16, steps of half blocks, a line filled up
}
PLAIN = frozenset({"F32", "F16", "BF16"})  # whose rows may end within a block


@cache  # experts by the thousand have few shapes
def packed_bytes(encoding: str, rows: int, columns: int) -> int:
    """Return the bytes of a packed matrix.

    Raises:
        RequestError: for an encoding that no kernel multiplies, or columns that end in a block.
    """
    layout = LAYOUTS.get(encoding)
    if layout is None:
        raise RequestError(f"no kernel multiplies weights in {encoding}; take {', '.join(LAYOUTS)}")
    whole = 1 if encoding in PLAIN else layout.scale_columns
    if columns % whole:
        raise RequestError(
            f"{columns:,} columns cannot be {encoding}: they come in blocks of {whole}"
        )
    scales = PANEL_ROWS * layout.scale_bytes * (columns // layout.scale_columns)
    values = -(-columns // BLOCK_COLUMNS) * BLOCK_COLUMNS * PANEL_ROWS * layout.bits // 8
    panels = -(-rows // PANEL_ROWS)
    return panels * (-(-scales // LINE) * LINE + values)


def packed_as(
    encoding: str, *, exact: bool = False, wide: bool = False, rounded: bool = False
) -> str:
    """Return what a matrix stored in an encoding becomes: the same, where a kernel multiplies it.

    An `exact` one is kept in float32. What has to be decoded is `wide` where it was stored in
    four bytes or more a number, and bfloat16 otherwise. `rounded`, nothing stays in float32.
    """
    if exact:
        return "F32"
    if rounded and (encoding == "F32" or wide):
        return "BF16"
    if encoding in LAYOUTS:
        return encoding
    return "F32" if wide else "BF16"


def packed_from(
    contents: Contents,
    assignment: Assignment,
    name: str,
    *,
    exact: bool = False,
    decoded: bool = False,
    rounded: bool = False,
    grouped: str | None = None,
) -> str:
    """Return what one parameter's matrix becomes when it is packed from a file.

    `grouped` is the encoding that was chosen for it, if any, where it is neither `exact` nor has to
    be `decoded`.
    """
    if grouped is not None and not exact and not decoded:
        return grouped
    from fathom.checkpoint.stored_rows import stored_rows  # numpy, which no configuration needs

    stored = stored_rows(contents, assignment, name)
    theirs = {contents.tensors[each].encoding for each in assignment.theirs}
    kept = DECODED if stored is None or decoded else stored.encoding
    wide = not theirs.isdisjoint(("F32", "F64"))
    return packed_as(kept, exact=exact, wide=wide, rounded=rounded)
