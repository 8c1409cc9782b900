"""Pictures and sound among the words of `fathom run`: told apart, asked about, refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import transformers
from PIL import Image

from fathom import library
from fathom.cli.main import main
from fathom.cli.media import BEGINNINGS, Medium, told_apart
from parity.cases_vision_language import CASES, PLACEHOLDER
from parity.test_vision_language import save_beside


@pytest.fixture(scope="module")
def seeing(tmp_path_factory) -> Path:
    """Return the folder of a tiny model that sees."""
    torch.manual_seed(0)
    stated = {**CASES["llava"].config, "image_token_index": PLACEHOLDER}
    model = transformers.LlavaForConditionalGeneration(transformers.LlavaConfig(**stated))
    folder = tmp_path_factory.mktemp("seeing") / "model"
    model.save_pretrained(folder)
    save_beside(folder)
    return folder


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    Image.fromarray(np.full((40, 50, 3), 99, dtype=np.uint8)).save(tmp_path / "photo.jpg")
    return tmp_path / "photo.jpg"


SAVED = {
    **dict.fromkeys(("png", "jpg", "webp", "gif", "bmp", "tiff"), "picture"),
    **dict.fromkeys(("wav", "flac", "ogg", "mp3"), "sound"),
}


@pytest.mark.parametrize("suffix", SAVED)
def test_a_file_is_known_by_its_content(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"named.{suffix}"
    if SAVED[suffix] == "picture":
        Image.new("RGB", (8, 8)).save(path)
    else:
        soundfile.write(path, np.zeros(4000, dtype=np.float32), 16_000)
    plain = path.rename(tmp_path / "no suffix")
    media, texts = told_apart([str(plain), "What is this?", str(tmp_path / "absent.png")])
    assert media == [Medium(SAVED[suffix], plain)]
    assert texts == ["What is this?", str(tmp_path / "absent.png")]


def test_a_text_is_a_text(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("BMW is no bitmap, but begins like one"[1:])
    words = ["", "-", "x" * 10_000, "a\nb", "\0", str(tmp_path), str(tmp_path / "notes.txt")]
    assert told_apart(words) == ([], words)
    assert {kind for _, _, kind in BEGINNINGS} == {"picture", "sound"}


def test_a_picture_is_asked_about(seeing: Path, photo: Path, capsys) -> None:
    words = ["run", str(seeing), str(photo), "What is this?", "--max-tokens", "5", "--json"]
    assert main(words) == 0
    told = json.loads(capsys.readouterr().out)
    picture = {"type": "image", "image": str(photo)}
    said = {"type": "text", "text": "What is this?"}
    model = library.open(str(seeing))
    expected = model.chat([{"role": "user", "content": [picture, said]}], max_tokens=5)
    assert told["text"] == "".join(map(str, expected))
    assert told["usage"]["prompt_tokens"] == expected.usage.prompt_tokens
    assert told["task"] == "chat"


def test_what_cannot_be_asked_is_one_line(seeing: Path, photo: Path, tmp_path, capsys) -> None:
    sound = tmp_path / "talk.wav"
    soundfile.write(sound, np.zeros(4000, dtype=np.float32), 16_000)
    cases = {
        "ask something about photo.jpg": [str(seeing), str(photo)],
        "talk.wav is a sound": [str(seeing), str(sound), "What is said?"],
        "takes text": ["smollm2:135m", str(photo), "What is this?"],
    }
    for word, words in cases.items():
        assert main(["run", *words]) == 2
        told = capsys.readouterr().err
        assert word in told
        assert told.count("\n") == 1
