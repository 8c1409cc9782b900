"""Names of blocks: equal ones after equal prefixes have the same, all others have different ones.

    name of block i = sha256(name of block i - 1 · its token ids)      name of block -1 = the root

What was read in whole pieces has other bits than what was not, so a block after those of a prompt
is named apart: a · stands before its ids.

The root holds whatever else the state depends on, and a salt where nothing may be shared. SHA-256,
since a name that somebody can make collide is somebody else's conversation (CVE-2025-25183).
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from hashlib import sha256

APART = "·".encode()


def root(*parts: bytes) -> bytes:
    """Return what names begin with, for all that a state depends on beside its tokens."""
    whole = sha256()
    for part in parts:
        whole.update(len(part).to_bytes(8, "little"))
        whole.update(part)
    return whole.digest()


def extend(
    names: list[bytes], tokens: Sequence[int], begin: bytes, size: int, whole: int | None = None
) -> None:
    """Append the names of the complete blocks of `size` tokens that `names` lacks.

    The first `whole` tokens are read in whole pieces; all of them where it is None.
    """
    for block in range(len(names), len(tokens) // size):
        ids = array("q", tokens[block * size : (block + 1) * size])
        names.append(sha256(before(names, block, begin, size, whole) + ids.tobytes()).digest())


def before(
    names: Sequence[bytes], block: int, begin: bytes, size: int, whole: int | None = None
) -> bytes:
    """Return what all blocks have in common that may come after those before `block`."""
    found = names[block - 1] if block else begin
    return found + APART if whole is not None and block * size >= whole else found


def alike(one: Sequence[int], other: Sequence[int]) -> int:
    """Return how many tokens are the same at the beginning of both."""
    for index, (own, its) in enumerate(zip(one, other, strict=False)):
        if own != its:
            return index
    return min(len(one), len(other))
