"""Segmenting from file to masks, beside the reference's own way from file to masks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from PIL import Image

from fathom import library
from fathom.errors import FathomError, PictureError, RequestError, UnsupportedTaskError
from fathom.library import Model
from fathom.tasks.segmenting import Box, Everything, Mask, Point, Prompt, _suppressed
from library.pictures import make
from photographs import made

PICTURE = made(90, 123)
PROMPTS = (
    Prompt((Point(30, 40),)),
    Prompt((Point(30, 40), Point(100, 80, inside=False))),
    Prompt(box=Box(10, 20, 90, 70)),
    Prompt((Point(50, 50),), Box(0, 0, 123, 90)),
    Prompt((Point(122.5, 0),)),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make("sam", tmp_path_factory.mktemp("sam"))


@pytest.fixture(scope="module")
def model(folder: Path) -> Model:
    return library.open(str(folder), dtype="float32", device="cpu")


def reference(folder: Path, prompt: Prompt, several: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return masks (masks, height, width) and their qualities by the reference's processor."""
    how = transformers.SamImageProcessorPil.from_pretrained(folder)
    processor = transformers.SamProcessor(how)
    asked: dict[str, object] = {}
    if prompt.points:
        asked["input_points"] = [[[[point.x, point.y] for point in prompt.points]]]
        asked["input_labels"] = [[[int(point.inside) for point in prompt.points]]]
    if prompt.box is not None:
        box = prompt.box
        asked["input_boxes"] = [[[box.left, box.top, box.right, box.bottom]]]
    inputs = processor(Image.fromarray(PICTURE), return_tensors="pt", **asked)
    model = transformers.SamModel.from_pretrained(folder).eval()
    given = {
        key: value.float() if value.is_floating_point() else value for key, value in inputs.items()
    }
    sizes = [given.pop(key) for key in ("original_sizes", "reshaped_input_sizes")]
    with torch.inference_mode():
        found = model(**given, multimask_output=several)
    masks = how.post_process_masks(found.pred_masks, *sizes)[0]
    return masks[0].numpy(), found.iou_scores[0, 0].numpy()


@pytest.mark.parametrize("number", range(len(PROMPTS)))
def test_masks_are_the_references(number: int, folder: Path, model: Model) -> None:
    prompt = PROMPTS[number]
    several = prompt.doubtful
    masks, qualities = reference(folder, prompt, several)
    found = model.segment(PICTURE, [prompt])[0]
    assert len(found) == len(masks) == (3 if several else 1)
    for mask, place in zip(found, np.argsort(-qualities), strict=True):
        assert mask.quality == pytest.approx(float(qualities[place]), abs=1e-4)
        assert (mask.inside != masks[place]).mean() < 1e-3  # where a score is nearly zero


def test_prompts_are_answered_together_as_one_by_one(model: Model) -> None:
    together = model.segment(PICTURE, PROMPTS, several=True)
    for number, (prompt, masks) in enumerate(zip(PROMPTS, together, strict=True)):
        alone = model.segment(PICTURE, [prompt], several=True)[0]
        assert len(masks) == 3 and [mask.prompt for mask in masks] == [number] * 3
        for one, other in zip(masks, alone, strict=True):
            assert one.quality == pytest.approx(other.quality, abs=1e-4)
            assert (one.inside != other.inside).mean() < 1e-3


def test_a_picture_is_looked_at_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    model = library.open(str(folder), dtype="float32", device="cpu")
    looked = []
    seen = model.module.seen
    monkeypatch.setattr(model.module, "seen", lambda pixels: looked.append(1) or seen(pixels))
    Image.fromarray(PICTURE).save(tmp_path / "a.png")
    for source in (PICTURE, PICTURE.copy(), tmp_path / "a.png", (tmp_path / "a.png").read_bytes()):
        model.segment(source, PROMPTS[:1])
    model.everything(PICTURE, Everything(side=2))
    assert len(looked) == 1
    model.segment(np.ascontiguousarray(PICTURE[::-1]), PROMPTS[:1])
    assert len(looked) == 2


