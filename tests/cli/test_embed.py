"""Embedding: lines of JSON, one object, or a file for numpy."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

VECTORS = np.array([[0.5, -1.0], [2.0, 0.25]], dtype=np.float32)


def asked(fake_library) -> dict[str, object]:
    """What the stand-in's model was asked last."""
    return fake_library.LAST[0].calls[-1]


def test_a_line_of_json_per_text(door, fake_library) -> None:
    code, out, err = door("embed", "echo", "one", "zwei", "--prompt", "query")
    assert (code, err) == (0, "")
    assert [json.loads(line) for line in out.splitlines()] == [
        {"text": "one", "vector": [0.5, -1.0]},
        {"text": "zwei", "vector": [2.0, 0.25]},
    ]
    assert asked(fake_library)["prompt"] == "query"
    assert asked(fake_library)["normalise"] is None


def test_lines_of_stdin_are_texts_and_empty_ones_are_not(door, fake_library) -> None:
    code, out, _ = door("embed", "echo", "-", "--json", stdin="ä\n\nb\n".encode())
    assert (code, asked(fake_library)["texts"]) == (0, ["ä", "b"])
    assert json.loads(out) == {"model": "echo", "width": 2, "vectors": VECTORS.tolist()}


def test_a_file_for_numpy(door, fake_library, tmp_path: Path) -> None:
    file = tmp_path / "vectors.npy"
    code, out, _ = door("embed", "echo", "one", "two", "--output", str(file), "--no-normalise")
    assert (code, asked(fake_library)["normalise"]) == (0, False)
    assert np.array_equal(np.load(file), VECTORS)
    assert "2 of 2 numbers" in out
    assert [path.name for path in tmp_path.iterdir()] == ["vectors.npy"]


@pytest.mark.parametrize(
    ("words", "stdin", "complaint"),
    [
        (("embed", "echo", "a", "--output", "vectors.txt"), b"", "must end with .npy"),
        (("embed", "echo", "-"), b"\n\n", "stdin has no lines"),
        (("embed", "echo", "-"), b"\xff", "not UTF-8 at byte 0"),
        (("embed", "echo"), b"", "TEXT"),
    ],
)
def test_refusals_are_one_line(door, fake_library, words, stdin, complaint) -> None:
    code, out, err = door(*words, stdin=stdin)
    assert (code, out) == (2, "")
    assert complaint in err
    assert len(err.splitlines()) == 1
