"""`fathom imagine` and `fathom autoencode`: files in, files out, and what is said beside."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fathom.cli.main import main
from parity import stylegan2_reference
from parity.cases_pipelines import CONTEXT, autoencoder, save, stable_diffusion

PROMPT = "a cat, sat."


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(stable_diffusion(), tmp_path_factory.mktemp("pipeline") / "model")


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("photo") / "photo.png"
    pixels = np.random.default_rng(0).integers(0, 255, (24, 20, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file)
    return file


def size(file: Path) -> tuple[int, int]:
    with Image.open(file) as picture:
        return picture.size


def test_a_picture_is_written_and_told(folder: Path, tmp_path: Path, capsys) -> None:
    out, preview = tmp_path / "out.png", tmp_path / "now.png"
    words = ["imagine", str(folder), PROMPT, "--steps", "2", "--seed", "5", "--out", str(out)]
    assert main([*words, "--preview", str(preview), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["file"] == str(out)
    assert (told["steps"], told["seed"], told["size"]) == (3, 5, [16, 16])
    assert told["evaluations"] == 6
    assert size(out) == size(preview) == (16, 16)
    before = out.read_bytes()
    assert main([*words]) == 0
    assert out.read_bytes() == before
    assert "seed" in capsys.readouterr().out


def test_a_picture_is_changed(folder: Path, photo: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "changed.webp"
    words = ["imagine", str(folder), PROMPT, "--picture", str(photo), "--strength", "0.5"]
    assert main([*words, "--steps", "4", "--out", str(out)]) == 0
    assert size(out) == (20, 24)
    assert "fathom: note" not in capsys.readouterr().err


def test_what_a_text_encoder_does_not_see_is_said(folder: Path, tmp_path: Path, capsys) -> None:
    long = PROMPT + " b" * CONTEXT
    out = str(tmp_path / "out.png")
    assert main(["imagine", str(folder), long, "--steps", "1", "--out", out]) == 0
    assert "fathom: note: the prompt has" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "word"),
    [
        (["--out", "picture.txt"], "ends with .png"),
        (["--size", "15", "16"], "multiples of"),
        (["--picture", "absent.png"], "no such picture"),
        (["--mask", "absent.png"], "give the picture"),
    ],
)
def test_what_cannot_be_is_one_line(more: list[str], word: str, folder: Path, capsys) -> None:
    assert main(["imagine", str(folder), PROMPT, *more]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert word in err
    assert err.count("\n") == 1


def test_a_picture_goes_there_and_back(photo: Path, tmp_path: Path, capsys) -> None:
    autoencoder().save_pretrained(tmp_path / "vae")
    out = tmp_path / "back.png"
    words = ["autoencode", str(tmp_path / "vae"), str(photo), "--out", str(out)]
    assert main([*words, "--tile", "16", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["latents"] == [4, 12, 10]
    assert told["tiles"] == 4
    assert size(out) == (20, 24)
    assert main(words) == 0
    assert "dB" in capsys.readouterr().out


def test_a_model_of_text_makes_no_picture(photo: Path, tmp_path: Path, capsys) -> None:
    autoencoder().save_pretrained(tmp_path / "vae")
    assert main(["imagine", str(tmp_path / "vae"), PROMPT]) == 2
    assert "cannot imagine" in capsys.readouterr().err


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory) -> str:
    stated = stylegan2_reference.config("skip")
    folder = tmp_path_factory.mktemp("generator") / "model"
    stylegan2_reference.save(stated, stylegan2_reference.weights(stated), folder)
    return str(folder)


def test_a_seed_alone_is_a_picture(generator: str, tmp_path: Path, capsys) -> None:
    out = tmp_path / "face.png"
    words = ["imagine", generator, "--seed", "7", "--truncation", "0.5", "--out", str(out)]
    assert main([*words, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["files"], told["size"], told["seed"]) == ([str(out)], [16, 16], 7)
    assert told["truncation"] == 0.5 and size(out) == (16, 16)
    assert main(words) == 0
    assert "truncation" in capsys.readouterr().out


def test_pictures_on_the_way_to_another_seed_are_numbered(
    generator: str, tmp_path: Path, capsys
) -> None:
    out = tmp_path / "way.png"
    words = ["imagine", generator, "--seed", "7", "--out", str(out)]
    assert main([*words, "--to", "8", "--frames", "11", "--json"]) == 0
    files = json.loads(capsys.readouterr().out)["files"]
    assert files == [str(tmp_path / f"way-{number:02}.png") for number in range(11)]
    assert main(words) == 0
    assert out.read_bytes() == Path(files[0]).read_bytes() != Path(files[-1]).read_bytes()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["a face"], "no prompt"),
        (["--steps", "4"], "no steps"),
        (["--frames", "3"], "--to"),
        (["--kind", "1"], "leave the kind out"),
    ],
)
def test_what_a_generator_does_not_take_is_refused(
    words: list[str], said: str, generator: str, capsys
) -> None:
    assert main(["imagine", generator, *words]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(("words", "said"), [([], "shall show"), ([PROMPT, "--to", "1"], "--to")])
def test_what_only_a_generator_takes_is_refused(
    words: list[str], said: str, folder: Path, capsys
) -> None:
    assert main(["imagine", str(folder), *words]) == 2
    assert said in capsys.readouterr().err