def test_facts_about_a_mask_are_its_own(model: Model) -> None:
    for mask in model.segment(PICTURE, PROMPTS[:1])[0]:
        rows, columns = np.nonzero(mask.inside)
        assert mask.area == len(rows) and 0 <= mask.stability <= 1
        if len(rows):
            assert mask.box == (columns.min(), rows.min(), columns.max(), rows.max())


def test_everything_is_a_grid_of_points_filtered(folder: Path) -> None:
    model = library.open(str(folder), dtype="float32", device="cpu")
    model.module.decoder.quality.maps[-1].bias += 5  # of random weights little is expected,
    for draw in model.module.decoder.drawing:  # and their masks hardly leave zero
        draw.maps[-1].weight *= 30
    height, width = PICTURE.shape[:2]
    line = [(n + 0.5) / 3 for n in range(3)]
    grid = [Prompt((Point(x * width, y * height),)) for y in line for x in line]
    asked = [mask for masks in model.segment(PICTURE, grid, several=True) for mask in masks]
    every = model.everything(PICTURE, Everything(side=3, quality=0, stability=0, overlap=1))
    likely = [m for m in asked if m.quality > 0 and m.stability > 0]
    assert [m.quality for m in every] == pytest.approx(
        sorted((m.quality for m in likely), reverse=True), abs=1e-4
    )
    middle = float(np.median([mask.stability for mask in every]))
    stable = model.everything(PICTURE, Everything(side=3, quality=0, stability=middle, overlap=1))
    assert len(stable) == sum(mask.stability > middle for mask in every) < len(every)


def test_of_two_that_overlap_the_better_stays() -> None:
    """By the definition: a box is left out where a better one that stays covers it nearly."""

    def mask(quality: float, *box: int) -> Mask:
        return Mask(np.zeros((1, 1), dtype=bool), quality, 1.0, box)

    best, near = mask(0.9, 0, 0, 10, 10), mask(0.8, 1, 0, 10, 10)
    half, far = mask(0.7, 5, 0, 15, 10), mask(0.6, 40, 40, 50, 50)
    assert _suppressed([far, near, half, best], 0.7) == [best, half, far]
    assert _suppressed([far, near, half, best], 0.95) == [best, near, half, far]
    assert _suppressed([], 0.5) == []


@pytest.mark.parametrize(
    ("ask", "error", "said"),
    [
        (lambda m: m.segment(PICTURE, []), RequestError, "prompts"),
        (lambda m: m.segment(PICTURE, [Prompt()]), RequestError, "a point or a box"),
        (lambda m: m.segment(PICTURE, [Prompt((Point(123, 3),))]), PictureError, "123 × 90"),
        (lambda m: m.segment(PICTURE, [Prompt((Point(3, -1),))]), PictureError, "outside"),
        (
            lambda m: m.segment(PICTURE, [Prompt((Point(float("nan"), 3),))]),
            PictureError,
            "outside",
        ),
        (lambda m: m.segment(PICTURE, [Prompt(box=Box(0, 0, 124, 9))]), PictureError, "123 × 90"),
        (lambda m: m.segment(PICTURE, [Prompt(box=Box(9, 0, 3, 9))]), PictureError, "does not lie"),
        (lambda m: m.everything(PICTURE, Everything(side=0)), RequestError, "points"),
        (lambda m: m.everything(PICTURE, Everything(quality=2)), RequestError, "limits"),
        (lambda m: m.classify(PICTURE), UnsupportedTaskError, "segment"),
    ],
)
def test_what_makes_no_sense_is_refused(
    ask: Callable[[Model], object], error: type[FathomError], said: str, model: Model
) -> None:
    with pytest.raises(error, match=said):
        ask(model)
