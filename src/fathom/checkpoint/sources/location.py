"""Where the weights of a model turned out to be."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Kind = Literal["folder", "file", "hub", "package"]


@dataclass(frozen=True, slots=True)
class Location:
    """A name, resolved: the file or folder on this machine and how it came to be here.

    `origin` can be given back to `locate` and means the same bytes:
    ``pypi:package==1.0/path`` or ``hub:owner/name@commit:file``; a path is its own origin.
    """

    name: str  # as it was asked for
    kind: Kind
    origin: str
    path: Path
    found: str  # in words: "installed package", "cache", "downloaded", "on this machine"
    revision: str | None = None  # commit of a hub repository, version of a package
    size: int | None = None  # bytes of all files that were selected; None for a folder of the user
    sha256: str | None = None  # of a single file that was checked, in hexadecimal
    notes: tuple[str, ...] = ()  # choices made for the user, each a sentence
