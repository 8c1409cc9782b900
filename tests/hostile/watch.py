"""An audit hook that tells what an attempt did beside computing.

Sound files cause none of what is reported. Events: https://docs.python.org/3/library/audit_events
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

FORBIDDEN = (
    *("socket.connect", "socket.getaddrinfo", "socket.bind", "socket.sendto", "socket.__new__"),
    *("os.system", "os.exec", "os.posix_spawn", "os.fork", "os.symlink", "os.link"),
    *("pickle.find_class", "urllib.Request", "shutil.make_archive"),
)
COMPILERS = ("importlib", "dataclasses", "jinja2", "collections", "typing", "torch", "re", "enum")
"""Modules that compile code of their own making."""
PROGRAMS = ("fathom.checkpoint.pickle_child", "fathom.inputs.worker", "fathom.inputs.trial")
"""Our own limited processes."""


class Watch:
    """Records what is out of the ordinary between `begin` and `end`.

    Args: `writable` are folders that may be written to; reading is allowed in them, in the
    folder of the file in question, and where Python and this project lie.
    """

    def __init__(self, writable: Sequence[Path]) -> None:
        self._writable = [str(folder.resolve()) for folder in writable]
        self._readable = [
            *(str(Path(place).resolve()) for place in {sys.prefix, sys.base_prefix}),
            *(str(Path(place).resolve()) for place in sys.path if place),
            *(
                "/proc",
                "/sys",
                "/dev/null",
                "/dev/urandom",
                "/usr/share/zoneinfo",
                "/etc/localtime",
            ),
        ]
        self._events: list[str] = []
        self._on = False
        self._own = ""
        sys.addaudithook(self._hear)

    def begin(self, path: Path) -> None:
        self._own = str((path if path.is_dir() else path.parent).resolve())
        self._events.clear()
        self._on = True

    def end(self) -> tuple[str, ...]:
        self._on = False
        return tuple(dict.fromkeys(self._events))

    def _hear(self, event: str, arguments: tuple[object, ...]) -> None:
        if not self._on:
            return
        self._on = False  # what the hook itself does is not heard
        try:
            complaint = self._judge(event, arguments)
            if complaint and len(self._events) < 20:
                self._events.append(complaint)
        finally:
            self._on = True

    def _judge(self, event: str, arguments: tuple[object, ...]) -> str:
        if event == "open":
            return self._judge_open(arguments)
        if event == "subprocess.Popen":
            words = [str(word) for word in arguments[1]]  # type: ignore[attr-defined]
            return "" if any(program in words for program in PROGRAMS) else f"runs {words[:3]}"
        if event in ("exec", "compile"):
            caller = self._caller()
            return "" if caller.partition(".")[0] in COMPILERS else f"{event} by {caller}"
        if event == "ctypes.dlopen":  # the machine's own libraries are asked for by name
            return f"loads {arguments[0]}" if os.sep in str(arguments[0]) else ""
        return event if event.startswith(FORBIDDEN) else ""

    def _judge_open(self, arguments: tuple[object, ...]) -> str:
        file, _, flags = arguments
        if not isinstance(file, str | bytes | os.PathLike):
            return ""
        place = os.path.realpath(os.fsdecode(file))
        writes = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        allowed = self._writable if writes else [*self._writable, *self._readable, self._own]
        if place == "/dev/null" or any(_within(place, folder) for folder in allowed):
            return ""
        return f"{'writes' if writes else 'reads'} {place}"

    def _caller(self) -> str:
        frame = sys._getframe(3)
        while frame is not None and frame.f_globals.get("__name__") == __name__:
            frame = frame.f_back  # type: ignore[assignment]
        name = str(frame.f_globals.get("__name__", ""))
        return name.removeprefix("_frozen_")


def _within(place: str, folder: str) -> bool:
    return place == folder or place.startswith(folder + os.sep)
