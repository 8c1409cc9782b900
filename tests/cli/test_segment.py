"""`fathom segment` on a tiny model: prompts, files, COCO's form."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco

from fathom.inputs.pictures import read_picture
from library.pictures import make
from photographs import made


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(make("sam", tmp_path_factory.mktemp("sam")))


@pytest.fixture
def photo(tmp_path: Path) -> str:
    Image.fromarray(made(50, 70)).save(tmp_path / "photo.png")
    return str(tmp_path / "photo.png")


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools'
def test_json_is_read_by_cocos_tools_and_equals_the_files(door, folder, photo, tmp_path) -> None:
    out = tmp_path / "masks"
    words = ["--point", "20,30", "--not", "60,10", "--several", "--out", str(out), "--json"]
    code, said, err = door("segment", folder, photo, *words)
    told = json.loads(said)
    assert (code, err, told["width"], told["height"]) == (0, "", 70, 50)
    assert len(told["masks"]) == 3 and len(told["files"]) == 4
    for mask, file in zip(told["masks"], told["files"], strict=False):
        inside = coco.decode(mask["segmentation"])
        assert np.array_equal(read_picture(file).pixels[..., 0], inside * 255)
        assert mask["area"] == inside.sum()
        assert mask["bbox"] == coco.toBbox(mask["segmentation"]).tolist()
    assert read_picture(told["files"][-1]).pixels.shape == (50, 70, 3)


def test_boxes_are_things_of_their_own(door, folder, photo) -> None:
    words = ["--box", "1,2,30,40", "--box", "5,5,69,49"]
    told = json.loads(door("segment", folder, photo, *words, "--json")[1])
    assert [mask["prompt"] for mask in told["masks"]] == [0, 1]
    lines = door("segment", folder, photo, *words)[1].splitlines()
    assert len(lines) == 3 and lines[0].split()[:3] == ["mask", "quality", "stability"]


def test_everything_is_shown(door, folder, photo) -> None:
    code, said, _ = door("segment", folder, photo, "--everything", "--side", "2", "--json")
    assert code == 0 and isinstance(json.loads(said)["masks"], list)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "--everything"),
        (["--everything", "--point", "1,1"], "--everything"),
        (["--point", "1"], "X,Y"),
        (["--box", "1,2,3"], "X0,Y0,X1,Y1"),
        (["--box", "1,2,3,x"], "X0,Y0,X1,Y1"),
        (["--box", "0,0,9,9", "--box", "1,1,9,9", "--point", "3,3"], "single --box"),
        (["--box", "0,0,71,9"], "70 × 50"),
        (["--point", "70,0"], "outside"),
    ],
)
def test_what_makes_no_sense_is_one_line(words, said, door, folder, photo) -> None:
    code, out, err = door("segment", folder, photo, *words)
    assert (code, out, err.count("\n")) == (2, "", 1) and said in err


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(make("grounding-dino", tmp_path_factory.mktemp("detector")))


def test_words_become_boxes_and_those_become_masks(door, folder, detector, photo) -> None:
    words = ["--text", "a red car. cat.", "--detector", detector]
    told = json.loads(door("segment", folder, photo, *words, "--json")[1])
    boxes = json.loads(door("look", detector, photo, "--text", "a red car. cat.", "--json")[1])
    named = [(box["phrase"], box["score"]) for box in boxes["boxes"]]
    assert named and [(mask["phrase"], mask["score"]) for mask in told["masks"]] == named
    code, said, _ = door("segment", folder, photo, *words)
    assert code == 0 and "phrase" in said.splitlines()[0] and len(said.splitlines()) > len(named)


def test_nothing_of_a_name_is_no_error(door, detector, photo) -> None:
    words = ["--text", "cat", "--threshold", "1"]
    code, said, _ = door("look", detector, photo, *words, "--json")
    assert code == 0 and json.loads(said)["boxes"] == []
    assert door("look", detector, photo, "--threshold", "1")[0] == 2
