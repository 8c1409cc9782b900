"""What one line of the catalogue is: a broken file, the code it must get, and its sound twin."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

Build = Callable[[Path], Path]
"""Writes files into an empty folder and returns what is to be opened."""

EVERY_DOOR = ("headers", "inspect", "open", "convert")
"""A broken file gets the same code from all of them."""


@dataclass(frozen=True)
class Case:
    """One file by a stranger.

    Attributes:
        id: the line of the catalogue, such as ``ST-11``.
        title: what is wrong, in words.
        build: makes the file.
        code: the code of the refusal; "" where the file is to be accepted.
        twin: makes the nearest file that is accepted; None where the case itself is accepted.
        doors: the entrances of `doors.DOORS` that are tried.
        twin_doors: those by which the twin must pass.
        options: given to the door.
        seconds: of processor time that an answer may take; 120 s of wall time more end it.
        memory: bytes above the start that a file below a mebibyte may cost.
    """

    id: str
    title: str
    build: Build
    code: str = ""
    twin: Build | None = None
    doors: tuple[str, ...] = EVERY_DOOR
    twin_doors: tuple[str, ...] = ("headers",)
    options: Mapping[str, object] = field(default_factory=dict)
    seconds: float = 2.0
    memory: int = 64 << 20

    @property
    def name(self) -> str:
        return f"{self.id} {self.title}"


def file_of(name: str, content: bytes) -> Build:
    """Build one file of these bytes."""

    def build(folder: Path) -> Path:
        path = folder / name
        path.write_bytes(content)
        return path

    return build


@dataclass(frozen=True)
class Verdict:
    """How an attempt ended, and what it did on the way.

    Attributes:
        ending: accepted, refused, exception, memory, hang or signal.
        code: of the refusal.
        message: of the refusal or exception; else what killed the process.
        seconds: processor time of the attempt itself.
        memory: bytes resident above the start, at the most.
        events: audit events that no sound file causes.
        benign: whether a sound model still opens in the same process; None if not asked.
    """

    ending: str
    code: str = ""
    message: str = ""
    seconds: float = 0.0
    memory: int = 0
    events: tuple[str, ...] = ()
    benign: bool | None = None
