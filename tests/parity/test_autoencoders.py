"""Autoencoders against diffusers: latents, pictures, tiles, files, and what a pass costs."""

from __future__ import annotations

import json
import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch.utils.flop_counter import FlopCounterMode

from fathom import library
from fathom.checkpoint.published import published_spec
from fathom.errors import ConfigError
from fathom.ops.choose import only
from fathom.spec.parts import count
from fathom.spec.work import Work
from fathom.tasks.autoencode import to_pixels, to_planes
from parity.cases_autoencoders import CASES
from parity.conftest import Measured
from parity.labelled import SPLIT, case_id
from parity.test_decoders import relative_error

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import diffusers

SIZE = 64


@dataclass(frozen=True)
class Pair:
    """A checkpoint opened by both."""

    reference: Any
    ours: Any
    folder: Path
    case: str  # as `measured` is told


@pytest.fixture(
    scope="module", params=[(kind, label) for kind, cases in CASES.items() for label in cases]
)
def pair(request, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    kind, label = request.param
    torch.manual_seed(0)
    reference = getattr(diffusers, kind)(**CASES[kind][label]).eval()
    folder = tmp_path_factory.mktemp("autoencoder")
    reference.save_pretrained(folder)
    ours = library.open(str(folder), dtype="float32", device="cpu")
    return Pair(reference, ours, folder, case_id(kind, label))


def pictures(pair: Pair, size: int = SIZE) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    shape = (2, pair.ours.spec.channels, size, size + 16)
    return torch.rand(shape, generator=generator) * 2 - 1


def latents(pair: Pair, planes: torch.Tensor, **options: Any) -> torch.Tensor:
    found = pair.reference.encode(planes)
    if hasattr(found, "latents"):
        return found.latents
    return found.latent_dist.sample(**options) if options else found.latent_dist.mode()


def assert_close(ours: torch.Tensor, theirs: torch.Tensor) -> None:
    assert ours.shape == theirs.shape
    assert (ours - theirs).abs().max() <= 1e-4 * theirs.abs().max()


@torch.inference_mode()
def test_latents_and_pictures_equal_the_reference(pair: Pair, measured: Measured) -> None:
    planes, module = pictures(pair), pair.ours.module
    found = module.encode(planes)
    errors = [relative_error(found, latents(pair, planes))]
    errors.append(relative_error(module.decode(found), pair.reference.decode(found).sample))
    if pair.ours.spec.variational:
        seeds = [torch.Generator().manual_seed(3) for _ in range(2)]
        sampled = latents(pair, planes, generator=seeds[0])
        errors.append(relative_error(module.encode(planes, seeds[1]), sampled))
        assert (sampled - found).abs().max() > 0.01
    assert measured(pair.case, pair.ours.spec, max(errors)) < 1e-4


@torch.inference_mode()
def test_halves_in_two_files_equal_the_reference(tmp_path: Path, measured: Measured) -> None:
    torch.manual_seed(0)
    reference = diffusers.AutoencoderTiny().eval()  # of the author's own sizes
    names = re.compile(r"(encoder|decoder)\.layers\.(\d+)\.(.*)")
    halves: dict[str, dict[str, torch.Tensor]] = {"encoder": {}, "decoder": {}}
    for name, tensor in reference.state_dict().items():
        half, place, rest = names.fullmatch(name).groups()
        place = int(place) + (half == "decoder")  # which bounds latents first
        halves[half][f"{place}.{rest}"] = tensor
    for half, tensors in halves.items():
        save_file(tensors, tmp_path / f"taesd_{half}.safetensors")
    ours = library.open(str(tmp_path), dtype="float32", device="cpu")
    pair = Pair(reference, ours, tmp_path, case_id("taesd", SPLIT))
    planes = pictures(pair)
    found = ours.module.encode(planes)
    encoded = relative_error(found, latents(pair, planes))
    decoded = relative_error(ours.module.decode(found), reference.decode(found).sample)
    assert measured(pair.case, ours.spec, max(encoded, decoded)) < 1e-4


@torch.inference_mode()
def test_a_denoisers_latents_are_scaled_as_the_configuration_says(pair: Pair) -> None:
    config, module = pair.reference.config, pair.ours.module
    found = torch.randn(1, pair.ours.spec.latents, 4, 4)
    mean, deviation = config.get("latents_mean"), config.get("latents_std")
    if mean is None:
        expected = (found - (config.get("shift_factor") or 0)) * config.scaling_factor
    else:
        mean, deviation = (torch.tensor(each)[None, :, None, None] for each in (mean, deviation))
        expected = (found - mean) * config.scaling_factor / deviation
    assert_close(module.to_denoiser(found), expected)
    assert_close(module.from_denoiser(expected), found)


@torch.inference_mode()
def test_tiles_equal_the_references(pair: Pair) -> None:
    """Tiny ones are cut otherwise by the reference; of ours a tile's inner part is the whole's."""
    coder, factor = pair.ours.coder, pair.ours.spec.factor
    tile, planes = 16 * factor, pictures(pair, 40 * factor)
    expected = latents(pair, planes)
    if not pair.ours.spec.variational:
        whole, tiled = coder.decode(expected), coder.decode(expected, tile)
        assert tiled.shape == whole.shape
        assert (tiled - whole).abs().mean() < 0.05 * whole.abs().mean()
        return
    pair.reference.tile_sample_min_size, pair.reference.tile_latent_min_size = tile, 16
    pair.reference.enable_tiling()
    expected = latents(pair, planes)
    assert_close(coder.encode(planes, tile), expected)
    assert_close(coder.decode(expected, tile), pair.reference.decode(expected).sample)
    pair.reference.disable_tiling()


@torch.inference_mode()
def test_saved_the_reference_opens_it(pair: Pair, tmp_path: Path) -> None:
    pair.ours.save(tmp_path / "again")
    again = type(pair.reference).from_pretrained(tmp_path / "again")
    theirs, kept = again.state_dict(), pair.reference.state_dict()
    assert theirs.keys() == kept.keys()
    assert all(torch.equal(theirs[name], tensor) for name, tensor in kept.items())
    stated, written = (
        json.loads((folder / "config.json").read_text())
        for folder in (pair.folder, tmp_path / "again")
    )
    assert written == {name: value for name, value in stated.items() if name in written}
    assert set(stated) - set(written) == {"_diffusers_version"}


@torch.inference_mode()
def test_stages_count_what_pytorch_counts(pair: Pair) -> None:
    planes, module = pictures(pair), pair.ours.module
    found = module.encode(planes)
    work = Work(batch=2, height=planes.shape[2], width=planes.shape[3])
    for stage, run in zip(
        pair.ours.spec.stages(work),
        (lambda: module.encode(planes), lambda: module.decode(found)),
        strict=True,
    ):
        with only("reference"), FlopCounterMode(display=False) as counted:
            run()
        assert stage.operations == pytest.approx(counted.get_total_flops(), rel=0.02)


def test_a_picture_of_any_size_comes_back_in_its_size(pair: Pair) -> None:
    if pair.ours.spec.channels != 3:
        return
    pixels = np.random.default_rng(0).integers(0, 255, (37, 50, 3), dtype=np.uint8)
    found = pair.ours.autoencode(pixels)
    assert found.pixels.shape == pixels.shape
    factor = pair.ours.spec.factor
    padded = np.pad(pixels, ((0, -37 % factor), (0, -50 % factor), (0, 0)), "edge")
    expected = to_pixels(pair.ours.module(to_planes(padded)))[0][:37, :50]
    assert np.abs(found.pixels.astype(int) - expected.astype(int)).max() <= 1


PUBLISHED = {  # config.json as published, and the parameters that its model card or file has
    "stable-diffusion-v1-5": (
        {
            "_class_name": "AutoencoderKL",
            "_diffusers_version": "0.6.0",
            "act_fn": "silu",
            "block_out_channels": [128, 256, 512, 512],
            "down_block_types": ["DownEncoderBlock2D"] * 4,
            "in_channels": 3,
            "latent_channels": 4,
            "layers_per_block": 2,
            "norm_num_groups": 32,
            "out_channels": 3,
            "sample_size": 512,
            "up_block_types": ["UpDecoderBlock2D"] * 4,
        },
        83_653_863,
    ),
    "stable-diffusion-3-medium": (
        {
            "_class_name": "AutoencoderKL",
            "act_fn": "silu",
            "block_out_channels": [128, 256, 512, 512],
            "down_block_types": ["DownEncoderBlock2D"] * 4,
            "force_upcast": True,
            "in_channels": 3,
            "latent_channels": 16,
            "latents_mean": None,
            "latents_std": None,
            "layers_per_block": 2,
            "norm_num_groups": 32,
            "out_channels": 3,
            "sample_size": 1024,
            "scaling_factor": 1.5305,
            "shift_factor": 0.0609,
            "up_block_types": ["UpDecoderBlock2D"] * 4,
            "use_post_quant_conv": False,
            "use_quant_conv": False,
        },
        83_819_683,
    ),
    "taesd": (
        {
            "_class_name": "AutoencoderTiny",
            "act_fn": "relu",
            "decoder_block_out_channels": [64, 64, 64, 64],
            "encoder_block_out_channels": [64, 64, 64, 64],
            "in_channels": 3,
            "latent_channels": 4,
            "latent_magnitude": 3,
            "latent_shift": 0.5,
            "num_decoder_blocks": [3, 3, 3, 1],
            "num_encoder_blocks": [1, 3, 3, 3],
            "out_channels": 3,
            "scaling_factor": 1.0,
            "upsampling_scaling_factor": 2,
        },
        2_445_063,
    ),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_configurations_are_recognised(name: str) -> None:
    config, parameters = PUBLISHED[name]
    assert count(published_spec(config)) == parameters


BROKEN = {
    "groups that do not divide": ({"norm_num_groups": 3}, "norm_num_groups"),
    "unknown blocks": ({"down_block_types": ["AttnDownEncoderBlock2D"] * 4}, "down_block_types"),
    "other channels out": ({"out_channels": 4}, "out_channels"),
    "statistics of too few": ({"latents_mean": [0.0], "latents_std": [1.0]}, "latents_mean"),
    "no channels": ({"block_out_channels": []}, "block_out_channels"),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_what_cannot_be_is_refused(fault: str) -> None:
    config, _ = PUBLISHED["stable-diffusion-v1-5"]
    changed, word = BROKEN[fault]
    with pytest.raises(ConfigError, match=word):
        published_spec({**config, **changed})
