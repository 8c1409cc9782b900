"""The rule of thumb that everybody knows, and what formats really take.

"1B params: ~2 GB at fp16, ~0.5 GB at 4 bits" counts weights alone, in decimal gigabytes, and half
a byte per number, which no published 4-bit format reaches.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fathom.checkpoint.encodings import ENCODINGS

SIZES: Mapping[str, int] = {
    "1B": 10**9,
    "7B": 7 * 10**9,
    "13B": 13 * 10**9,
    "70B": 70 * 10**9,
    "405B": 405 * 10**9,
}
FORMATS = ("F16", "Q8_0", "Q6_K", "Q5_K", "Q4_K", "Q4_0", "MXFP4")
_RULE = {"fp16": 2.0, "4-bit": 0.5}  # bytes per parameter


@dataclass(frozen=True)
class Line:
    """One size: as the landscape prints it, and bytes in each real format."""

    size: str
    fp16: str
    four_bit: str
    formats: Mapping[str, int]


def landscape_table() -> tuple[Line, ...]:
    """Return the landscape's memory table beside what real formats need for the weights."""
    return tuple(
        Line(
            size,
            _printed(numbers * _RULE["fp16"]),
            _printed(numbers * _RULE["4-bit"]),
            {name: ENCODINGS[name].size((numbers,)) for name in FORMATS},
        )
        for size, numbers in SIZES.items()
    )


def _printed(count: float) -> str:
    """Return '~14GB': whole gigabytes, halves upwards, of which two figures are kept."""
    whole = count / 1e9
    if whole < 1:
        return f"~{whole:.1f}GB"
    rounded = int(whole + 0.5)
    if rounded > 99:
        rounded = round(rounded, -1)
    return f"~{rounded}GB"
