"""Boxes for words, against the reference's own pipeline of preparation, model and reading."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image

from fathom import library
from fathom.errors import ContextLengthError, PictureError, RequestError, UnsupportedTaskError
from fathom.inputs.pictures import Picture
from fathom.library import Model
from fathom.tasks.detecting import phrases_text
from library.pictures import make
from photographs import made

TEXT = "a red car. cat. dog."


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make("grounding-dino", tmp_path_factory.mktemp("detector"))


@pytest.fixture(scope="module")
def detector(folder: Path) -> Model:
    return library.open(str(folder), dtype="float32", device="cpu")


def test_boxes_and_scores_are_those_of_the_reference(folder: Path, detector: Model) -> None:
    from transformers import (
        BertTokenizerFast,
        GroundingDinoForObjectDetection,
        GroundingDinoImageProcessorPil,
        GroundingDinoProcessor,
    )

    pixels = made(50, 90)
    tokenizer = BertTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"))
    how = GroundingDinoImageProcessorPil.from_pretrained(folder)
    processor = GroundingDinoProcessor(how, tokenizer)
    model = GroundingDinoForObjectDetection.from_pretrained(folder).eval()
    inputs = processor(images=Image.fromarray(pixels), text=TEXT, return_tensors="pt")
    with torch.inference_mode():
        out = model(**inputs)
    low = {"threshold": 0.1, "text_threshold": 0.1, "target_sizes": [(50, 90)]}
    theirs = processor.post_process_grounded_object_detection(out, inputs["input_ids"], **low)[0]
    ours = detector.detect(Picture(pixels), TEXT, threshold=0.1)
    assert len(ours) == len(theirs["scores"]) > 0
    order = theirs["scores"].argsort(descending=True)
    boxes = theirs["boxes"][order].clamp(min=0)
    boxes = torch.minimum(boxes, torch.tensor([90.0, 50.0, 90.0, 50.0]))  # ours end at the border
    for one, score, box in zip(ours, theirs["scores"][order], boxes, strict=True):
        assert one.score == pytest.approx(float(score), abs=1e-4)
        assert list(vars(one.box).values()) == pytest.approx(box.tolist(), abs=1e-2)
        assert one.phrase in ("[UNK] red car", "red car", "cat", "dog", "")


def test_fewer_boxes_reach_a_higher_threshold(detector: Model) -> None:
    picture = Picture(made(50, 90))
    every = detector.detect(picture, TEXT, threshold=0.0)
    assert len(every) == detector.spec.decoder.queries
    scores = [one.score for one in every]
    assert scores == sorted(scores, reverse=True)
    limit = scores[3]
    assert len(detector.detect(picture, TEXT, threshold=limit)) == 3
    assert detector.detect(picture, TEXT, threshold=1.0) == []


@pytest.mark.parametrize(
    "phrases", ["A cat.  a Dog.", "a cat. a dog", ["a cat", "a dog."], "a cat.. a dog."]
)
def test_phrases_are_written_as_the_model_was_taught(phrases: str | list[str]) -> None:
    assert phrases_text(phrases) == "a cat. a dog."


@pytest.mark.parametrize("phrases", ["", " . ", [], [""]])
def test_no_words_are_refused(phrases: str | list[str], detector: Model) -> None:
    with pytest.raises(RequestError, match=r"a cat\. a dog\."):
        detector.detect(Picture(made(50, 90)), phrases)


def test_too_many_words_are_said_and_not_cut(detector: Model) -> None:
    picture = Picture(made(50, 90))
    detector.detect(picture, " ".join(["cat"] * 21))
    with pytest.raises(ContextLengthError, match="25 tokens, and the model reads 24"):
        detector.detect(picture, " ".join(["cat"] * 22))


def test_what_makes_no_sense_is_refused(detector: Model, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="from 0 to 1"):
        detector.detect(Picture(made(50, 90)), "cat", threshold=1.5)
    (tmp_path / "no.png").write_bytes(b"nothing")
    with pytest.raises(PictureError):
        detector.detect(tmp_path / "no.png", "cat")
    with pytest.raises(UnsupportedTaskError, match="detection"):
        detector.segment(Picture(made(50, 90)), [])
