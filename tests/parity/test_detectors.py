"""Every detector against an independent implementation, over our own table."""

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
from fathom.spec.detector import Detector
from fathom.spec.parts import parameters
from fathom.spec.work import Work
from parity.conftest import Measured, cases_of
from parity.detector_case import LARGEST, DetectorCase, DetectorReference, build_detector
from parity.test_decoders import relative_error
from planning.profiled import allocated_peak, random_module

TOKENS = torch.tensor([[101, 7, 8, 9, 1012, 11, 1029, 12, 13, 1012, 102]])  # three phrases


@dataclass(frozen=True)
class DetectorPair:
    """Ours and the reference, over one checkpoint in float32, and a picture to show both."""

    case: DetectorCase
    reference: DetectorReference
    ours: Model
    pixels: Tensor

    def found(self, model: Model | None = None) -> dict[str, Tensor]:
        """Return what the reference's `found` returns, of ours."""
        module = (model or self.ours).module
        with torch.inference_mode():
            seen, read, _ = module.understood(self.pixels, TOKENS)
            out = module(self.pixels, TOKENS)
        return {"seen": seen, "read": read, **vars(out)}


@pytest.fixture(scope="session")
def detector_pairs(
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[DetectorCase], DetectorPair]:
    """Return what opens a case, once per session."""

    @cache
    def opened(case_id: str) -> DetectorPair:
        case = next(case for case in cases_of("cases_detectors") if case.id == case_id)
        reference = build_detector(case, tmp_path_factory.mktemp("detector"))
        ours = library.open(str(reference.folder), dtype="float32", device="cpu")
        pixels = torch.randn(1, 3, *LARGEST, generator=torch.Generator().manual_seed(7))
        return DetectorPair(case, reference, ours, pixels)

    return lambda case: opened(case.id)


@pytest.fixture
def detector_pair(
    detector_case: DetectorCase, detector_pairs: Callable[[DetectorCase], DetectorPair]
) -> DetectorPair:
    return detector_pairs(detector_case)


def test_boxes_and_all_before_them_equal_the_reference(
    detector_pair: DetectorPair, measured: Measured
) -> None:
    pair = detector_pair
    ours, theirs = pair.found(), pair.reference.found(pair.pixels, TOKENS)
    assert set(theirs) == set(ours)
    errors = [relative_error(ours[name], tensor) for name, tensor in theirs.items()]
    assert measured(pair.case.id, pair.ours.spec, max(errors)) < pair.case.tolerance


def test_pictures_side_by_side_are_as_alone(
    detector_pairs: Callable[[DetectorCase], DetectorPair],
) -> None:
    pair = detector_pairs(cases_of("cases_detectors")[0])
    other = torch.randn(pair.pixels.shape, generator=torch.Generator().manual_seed(8))
    with torch.inference_mode():
        both = pair.ours.module(torch.cat((other, pair.pixels)), TOKENS.expand(2, -1))
    assert relative_error(both.boxes[1:], pair.found()["boxes"]) < 1e-5


def test_modules_hold_just_the_parameters_that_the_spec_states(detector_pair: DetectorPair) -> None:
    ours = detector_pair.ours
    held = {name: tuple(p.shape) for name, p in ours.plain_module().named_parameters()}
    assert held == {p.name: p.shape for p in parameters(ours.spec)}


def test_bfloat16_sees_and_reads_nearly_the_same(detector_pair: DetectorPair) -> None:
    pair = detector_pair
    half = library.open(str(pair.reference.folder), dtype="bfloat16", device="cpu")
    rounded, exact = pair.found(half), pair.found()
    for name in ("seen", "read"):  # which queries are best differs by a rounding
        assert relative_error(rounded[name].float(), exact[name]) < 0.15
    assert bool(rounded["boxes"].isfinite().all())


def test_what_we_save_the_reference_opens(detector_pair: DetectorPair, tmp_path: Path) -> None:
    pair, saved = detector_pair, tmp_path / "saved"
    pair.ours.save(saved)
    before = load_file(pair.reference.folder / "model.safetensors")
    after = load_file(saved / "model.safetensors")
    assert set(before) - set(after) == {n for n in before if ".swin.layernorm." in n}  # unread
    assert all(torch.equal(tensor, before[name]) for name, tensor in after.items())
    again = DetectorReference(saved, type(pair.reference.model).from_pretrained(saved).eval())
    theirs = pair.reference.found(pair.pixels, TOKENS)
    for name, tensor in again.found(pair.pixels, TOKENS).items():
        assert torch.equal(tensor, theirs[name])


def test_stages_count_what_pytorch_counts(detector_pair: DetectorPair) -> None:
    pair = detector_pair
    height, width = LARGEST
    work = Work(height=height, width=width, tokens=TOKENS.shape[1])
    stages = pair.ours.spec.stages(work)
    assert [stage.name for stage in stages] == ["vision", "text", "enhancer", "decoder"]
    plain = sdpa_kernel(SDPBackend.MATH)  # the counter does not know the processor's fused one
    with torch.inference_mode(), plain, FlopCounterMode(display=False) as counted:
        pair.ours.plain_module()(pair.pixels, TOKENS)
    total = sum(stage.operations for stage in stages)
    assert total == pytest.approx(counted.get_total_flops(), 0.02)


MIDDLING = {
    "model_type": "grounding-dino",
    "backbone_config": {"embed_dim": 48, "depths": [2, 2, 2, 2], "num_heads": [3, 6, 12, 24]},
    "text_config": {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4},
    "encoder_layers": 2,
    "decoder_layers": 2,
    "d_model": 128,
    "num_queries": 300,
}


@pytest.mark.slow
def test_what_is_held_at_most_is_foreseen() -> None:
    spec = published_spec(MIDDLING)
    assert isinstance(spec, Detector)
    module = random_module(spec, torch.float32)
    pixels = torch.randn(1, 3, 480, 640)
    work = Work(height=480, width=640, tokens=TOKENS.shape[1])
    stages = {stage.name: stage for stage in spec.stages(work)}
    with torch.inference_mode():
        module(pixels, TOKENS)
        seeing = allocated_peak(lambda: module.vision(pixels))
        whole = allocated_peak(lambda: module(pixels, TOKENS))
    assert 4 * stages["vision"].live - pixels.nbytes == pytest.approx(seeing, 0.1)
    most = max(stage.live for stage in stages.values())
    kept = sum(stage.kept for stage in stages.values())
    assert 4 * (most + kept) == pytest.approx(whole, 0.1)
