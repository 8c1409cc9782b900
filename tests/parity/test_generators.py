"""Generators against a plain program of the papers, over our own table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.utils.flop_counter import FlopCounterMode

from fathom import library
from fathom.checkpoint.published import published_spec
from fathom.errors import ConfigError, RequestError, UnsupportedTaskError
from fathom.library import Model
from fathom.spec.generator import Generator
from fathom.spec.parts import parameters
from fathom.spec.work import Work
from parity import stylegan2_reference as reference
from parity.conftest import Measured
from parity.labelled import case_id
from parity.test_decoders import relative_error
from planning.profiled import allocated_peak, random_module

LABELS = list(reference.CASES)
# The authors' generator of faces. They count 30,370,060 numbers that are learned; noise and the
# average style lie beside them.
FACES: Mapping[str, Any] = {
    "model_type": "stylegan2",
    "z_dim": 512,
    "c_dim": 0,
    "w_dim": 512,
    "img_resolution": 1024,
    "img_channels": 3,
    "mapping_kwargs": {"num_layers": 8},
    "synthesis_kwargs": {
        "channel_base": 32768,
        "channel_max": 512,
        "num_fp16_res": 4,
        "conv_clamp": 256,
    },
}


@dataclass(frozen=True)
class Drawn:
    """One case: its configuration and weights, and ours over the same in float32."""

    stated: Mapping[str, Any]
    weights: reference.Weights
    folder: Path
    ours: Model

    @property
    def kind(self) -> int | None:
        return 1 if self.stated["c_dim"] else None

    def style(self, seed: int) -> reference.Numbers:
        """Return the reference's style of a seed."""
        latent = np.random.RandomState(seed).randn(self.stated["z_dim"])
        told = None if self.kind is None else np.eye(self.stated["c_dim"])[self.kind]
        return reference.mapped(self.stated, self.weights, latent, told)

    def picture(self, *styles: reference.Numbers) -> reference.Numbers:
        """Return the reference's picture; the last style is for all convolutions that remain."""
        count = self.ours.spec.styles
        filled = [*styles, *[styles[-1]] * (count - len(styles))]
        return reference.drawn(self.stated, self.weights, filled)


@pytest.fixture(scope="session")
def drawings(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Drawn]:
    """Return what opens a case, once per session."""

    @cache
    def opened(label: str) -> Drawn:
        stated = reference.config(label)
        weights = reference.weights(stated)
        folder = reference.save(stated, weights, tmp_path_factory.mktemp("generator") / "model")
        ours = library.open(str(folder), dtype="float32", device="cpu")
        return Drawn(stated, weights, folder, ours)

    return opened


@pytest.fixture(params=LABELS)
def drawing(request: pytest.FixtureRequest, drawings: Callable[[str], Drawn]) -> Drawn:
    return drawings(request.param)


@pytest.mark.parametrize("label", LABELS)
def test_pictures_of_seeds_equal_the_reference(
    label: str, drawings: Callable[[str], Drawn], measured: Measured
) -> None:
    drawing = drawings(label)
    styles = [drawing.style(seed) for seed in (5, 6)]
    given = torch.tensor(np.stack(styles), dtype=torch.float32)
    with torch.inference_mode():
        found = drawing.ours.module.drawn(given)  # each picture under its own style
    expected = torch.tensor(np.stack([drawing.picture(style) for style in styles]))
    error = relative_error(found, expected.float())
    assert measured(case_id("stylegan2", label), drawing.ours.spec, error) < 1e-4
    bytes_expected = (drawing.picture(styles[0]) * 127.5 + 128).clip(0, 255).astype(np.uint8)
    pixels = drawing.ours.imagine(seed=5, kind=drawing.kind).pixels
    away = np.abs(pixels.astype(int) - bytes_expected.transpose(1, 2, 0))  # one colour is grey
    assert away.max() <= 1


def test_truncation_draws_a_style_towards_the_average(drawing: Drawn) -> None:
    average = drawing.weights["mapping.w_avg"]
    expected = average + 0.7 * (drawing.style(3) - average)
    latent = torch.tensor(np.random.RandomState(3).randn(1, drawing.stated["z_dim"]))
    told = None if drawing.kind is None else torch.eye(drawing.stated["c_dim"])[[drawing.kind]]
    model = drawing.ours.module
    with torch.inference_mode():
        style = model.nearer(model.mapping(latent.float(), told), 0.7)
    assert relative_error(style[0], torch.tensor(expected).float()) < 1e-5
    usual = [drawing.ours.imagine(seed=s, truncation=0.0, kind=drawing.kind) for s in (1, 2)]
    assert np.array_equal(usual[0].pixels, usual[1].pixels)  # nothing of a seed is left


def test_styles_may_differ_by_depth(drawings: Callable[[str], Drawn]) -> None:
    drawing = drawings("skip")
    coarse, fine = drawing.style(1), drawing.style(2)
    both = np.stack([coarse, coarse, *[fine] * (drawing.ours.spec.styles - 2)])
    with torch.inference_mode():
        found = drawing.ours.module.drawn(torch.tensor(both, dtype=torch.float32)[None])
    expected = drawing.picture(coarse, coarse, fine)
    assert relative_error(found[0], torch.tensor(expected).float()) < 1e-4


