"""The command line against a library that answers at once."""

from __future__ import annotations

import importlib.util
import io
import sys
from pathlib import Path
from types import ModuleType

import pytest

import fathom
from fathom.cli.main import main

FAKE = Path(__file__).with_name("fake_library.py")


@pytest.fixture
def fake_library(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    """`fathom.library`, replaced for one test; the cache is an empty folder."""
    spec = importlib.util.spec_from_file_location("fathom.library", FAKE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "fathom.library", module)
    monkeypatch.setattr(fathom, "library", module, raising=False)
    spec.loader.exec_module(module)
    monkeypatch.setenv("FATHOM_CACHE", str(tmp_path))
    monkeypatch.setenv("FATHOM_RECORD", "0")  # what is made up is not to be learnt from
    return module


class Terminal(io.TextIOWrapper):
    """A standard input that says it is a terminal, or not, and holds some bytes."""

    def __init__(self, content: bytes = b"", terminal: bool = False) -> None:
        super().__init__(io.BytesIO(content), encoding="utf-8")
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal


class Door:
    """Calls `main` and keeps what came out."""

    def __init__(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self._capsys = capsys
        self._monkeypatch = monkeypatch

    def __call__(self, *words: str, stdin: bytes | None = b"") -> tuple[int, str, str]:
        """Return (exit code, stdout, stderr). `stdin=None` is a terminal where nobody types."""
        self._monkeypatch.setattr("sys.stdin", Terminal(stdin or b"", terminal=stdin is None))
        code = main(words)
        out, err = self._capsys.readouterr()
        return code, out, err


@pytest.fixture
def door(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Door:
    return Door(capsys, monkeypatch)
