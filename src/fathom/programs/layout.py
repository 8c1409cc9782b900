"""How what a program keeps lies in memory: pages of keys and values, memories, whole vectors."""

from __future__ import annotations

from typing import Literal, TypeAlias

StateType: TypeAlias = Literal["float32", "float16"]

PAGE_TOKENS = 32  # keys of one head that lie in one piece of a page
LANES = 16  # numbers of a vector; values and a memory's rows are padded to whole ones
WIDEST_HEAD = 512
ALIGNMENT = 64  # bytes on which begins what a step keeps
STATE_BYTES: dict[StateType, int] = {"float32": 4, "float16": 2}  # of a number of keys and values


def whole_lanes(width: int) -> int:
    """Return a width padded to whole vectors."""
    return -(-width // LANES) * LANES


def head_bytes(width: int, state: StateType) -> int:
    """Return the bytes that the keys and values of one head take in a page."""
    return PAGE_TOKENS * (width + whole_lanes(width)) * STATE_BYTES[state]
