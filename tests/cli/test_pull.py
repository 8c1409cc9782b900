"""Fetching: where it lies and how large it is."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from fathom.cli.pull import stored_bytes


def test_path_and_bytes_are_printed(door, fake_library) -> None:
    code, out, err = door("pull", "echo")
    assert (code, err) == (0, "")
    facts = dict(line.split(maxsplit=1) for line in out.splitlines())
    assert facts == {
        "path": "echo.gguf",
        "bytes": "3,000 (3.00 kB)",
        "origin": "file:echo.gguf",
        "found": "cache",
        "sha256": "ab" * 32,
    }


def test_a_folder_is_counted(door, fake_library, monkeypatch, tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep/a").write_bytes(b"123")
    (tmp_path / "b").write_bytes(b"4567")
    location = replace(fake_library.locate("echo"), path=tmp_path, size=None)
    monkeypatch.setattr(fake_library, "locate", lambda *_, **__: location)
    content = json.loads(door("pull", "echo", "--json")[1])
    assert (content["size"], content["path"]) == (7, str(tmp_path))
    assert stored_bytes(tmp_path / "b") == 4
