"""Every tower that sees against an independent implementation, over our own table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
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
from fathom.spec.parts import parameters
from fathom.spec.vision import PictureEncoder, PictureText
from fathom.spec.work import Work
from parity.conftest import Measured, cases_of
from parity.test_decoders import relative_error
from parity.vision_case import VisionCase, VisionReference, build_vision
from planning.profiled import allocated_peak, random_module


@dataclass(frozen=True)
class VisionPair:
    """Ours and the reference, over one checkpoint in float32, and what to show both."""

    case: VisionCase
    reference: VisionReference
    ours: Model
    given: tuple[Tensor, ...]  # pictures, and texts where it compares

    def theirs(self) -> dict[str, Tensor]:
        """Return what the reference makes of it."""
        takes = "dinov2" not in self.case.model_type  # which always stretches
        stretched = self.case.label == "stretched" and takes
        return self.reference.outputs(*self.given, stretched=stretched)

    def found(self, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
        """Return what ours makes of it, by the same names."""
        with torch.inference_mode():
            seen = self.ours.module(self.given[0].to(dtype), *self.given[1:])
        if self.case.compares:
            return {"scores": seen}
        return {"states": seen.states, "vectors": seen.vectors, "scores": seen.scores}


@pytest.fixture(scope="session")
def vision_pairs(
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[VisionCase], VisionPair]:
    """Return what opens a case, once per session."""

    @cache
    def opened(case_id: str) -> VisionPair:
        case = next(case for case in cases_of("cases_vision") if case.id == case_id)
        reference = build_vision(case, tmp_path_factory.mktemp(case.id))
        ours = library.open(str(reference.folder), dtype="float32", device="cpu")
        generator = torch.Generator().manual_seed(7)
        channels = case.config.get("num_channels", 3)
        pixels = torch.randn((2, channels, *case.picture), generator=generator)
        texts = torch.randint(0, 97, (3, 12), generator=generator)
        texts[:, -1] = 98
        return VisionPair(case, reference, ours, (pixels, texts) if case.compares else (pixels,))

    return lambda case: opened(case.id)


@pytest.fixture
def vision_pair(
    vision_case: VisionCase, vision_pairs: Callable[[VisionCase], VisionPair]
) -> VisionPair:
    return vision_pairs(vision_case)


def test_cases_are_told_apart() -> None:
    assert max(Counter(case.id for case in cases_of("cases_vision")).values()) == 1


def test_what_is_seen_equal_the_reference(vision_pair: VisionPair, measured: Measured) -> None:
    pair = vision_pair
    ours, theirs = pair.found(), pair.theirs()
    assert theirs
    errors = [relative_error(ours[name], tensor) for name, tensor in theirs.items()]
    assert measured(pair.case.id, pair.ours.spec, max(errors)) < pair.case.tolerance


def test_modules_hold_just_the_parameters_that_the_spec_states(vision_pair: VisionPair) -> None:
    ours = vision_pair.ours
    held = {name: tuple(p.shape) for name, p in ours.plain_module().named_parameters()}
    assert held == {p.name: p.shape for p in parameters(ours.spec)}


def test_bfloat16_stays_within_its_own_error(vision_pair: VisionPair) -> None:
    pair = vision_pair
    half = library.open(str(pair.reference.folder), dtype="bfloat16", device="cpu")
    exact, rounded = pair.found(), replace(pair, ours=half).found()
    for name, tensor in exact.items():
        if tensor is not None:
            assert relative_error(rounded[name].float(), tensor) < 0.1


def test_what_we_save_the_reference_opens(vision_pair: VisionPair, tmp_path: Path) -> None:
    pair, saved = vision_pair, tmp_path / "saved"
    pair.ours.save(saved)
    before = load_file(pair.reference.folder / "model.safetensors")
    after = load_file(saved / "model.safetensors")
    missing = set(before) - set(after)
    assert set(after) <= set(before)
    assert all(any(part in name for part in pair.case.lost) for name in missing), missing
    assert all(torch.equal(tensor, before[name]) for name, tensor in after.items())
    if not missing:
        again = replace(pair.reference, model=pair.reference.opened(saved))
        theirs = replace(pair, reference=again).theirs()
        assert all(torch.equal(tensor, theirs[name]) for name, tensor in pair.theirs().items())


def test_stages_count_what_pytorch_counts(vision_pair: VisionPair) -> None:
    pair = vision_pair
    height, width = pair.case.picture
    stages = pair.ours.spec.stages(Work(batch=2, height=height, width=width, tokens=12))
    plain = sdpa_kernel(SDPBackend.MATH)  # the counter does not know the processor's fused one
    given = pair.given[:1] + tuple(texts[:2] for texts in pair.given[1:])
    with torch.inference_mode(), plain, FlopCounterMode(display=False) as counted:
        pair.ours.plain_module()(*given)
    assert sum(one.operations for one in stages) == pytest.approx(counted.get_total_flops(), 0.02)


MIDDLING = {"hidden_size": 192, "intermediate_size": 768, "num_hidden_layers": 2}
MIDDLING |= {"num_attention_heads": 3, "image_size": 160, "patch_size": 8}
KINDS = {
    "vit": MIDDLING,
    "dinov2": {**MIDDLING, "use_swiglu_ffn": True},
    "siglip_vision_model": MIDDLING,
    "clip_vision_model": {**MIDDLING, "image_size": 224, "patch_size": 16},
}


@pytest.mark.parametrize("model_type", KINDS)
def test_what_is_held_at_most_is_foreseen(model_type: str) -> None:
    spec = published_spec({"model_type": model_type, **KINDS[model_type]})
    assert isinstance(spec, PictureEncoder)
    module = random_module(spec, torch.float32)
    side = KINDS[model_type]["image_size"]
    pixels = torch.randn(2, 3, side, side)

    def work() -> object:
        with torch.inference_mode():
            return module(pixels)

    work()
    held = allocated_peak(work)
    (stage,) = spec.stages(Work(batch=2, height=side, width=side))
    assert 4 * stage.live - pixels.nbytes == pytest.approx(held, 0.1)


def test_a_text_is_read_up_to_its_end(vision_pairs: Callable[[VisionCase], VisionPair]) -> None:
    """Where a token sees only what is before it, what follows the end changes nothing."""
    case = next(one for one in cases_of("cases_vision") if one.id == "clip-CLIPModel-compares")
    pair = vision_pairs(case)
    assert isinstance(pair.ours.spec, PictureText)
    texts = pair.given[1][:, :7]
    padded = torch.cat((texts, torch.zeros(3, 4, dtype=torch.long)), dim=1)
    with torch.inference_mode():
        alone = pair.ours.module.text(texts)
        among = pair.ours.module.text(padded, torch.full((3,), 6))
    assert relative_error(among, alone) < 1e-5


def test_a_tower_is_left_at_any_layer(vision_pairs: Callable[[VisionCase], VisionPair]) -> None:
    """Models that read a tower before its last layer get the reference's hidden states."""
    case = next(one for one in cases_of("cases_vision") if one.model_type == "clip_vision_model")
    pair = vision_pairs(case)
    with torch.inference_mode():
        theirs = pair.reference.model(pair.given[0], output_hidden_states=True).hidden_states
        for layers, states in enumerate(theirs):
            ours = pair.ours.module.sight.tower.depths(pair.given[0], [layers])[0]
            assert relative_error(ours, states) < 1e-4
