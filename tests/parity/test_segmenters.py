"""Every segmenter against an independent implementation, over our own table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from fathom import library
from fathom.checkpoint.published import published_spec
from fathom.library import Model
from fathom.models.segmenter import ABSENT, FIRST_CORNER, LAST_CORNER, Drawn
from fathom.ops.choose import only
from fathom.spec.parts import parameters
from fathom.spec.segmenter import Segmenter
from fathom.spec.work import Work
from parity.conftest import Measured, cases_of
from parity.segmenter_case import SegmenterCase, SegmenterReference, build_segmenter
from parity.test_decoders import relative_error
from planning.profiled import allocated_peak, random_module

POINTS = torch.tensor([[[10.0, 20.0], [40.0, 7.5]], [[63.0, 0.0], [30.0, 31.0]]])  # two prompts
KINDS = torch.tensor([[1, 0], [1, 1]])
BOXES = torch.tensor([[3.0, 4.0, 50.0, 60.0], [0.0, 0.0, 20.0, 64.0]])
NONE = torch.zeros(2, 1, 2), torch.full((2, 1), ABSENT)
CORNERS = BOXES.view(2, 2, 2), torch.tensor([[FIRST_CORNER, LAST_CORNER]] * 2)
THEIRS = {
    "points": {"input_points": POINTS[None], "input_labels": KINDS[None]},
    "boxes": {"input_boxes": BOXES[None]},
    "both": {"input_points": POINTS[None], "input_labels": KINDS[None], "input_boxes": BOXES[None]},
}
OURS = {
    "points": (torch.cat((POINTS, NONE[0]), 1), torch.cat((KINDS, NONE[1]), 1)),
    "boxes": CORNERS,
    "both": (torch.cat((POINTS, CORNERS[0]), 1), torch.cat((KINDS, CORNERS[1]), 1)),
}


@dataclass(frozen=True)
class SegmenterPair:
    """Ours and the reference, over one checkpoint in float32, and a picture to show both."""

    case: SegmenterCase
    reference: SegmenterReference
    ours: Model
    pixels: Tensor

    def drawn(self, prompt: str, masks: Tensor | None = None) -> Drawn:
        with torch.inference_mode():
            return self.ours.module(self.pixels, *OURS[prompt], masks)


@pytest.fixture(scope="session")
def segmenter_pairs(
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[SegmenterCase], SegmenterPair]:
    """Return what opens a case, once per session."""

    @cache
    def opened(case_id: str) -> SegmenterPair:
        case = next(case for case in cases_of("cases_segmenters") if case.id == case_id)
        reference = build_segmenter(case, tmp_path_factory.mktemp(case.id))
        ours = library.open(str(reference.folder), dtype="float32", device="cpu")
        pixels = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(7))
        return SegmenterPair(case, reference, ours, pixels)

    return lambda case: opened(case.id)


@pytest.fixture
def segmenter_pair(
    segmenter_case: SegmenterCase, segmenter_pairs: Callable[[SegmenterCase], SegmenterPair]
) -> SegmenterPair:
    return segmenter_pairs(segmenter_case)


def test_masks_of_prompts_equal_the_reference(
    segmenter_pair: SegmenterPair, measured: Measured
) -> None:
    pair, errors = segmenter_pair, []
    for prompt, theirs in THEIRS.items():
        drawn = pair.drawn(prompt)
        for several, chosen in ((True, slice(1, None)), (False, slice(0, 1))):
            scores, quality = pair.reference.answers(pair.pixels, several=several, **theirs)
            errors.append(relative_error(drawn.scores[:, chosen], scores))
            errors.append(relative_error(drawn.quality[:, chosen], quality))
    assert measured(pair.case.id, pair.ours.spec, max(errors)) < pair.case.tolerance


def test_a_mask_of_before_is_part_of_a_prompt(segmenter_pair: SegmenterPair) -> None:
    pair = segmenter_pair
    masks = torch.randn(1, 1, 32, 32, generator=torch.Generator().manual_seed(3))
    theirs = THEIRS["points"] | {"input_masks": masks}
    scores, _ = pair.reference.answers(pair.pixels, several=True, **theirs)
    error = relative_error(pair.drawn("points", masks).scores[:, 1:], scores)
    assert error < pair.case.tolerance
    assert relative_error(pair.drawn("points").scores[:, 1:], scores) > pair.case.tolerance


def test_what_is_seen_is_seen_once(segmenter_pair: SegmenterPair) -> None:
    pair = segmenter_pair
    with torch.inference_mode():
        seen = pair.ours.module.seen(pair.pixels)
        again = pair.ours.module.answered(seen, *OURS["boxes"])
        theirs = pair.reference.model.get_image_embeddings(pair.pixels)
    assert relative_error(seen, theirs) < pair.case.tolerance
    assert torch.equal(again.scores, pair.drawn("boxes").scores)


def test_modules_hold_just_the_parameters_that_the_spec_states(
    segmenter_pair: SegmenterPair,
) -> None:
    ours = segmenter_pair.ours
    held = {name: tuple(p.shape) for name, p in ours.plain_module().named_parameters()}
    assert held == {p.name: p.shape for p in parameters(ours.spec)}


def test_bfloat16_stays_near(segmenter_pair: SegmenterPair) -> None:
    pair = segmenter_pair
    half = library.open(str(pair.reference.folder), dtype="bfloat16", device="cpu")
    with torch.inference_mode():
        drawn = half.module(pair.pixels, *OURS["both"])
    assert relative_error(drawn.scores.float(), pair.drawn("both").scores) < 0.15


def test_what_we_save_the_reference_opens(segmenter_pair: SegmenterPair, tmp_path: Path) -> None:
    pair, saved = segmenter_pair, tmp_path / "saved"
    pair.ours.save(saved)
    before = load_file(pair.reference.folder / "model.safetensors")
    after = load_file(saved / "model.safetensors")
    assert set(after) == set(before)
    assert all(torch.equal(tensor, before[name]) for name, tensor in after.items())
    again = SegmenterReference(saved, type(pair.reference.model).from_pretrained(saved).eval())
    for one, other in zip(
        again.answers(pair.pixels, several=True, **THEIRS["both"]),
        pair.reference.answers(pair.pixels, several=True, **THEIRS["both"]),
        strict=True,
    ):
        assert torch.equal(one, other)


def test_stages_count_what_pytorch_counts(segmenter_pair: SegmenterPair) -> None:
    pair = segmenter_pair
    looking, answering = pair.ours.spec.stages(Work(steps=5))
    assert answering.passes == 5
    plain = sdpa_kernel(SDPBackend.MATH)  # the counter does not know the processor's fused one
    one = tuple(each[:1, 1:] for each in OURS["points"])  # a point, and one that is absent
    with torch.inference_mode(), plain, only("fused"):
        with FlopCounterMode(display=False) as counted:
            seen = pair.ours.plain_module().seen(pair.pixels)
        assert looking.operations == pytest.approx(counted.get_total_flops(), 0.02)
        with FlopCounterMode(display=False) as counted:
            pair.ours.module.answered(seen, *one)
        assert answering.operations == pytest.approx(counted.get_total_flops(), 0.02)


MIDDLING = {
    "hidden_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "image_size": 512,
    "global_attn_indexes": [1],
}


def test_what_is_held_at_most_is_foreseen() -> None:
    prompt = {"image_size": 512}
    spec = published_spec(
        {"model_type": "sam", "vision_config": MIDDLING, "prompt_encoder_config": prompt}
    )
    assert isinstance(spec, Segmenter)
    module = random_module(spec, torch.float32)
    pixels = torch.randn(1, 3, 512, 512)
    one = tuple(each[:1, 1:] for each in OURS["points"])
    with torch.inference_mode():
        seen = module.seen(pixels)
        module.answered(seen, *one)
        looked = allocated_peak(lambda: module.seen(pixels))
        answered = allocated_peak(lambda: module.answered(seen, *one))
    looking, answering = spec.stages(spec.usual)
    assert 4 * looking.live - pixels.nbytes == pytest.approx(looked, 0.1)
    assert 4 * answering.live == pytest.approx(answered, 0.1)
