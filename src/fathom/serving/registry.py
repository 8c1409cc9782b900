"""Servers of this user on this machine: a small file each, so that `ps` and `stop` find them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from fathom.planning.store import data_folder


@dataclass(frozen=True)
class Server:
    """A server: its process, when that began (against another with its number), its address."""

    pid: int
    began: float
    url: str

    @property
    def alive(self) -> bool:
        """Whether that very process still runs."""
        try:
            return bool(abs(psutil.Process(self.pid).create_time() - self.began) < 1)
        except psutil.Error:
            return False


def folder() -> Path:
    """Return where the files are."""
    return data_folder() / "servers"


@contextmanager
def announced(url: str) -> Iterator[Server]:
    """Tell of this process as a server while it is one."""
    process = psutil.Process()
    server = Server(process.pid, process.create_time(), url)
    folder().mkdir(parents=True, exist_ok=True, mode=0o700)
    file = folder() / f"{server.pid}.json"
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as stream:
        json.dump(asdict(server), stream)
    try:
        yield server
    finally:
        file.unlink(missing_ok=True)


def servers() -> list[Server]:
    """Return those that run, the oldest first; files of others are taken away."""
    found = []
    for file in sorted(folder().glob("*.json")):
        try:
            server = Server(**json.loads(file.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):  # half written by one that died
            server = None
        if server is not None and server.alive:
            found.append(server)
        else:
            file.unlink(missing_ok=True)
    return sorted(found, key=lambda server: server.began)
