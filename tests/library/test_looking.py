"""Looking at pictures from file to words, beside the reference's own way from file to words."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from PIL import Image

from fathom import library
from fathom.errors import (
    ContextLengthError,
    FathomError,
    NotFoundError,
    PictureError,
    RequestError,
    UnsupportedTaskError,
)
from fathom.inputs.pictures import write_picture
from fathom.library import Model
from library.pictures import TOWERS, make
from photographs import made

PICTURE, OTHER = made(60, 83), made(48, 48)
LABELS = ["a Dog!", "a cat", "the  truck"]
TEMPLATE = "a photo of {}"

Opener = Callable[[str], tuple[Model, Path]]


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Opener:
    """Return what opens one of the tiny models, once."""

    @cache
    def one(kind: str) -> tuple[Model, Path]:
        folder = make(kind, tmp_path_factory.mktemp(kind))
        return library.open(str(folder), dtype="float32", device="cpu"), folder

    return one


def reference(kind: str, folder: Path, **texts: torch.Tensor) -> transformers.utils.ModelOutput:
    """Return what the reference makes of the picture."""
    architecture, _, processor = TOWERS[kind]
    how = getattr(transformers, f"{processor}ImageProcessorPil").from_pretrained(folder)
    pixels = how(Image.fromarray(PICTURE), return_tensors="pt")["pixel_values"]
    model = getattr(transformers, architecture).from_pretrained(folder).eval()
    with torch.inference_mode():
        return model(pixel_values=pixels, **texts)


def test_labels_are_the_references(opened: Opener) -> None:
    model, folder = opened("vit")
    expected = reference("vit", folder).logits[0].softmax(dim=-1)
    found = model.classify(PICTURE)
    assert [label.score for label in found] == sorted(
        (label.score for label in found), key=lambda s: -s
    )
    for label in found:
        assert label.score == pytest.approx(float(expected[int(label.name[-1])]), rel=1e-4)


def test_any_words_are_labels_where_one_fits(opened: Opener) -> None:
    model, folder = opened("clip")
    texts = [TEMPLATE.format(label) for label in LABELS]
    ids = [[256, *model.tokenizer.encode(text, add_special=False), 257] for text in texts]
    rows = torch.tensor([row + [257] * (40 - len(row)) for row in ids])
    expected = reference("clip", folder, input_ids=rows).logits_per_image[0].softmax(dim=-1)
    found = {
        label.name: label.score for label in model.classify(PICTURE, LABELS, template=TEMPLATE)
    }
    assert list(found.values()) == sorted(found.values(), reverse=True)
    for label, score in zip(LABELS, expected.tolist(), strict=True):
        assert found[label] == pytest.approx(score, rel=1e-4)


def test_words_are_prepared_as_the_publisher_does_and_judged_one_by_one(opened: Opener) -> None:
    model, folder = opened("siglip")
    tokenizer = transformers.SiglipTokenizer(
        str(folder / "spiece.model"), eos_token="</s>", unk_token="<unk>", pad_token="</s>"
    )
    rows = []
    for label in LABELS:
        text = tokenizer.canonicalize_text(TEMPLATE.format(label))
        ids = [*tokenizer.sp_model.encode(text), 1]
        assert model.tokenizer.encode(TEMPLATE.format(label)) == ids
        rows.append(ids + [1] * (40 - len(ids)))
    expected = reference("siglip", folder, input_ids=torch.tensor(rows)).logits_per_image[0]
    found = {
        label.name: label.score for label in model.classify(PICTURE, LABELS, template=TEMPLATE)
    }
    for label, score in zip(LABELS, expected.sigmoid().tolist(), strict=True):
        assert found[label] == pytest.approx(score, rel=1e-4)


def test_features_are_of_the_whole_and_of_every_patch(opened: Opener) -> None:
    model, folder = opened("dinov2")
    expected = reference("dinov2", folder)
    found = model.features(PICTURE)
    assert found.vector == pytest.approx(expected.pooler_output[0].numpy(), rel=1e-4, abs=1e-5)
    assert found.patches.shape == (4, 5, 32)
    patches = expected.last_hidden_state[0, 1:].numpy().reshape(4, 5, 32)
    assert np.abs(found.patches - patches).max() < 1e-4 * np.abs(patches).max()


@pytest.mark.parametrize("kind", ["vit", "dinov2", "clip", "siglip"])
def test_a_picture_is_most_like_itself(kind: str, opened: Opener, tmp_path: Path) -> None:
    model, _ = opened(kind)
    write_picture(tmp_path / "a.png", PICTURE)
    found = model.compare([PICTURE, OTHER], [tmp_path / "a.png", OTHER])
    assert found.shape == (2, 2) and found.dtype == np.float32
    assert np.diag(found) == pytest.approx([1, 1], abs=1e-5)
    assert found[0, 1] == pytest.approx(found[1, 0], abs=1e-5) and found[0, 1] < 0.9999
    assert model.tasks and set(model.fit().terms) >= {"kept", "workspace"}


def test_likeness_to_texts_is_the_cosine_behind_the_scores(opened: Opener) -> None:
    model, _ = opened("clip")
    cosines = model.compare([PICTURE], texts=[TEMPLATE.format(label) for label in LABELS])[0]
    scores = torch.tensor(cosines) * model.module.scale.exp()
    found = {
        label.name: label.score for label in model.classify(PICTURE, LABELS, template=TEMPLATE)
    }
    for label, score in zip(LABELS, scores.softmax(dim=0).tolist(), strict=True):
        assert found[label] == pytest.approx(score, rel=1e-4)


def test_many_texts_are_read_in_batches(opened: Opener) -> None:
    model, _ = opened("clip")
    many = [f"{number} dogs" for number in range(11)]
    at_once = model.compare([PICTURE], texts=many)[0]
    one_by_one = [float(model.compare([PICTURE], texts=[text])[0, 0]) for text in many]
    assert at_once == pytest.approx(one_by_one, abs=1e-5)


@pytest.mark.parametrize(
    ("kind", "ask", "error", "said"),
    [
        ("dinov2", lambda m: m.classify(PICTURE), UnsupportedTaskError, "no labels"),
        ("dinov2", lambda m: m.chat([]), UnsupportedTaskError, "features"),
        ("dinov2", lambda m: m.compare([], [PICTURE]), RequestError, "at least one picture"),
        ("dinov2", lambda m: m.features(b"text"), PictureError, "known are"),
        ("clip", lambda m: m.classify(PICTURE, []), RequestError, "at least one label"),
        ("clip", lambda m: m.classify(PICTURE, ["a", "a"]), RequestError, "twice"),
        ("clip", lambda m: m.classify(PICTURE, ["a"], template="x"), RequestError, "template"),
        ("clip", lambda m: m.classify(PICTURE, ["a" * 60]), ContextLengthError, "fewer words"),
        ("clip", lambda m: m.compare([PICTURE]), RequestError, "either"),
        ("clip", lambda m: m.compare([PICTURE], [OTHER], texts=["a"]), RequestError, "either"),
    ],
)
def test_what_makes_no_sense_is_refused(
    kind: str,
    ask: Callable[[Model], object],
    error: type[FathomError],
    said: str,
    opened: Opener,
) -> None:
    model, _ = opened(kind)
    with pytest.raises(error, match=said):
        ask(model)


def test_without_a_processor_nothing_is_guessed(tmp_path: Path) -> None:
    folder = make("vit", tmp_path / "vit")
    stated = json.loads((folder / "preprocessor_config.json").read_text())
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(NotFoundError, match="copy it"):
        library.open(str(folder), device="cpu").classify(PICTURE)
    (folder / "processor_config.json").write_text(json.dumps({"image_processor": stated}))
    assert library.open(str(folder), device="cpu").classify(PICTURE)
