"""`fathom look` on tiny models: labels, words, features, likeness."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from library.pictures import make
from photographs import made


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return {kind: str(make(kind, tmp_path_factory.mktemp(kind))) for kind in ("vit", "clip")}


@pytest.fixture
def photo(tmp_path: Path) -> str:
    Image.fromarray(made(40, 50)).save(tmp_path / "photo.png")
    return str(tmp_path / "photo.png")


def test_the_best_labels_are_shown(door, folders, photo) -> None:
    code, out, err = door("look", folders["vit"], photo, "--top", "3")
    rows = [line.split("  ") for line in out.splitlines()]
    assert (code, err, len(rows)) == (0, "", 3)
    assert [float(row[0]) for row in rows] == sorted((float(row[0]) for row in rows), reverse=True)
    assert rows[0][1].startswith("label ")


def test_json_has_every_label(door, folders, photo) -> None:
    code, out, _ = door("look", folders["clip"], photo, "--labels", "a dog, a cat", "--json")
    told = json.loads(out)
    assert code == 0 and {label["name"] for label in told["labels"]} == {"a dog", "a cat"}
    assert sum(label["score"] for label in told["labels"]) == pytest.approx(1)


def test_features_and_likeness(door, folders, photo) -> None:
    told = json.loads(door("look", folders["vit"], photo, "--features", "--json")[1])
    assert told["patches"] == [4, 4, 32] and np.isfinite(told["vector"]).all()
    assert "4 × 4, 32 wide" in door("look", folders["vit"], photo, "--features")[1]
    told = json.loads(door("look", folders["clip"], photo, "--like", photo, "--json")[1])
    assert told["likeness"] == pytest.approx(1, abs=1e-5)


def test_what_was_decided_is_told(door, folders, tmp_path) -> None:
    clear = Image.fromarray(made(40, 50)).convert("RGBA")
    clear.putalpha(90)
    clear.save(tmp_path / "clear.png")
    code, _, err = door("look", folders["vit"], str(tmp_path / "clear.png"))
    assert code == 0 and "transparent lies on white" in err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--top", "0"], "--top"),
        (["--template", "a {}"], "--labels"),
        (["--labels", "a", "--features"], "--labels"),
    ],
)
def test_what_makes_no_sense_is_one_line(words, said, door, folders, photo) -> None:
    code, out, err = door("look", folders["vit"], photo, *words)
    assert (code, out, err.count("\n")) == (2, "", 1) and said in err


def test_a_broken_picture_is_told_before_a_model_is_opened(door, tmp_path) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"nothing")
    code, _, err = door("look", "absent/model", str(tmp_path / "photo.jpg"))
    assert code == 2 and "known are JPEG" in err
