"""Denoisers against diffusers: predictions, files, published sizes, and what a step costs."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from fathom import library
from fathom.blocks.spatial import Prompt
from fathom.checkpoint.published import published_spec
from fathom.errors import ConfigError
from fathom.models.unet import Steering
from fathom.ops.choose import only
from fathom.spec.diffusion_transformer import DiffusionTransformer
from fathom.spec.parts import count
from fathom.spec.unet import ControlNet
from fathom.spec.work import Work
from parity.conftest import Measured
from parity.labelled import DENOISERS, case_id
from parity.test_decoders import relative_error

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import diffusers

BATCH, TOKENS = 2, 5


@dataclass(frozen=True)
class Pair:
    """A checkpoint opened by both, and what to ask of it."""

    reference: Any
    ours: Any
    folder: Path
    asked: Mapping[str, Tensor]
    case: str = ""  # as `measured` is told


def questions(config: Any, size: tuple[int, int]) -> dict[str, Tensor]:
    """Return what the reference is asked, by its own names."""
    torch.manual_seed(1)
    asked = {
        "planes": torch.randn(BATCH, config.in_channels, *size),
        "moments": torch.tensor([7.0, 981.0]),
    }
    width = config.get("joint_attention_dim") or config.cross_attention_dim
    width = width[0] if isinstance(width, list | tuple) else width
    asked["prompt"] = torch.randn(BATCH, TOKENS, width)
    if config.get("pooled_projection_dim"):
        asked["vector"] = torch.randn(BATCH, config.pooled_projection_dim)
    if config.get("addition_embed_type"):
        inputs, size_ = config.projection_class_embeddings_input_dim, config.addition_time_embed_dim
        sizes = 6 if inputs > 6 * size_ else 5
        asked["vector"] = torch.randn(BATCH, inputs - sizes * size_)
        asked["sizes"] = torch.randint(0, 1024, (BATCH, sizes)).float()
    if config.get("time_cond_proj_dim"):
        asked["condition"] = torch.randn(BATCH, config.time_cond_proj_dim)
    if config.get("conditioning_embedding_out_channels"):
        asked["picture"] = torch.rand(BATCH, 3, 8 * size[0], 8 * size[1])
    return asked


def reference_answer(pair: Pair, **more: Any) -> Any:
    asked = pair.asked
    if isinstance(pair.ours.spec, DiffusionTransformer):
        return pair.reference(
            asked["planes"], asked["prompt"], asked["vector"], asked["moments"]
        ).sample
    told = None
    if "sizes" in asked:
        told = {"text_embeds": asked["vector"], "time_ids": asked["sizes"]}
    options = {"added_cond_kwargs": told, **more}
    if "picture" in asked:
        options |= {"controlnet_cond": asked["picture"], "conditioning_scale": 0.7}
    elif "condition" in asked:
        options["timestep_cond"] = asked["condition"]
    return pair.reference(asked["planes"], asked["moments"], asked["prompt"], **options)


def answer(pair: Pair, **more: Any) -> Any:
    asked = {**pair.asked, **more}
    given = [asked.pop(name) for name in ("planes", "moments", "prompt")]
    if isinstance(pair.ours.spec, ControlNet):
        return pair.ours.module(*given, asked.pop("picture"), scale=0.7, **asked)
    return pair.ours.module(*given, **asked)


@pytest.fixture(
    scope="module", params=[(kind, label) for kind, cases in DENOISERS.items() for label in cases]
)
def pair(request, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    kind, label = request.param
    torch.manual_seed(0)
    reference = getattr(diffusers, kind)(**DENOISERS[kind][label]).eval()
    for parameter in reference.parameters():  # maps that begin as zeros would hide what they do
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.2)
    folder = tmp_path_factory.mktemp("denoiser")
    reference.save_pretrained(folder)
    ours = library.open(str(folder), dtype="float32", device="cpu")
    asked = questions(reference.config, (8, 12))
    return Pair(reference, ours, folder, asked, case_id(kind, label))


def assert_close(ours: Tensor, theirs: Tensor) -> None:
    assert ours.shape == theirs.shape
    assert (ours - theirs).abs().max() <= 1e-4 * theirs.abs().max()


@torch.inference_mode()
def test_predictions_equal_the_reference(pair: Pair, measured: Measured) -> None:
    ours, theirs = answer(pair), reference_answer(pair)
    if isinstance(pair.ours.spec, ControlNet):
        found = [*ours.left, ours.lowest]
        expected = [*theirs.down_block_res_samples, theirs.mid_block_res_sample]
    else:
        found, expected = [ours], [theirs if isinstance(theirs, Tensor) else theirs.sample]
    errors = [relative_error(*both) for both in zip(found, expected, strict=True)]
    assert measured(pair.case, pair.ours.spec, max(errors)) < 1e-4


@torch.inference_mode()
def test_a_prompt_that_was_read_gives_the_same_again(pair: Pair) -> None:
    if isinstance(pair.ours.spec, DiffusionTransformer | ControlNet):
        return
    prompt = Prompt(pair.asked["prompt"])
    first, again = (answer(pair, prompt=prompt) for _ in range(2))
    assert torch.equal(first, again)
    assert_close(first, reference_answer(pair).sample)
    odd = pair.asked["planes"][:, :, :7, :9]
    theirs = reference_answer(
        Pair(pair.reference, pair.ours, pair.folder, {**pair.asked, "planes": odd})
    )
    assert_close(answer(pair, planes=odd), theirs.sample)


@torch.inference_mode()
def test_saved_the_reference_opens_it(pair: Pair, tmp_path: Path) -> None:
    pair.ours.save(tmp_path / "again")
    again = type(pair.reference).from_pretrained(tmp_path / "again")
    theirs, kept = again.state_dict(), pair.reference.state_dict()
    assert theirs.keys() == kept.keys()
    assert all(torch.equal(theirs[name], tensor) for name, tensor in kept.items())


@torch.inference_mode()
def test_a_stage_counts_what_pytorch_counts(pair: Pair) -> None:
    planes = pair.asked["planes"]
    work = Work(batch=BATCH, height=planes.shape[2], width=planes.shape[3], tokens=TOKENS)
    (stage,) = pair.ours.spec.stages(work)
    with only("reference"), FlopCounterMode(display=False) as counted:
        answer(pair)
    assert stage.operations == pytest.approx(counted.get_total_flops(), rel=0.02)


@torch.inference_mode()
def test_what_a_net_adds_steers_a_denoiser_as_in_the_reference(tmp_path: Path) -> None:
    torch.manual_seed(0)
    reference = diffusers.UNet2DConditionModel(
        **DENOISERS["UNet2DConditionModel"]["stable diffusion 1"]
    ).eval()
    reference.save_pretrained(tmp_path)
    ours = library.open(str(tmp_path), dtype="float32", device="cpu")
    planes, prompt = torch.randn(1, 4, 8, 8), torch.randn(1, TOKENS, 12)
    sides = (8, 8, 8, 4, 4, 4)
    pairs = zip(ours.spec.descent.left, sides, strict=True)
    left = tuple(torch.randn(1, width, side, side) for width, side in pairs)
    lowest = torch.randn(1, 16, 4, 4)
    theirs = reference(
        planes,
        5,
        prompt,
        down_block_additional_residuals=left,
        mid_block_additional_residual=lowest,
    ).sample
    halves = Steering(tuple(each / 2 for each in left), lowest / 2)
    moments = torch.tensor([5.0])
    assert_close(ours.module(planes, moments, prompt, steering=halves + halves), theirs)


_SD = {
    "_class_name": "UNet2DConditionModel",
    "_diffusers_version": "0.6.0",
    "act_fn": "silu",
    "attention_head_dim": 8,
    "block_out_channels": [320, 640, 1280, 1280],
    "center_input_sample": False,
    "cross_attention_dim": 768,
    "down_block_types": [*["CrossAttnDownBlock2D"] * 3, "DownBlock2D"],
    "downsample_padding": 1,
    "flip_sin_to_cos": True,
    "freq_shift": 0,
    "in_channels": 4,
    "layers_per_block": 2,
    "mid_block_scale_factor": 1,
    "norm_eps": 1e-05,
    "norm_num_groups": 32,
    "out_channels": 4,
    "sample_size": 64,
    "up_block_types": ["UpBlock2D", *["CrossAttnUpBlock2D"] * 3],
}
_SDXL = {
    **_SD,
    "addition_embed_type": "text_time",
    "addition_embed_type_num_heads": 64,
    "addition_time_embed_dim": 256,
    "attention_head_dim": [5, 10, 20],
    "attention_type": "default",
    "block_out_channels": [320, 640, 1280],
    "class_embed_type": None,
    "class_embeddings_concat": False,
    "cross_attention_dim": 2048,
    "cross_attention_norm": None,
    "down_block_types": ["DownBlock2D", *["CrossAttnDownBlock2D"] * 2],
    "dual_cross_attention": False,
    "encoder_hid_dim": None,
    "mid_block_type": "UNetMidBlock2DCrossAttn",
    "only_cross_attention": False,
    "projection_class_embeddings_input_dim": 2816,
    "resnet_time_scale_shift": "default",
    "sample_size": 128,
    "transformer_layers_per_block": [1, 2, 10],
    "up_block_types": [*["CrossAttnUpBlock2D"] * 2, "UpBlock2D"],
    "use_linear_projection": True,
}
_SD3 = {
    "_class_name": "SD3Transformer2DModel",
    "attention_head_dim": 64,
    "caption_projection_dim": 1536,
    "in_channels": 16,
    "joint_attention_dim": 4096,
    "num_attention_heads": 24,
    "num_layers": 24,
    "out_channels": 16,
    "patch_size": 2,
    "pooled_projection_dim": 2048,
    "pos_embed_max_size": 192,
    "sample_size": 128,
}
PUBLISHED = {  # config.json as published, and the parameters that its model card or file has
    "stable-diffusion-v1-5": (_SD, 859_520_964),
    "stable-diffusion-inpainting": ({**_SD, "in_channels": 9}, 859_535_364),
    "stable-diffusion-xl-base-1.0": (_SDXL, 2_567_463_684),
    # whose table of positions is worked out, and kept in the file all the same
    "stable-diffusion-3-medium": (_SD3, 2_028_328_000 + 192**2 * 1536),
    "sd-controlnet-canny": (
        {
            **{key: _SD[key] for key in _SD if key not in ("out_channels", "up_block_types")},
            "_class_name": "ControlNetModel",
            "conditioning_embedding_out_channels": [16, 32, 96, 256],
            "controlnet_conditioning_channel_order": "rgb",
        },
        361_279_120,
    ),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_configurations_are_recognised(name: str) -> None:
    config, parameters = PUBLISHED[name]
    assert count(published_spec(config)) == parameters


BROKEN = {
    "unknown blocks": (_SD, {"down_block_types": ["AttnDownBlock2D"] * 4}, "down_block_types"),
    "levels of two numbers": (_SD, {"attention_head_dim": [8, 8]}, "attention_head_dim"),
    "classes": (_SD, {"num_class_embeds": 10}, "num_class_embeds"),
    "groups that do not divide": (_SD, {"norm_num_groups": 7}, "norm_num_groups"),
    "another addition": (_SD, {"addition_embed_type": "image"}, "addition_embed_type"),
    "captions of another width": (_SD3, {"caption_projection_dim": 64}, "caption_projection_dim"),
    "more patches than positions": (_SD3, {"sample_size": 512}, "sample_size"),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_what_cannot_be_is_refused(fault: str) -> None:
    stated, changed, word = BROKEN[fault]
    with pytest.raises(ConfigError, match=word):
        published_spec({**stated, **changed})