def test_pictures_between_two_seeds_begin_and_end_there(drawing: Drawn) -> None:
    ours, kind = drawing.ours, drawing.kind
    frames = list(ours.interpolate(1, 2, frames=3, truncation=0.8, kind=kind))
    ends = [ours.imagine(seed=seed, truncation=0.8, kind=kind) for seed in (1, 2)]
    assert [frame.part for frame in frames] == [0.0, 0.5, 1.0]
    assert np.array_equal(frames[0].pixels, ends[0].pixels)
    assert np.array_equal(frames[2].pixels, ends[1].pixels)


def test_noise_may_be_drawn_anew_and_is_then_the_seeds(drawings: Callable[[str], Drawn]) -> None:
    ours = drawings("skip").ours
    kept, fresh, again = (ours.imagine(seed=1, fresh_noise=new) for new in (False, True, True))
    assert np.array_equal(fresh.pixels, again.pixels)
    assert not np.array_equal(kept.pixels, fresh.pixels)
    without = drawings("kinds").ours  # has no noise
    pixels = [without.imagine(kind=1, fresh_noise=new).pixels for new in (False, True)]
    assert np.array_equal(*pixels)


def test_what_we_save_holds_the_same_numbers(drawing: Drawn, tmp_path: Path) -> None:
    saved = tmp_path / "saved"
    drawing.ours.save(saved)
    before, after = (load_file(each / "model.safetensors") for each in (drawing.folder, saved))
    filters = {name for name in before if name.endswith("resample_filter")}
    assert set(after) == set(before) - filters
    assert all(torch.equal(tensor, before[name]) for name, tensor in after.items())
    again = library.open(str(saved), dtype="float32", device="cpu")
    ours = drawing.ours.imagine(kind=drawing.kind)
    assert np.array_equal(again.imagine(kind=drawing.kind).pixels, ours.pixels)


def test_modules_hold_just_the_parameters_that_the_spec_states(drawing: Drawn) -> None:
    held = {name: tuple(p.shape) for name, p in drawing.ours.module.named_parameters()}
    assert held == {p.name: p.shape for p in parameters(drawing.ours.spec)}


def test_bfloat16_stays_near(drawing: Drawn) -> None:
    half = library.open(str(drawing.folder), dtype="bfloat16", device="cpu")
    style = torch.tensor(drawing.style(1), dtype=torch.float32)[None]
    with torch.inference_mode():
        rounded, exact = (each.module.drawn(style) for each in (half, drawing.ours))
    assert relative_error(rounded.float(), exact) < 0.1


def test_the_published_generator_is_recognised() -> None:
    spec = published_spec(FACES)
    assert isinstance(spec, Generator)
    kept = (".noise", "mapping.average")
    learned = [p for p in parameters(spec) if not p.name.endswith(kept)]
    assert sum(p.elements for p in learned) == 30_370_060
    assert (spec.side, spec.styles) == (1024, 18)
    assert spec.about.model_class == "GAN" and spec.about.tasks == ("imagine", "interpolate")


def test_stages_count_what_pytorch_counts(drawing: Drawn) -> None:
    spec, module = drawing.ours.spec, drawing.ours.module
    style = torch.zeros(1, drawing.stated["w_dim"])
    with torch.inference_mode(), FlopCounterMode(display=False) as counted:
        module.drawn(style)
    mapping, drawn = spec.stages(Work(frames=5))
    assert mapping.passes == drawn.passes == 5
    assert drawn.operations == pytest.approx(counted.get_total_flops(), 0.02)


@pytest.mark.parametrize("kind", ["skip", "resnet"])
def test_what_is_held_at_most_is_foreseen(kind: str) -> None:
    drawing = {"channel_base": 8192, "channel_max": 128, "architecture": kind}
    spec = published_spec({**FACES, "img_resolution": 256, "synthesis_kwargs": drawing})
    assert isinstance(spec, Generator)
    module, style = random_module(spec, torch.float32), torch.zeros(1, 512)
    with torch.inference_mode():
        module.drawn(style)
        held = allocated_peak(lambda: module.drawn(style))
    drawn = spec.stages(spec.usual)[1]
    assert 4 * (drawn.live + drawn.kept) == pytest.approx(held, 0.1)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"img_resolution": 100}, "no power of two"),
        ({"img_resolution": 2}, "img_resolution"),
        ({"w_dim": 0}, "w_dim"),
        ({"mapping_kwargs": {"activation": "swish"}}, "lrelu"),
        ({"synthesis_kwargs": {"architecture": "dense"}}, "skip, resnet, orig"),
        ({"synthesis_kwargs": {"resample_filter": [1, 2, 1]}}, "even number"),
        ({"synthesis_kwargs": {"resample_filter": [1, -1]}}, "not zero"),
        ({"synthesis_kwargs": {"channel_base": 512}}, "no channels"),
    ],
    ids=str,
)
def test_a_generator_that_contradicts_itself_is_refused(
    changed: Mapping[str, Any], said: str
) -> None:
    assert published_spec(FACES)
    with pytest.raises(ConfigError, match=said):
        published_spec({**FACES, **changed})


def test_what_makes_no_sense_is_refused(drawings: Callable[[str], Drawn]) -> None:
    ours = drawings("skip").ours
    for wish in ({"seed": -1}, {"seed": 2**32}, {"truncation": float("nan")}, {"kind": 0}):
        with pytest.raises(RequestError):
            ours.imagine(**wish)
    for frames in (1, 100_000):
        with pytest.raises(RequestError, match="frames"):
            ours.interpolate(1, 2, frames=frames)
    with pytest.raises(RequestError, match="from 0 to 3"):
        drawings("kinds").ours.imagine()
    with pytest.raises(UnsupportedTaskError, match="GAN"):
        ours.segment(None, [])
