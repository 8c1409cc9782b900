"""Lines of a table turned into cases: a name begins with the id of the catalogue's line."""

from __future__ import annotations

from collections.abc import Mapping

from hostile.case import EVERY_DOOR, Case, file_of


def cases(
    file: str,
    refused: Mapping[str, tuple[bytes, str]],
    accepted: Mapping[str, bytes],
    *,
    twin: bytes,
    doors: tuple[str, ...] = EVERY_DOOR,
    twin_doors: tuple[str, ...] = ("headers",),
) -> list[Case]:
    """Make cases of files of bytes, all of one name.

    The sound twin of a refused line is the accepted ``<id> twin``, or else `twin`.
    """
    found = []
    for name, (content, code) in refused.items():
        id, _, title = name.partition(" ")
        near = file_of(file, accepted.get(f"{id} twin", twin))
        found.append(Case(id, title, file_of(file, content), code, near, doors, twin_doors))
    for name, content in accepted.items():
        id, _, title = name.partition(" ")
        if title != "twin":
            found.append(Case(id, title, file_of(file, content), doors=twin_doors))
    return found
