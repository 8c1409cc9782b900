"""Tiny random pipelines that diffusers writes: a folder of parts for each kind."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    T5Config,
    T5EncoderModel,
    T5TokenizerFast,
)

from parity.cases_denoisers import _SD3, _SDXL, _UNET, CONTROL_NETS

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import diffusers

LATENT = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
SIDE, FACTOR = 8, 2  # of latents, and how much larger a picture is
LETTERS = "abcdefghijklmnopqrstuvwxyz,."
BEGIN, END = "<|startoftext|>", "<|endoftext|>"
VOCABULARY = ["!", *LETTERS, *(f"{letter}</w>" for letter in LETTERS), "ca", "cat</w>"]
MERGES = [("c", "a"), ("ca", "t</w>")]


def tokenizer(filler: str = END) -> CLIPTokenizer:
    """Return letters with one merge, as CLIP cuts words."""
    vocabulary = {token: number for number, token in enumerate([*VOCABULARY, BEGIN, END])}
    return CLIPTokenizer(
        vocab=vocabulary, merges=MERGES, pad_token=filler, model_max_length=CONTEXT
    )


CONTEXT = 16


def clip(width: int, *, projection: int | None = None, largest: bool = False, seed: int = 0) -> Any:
    torch.manual_seed(seed)
    count = len(VOCABULARY) + 2
    config = CLIPTextConfig(
        vocab_size=count,
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=3,
        num_attention_heads=2,
        max_position_embeddings=CONTEXT,
        projection_dim=projection or width,
        bos_token_id=count - 2,
        eos_token_id=2 if largest else count - 1,
        pad_token_id=count - 1,
        hidden_act="quick_gelu" if largest else "gelu",
    )
    return (CLIPTextModelWithProjection if projection else CLIPTextModel)(config).eval()


def t5(width: int) -> Any:
    torch.manual_seed(5)
    config = T5Config(
        vocab_size=40,
        d_model=width,
        d_kv=4,
        d_ff=20,
        num_layers=2,
        num_heads=2,
        feed_forward_proj="gated-gelu",
        decoder_start_token_id=0,
    )
    return T5EncoderModel(config).eval()


def t5_tokenizer() -> T5TokenizerFast:
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0)]
    pieces += [(letter, -3.0) for letter in LETTERS]
    return T5TokenizerFast(vocab=pieces, extra_ids=0)


def autoencoder(**more: Any) -> Any:
    torch.manual_seed(1)
    return diffusers.AutoencoderKL(
        block_out_channels=(8, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        norm_num_groups=4,
        sample_size=SIDE * FACTOR,
        **more,
    ).eval()


def unet(base: Mapping[str, Any], **more: Any) -> Any:
    torch.manual_seed(2)
    return diffusers.UNet2DConditionModel(**{**base, "sample_size": SIDE, **more}).eval()


def stable_diffusion(scheduler: Any = None, **more: Any) -> Any:
    return diffusers.StableDiffusionPipeline(
        vae=autoencoder(),
        text_encoder=clip(12, largest=True),
        tokenizer=tokenizer(),
        unet=unet(_UNET, **more),
        scheduler=scheduler
        or diffusers.PNDMScheduler(skip_prk_steps=True, steps_offset=1, **LATENT),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def consistent() -> Any:
    parts = stable_diffusion(diffusers.LCMScheduler(), time_cond_proj_dim=6).components
    return diffusers.LatentConsistencyModelPipeline(**parts, requires_safety_checker=False)


def filling() -> Any:
    parts = stable_diffusion(diffusers.DDIMScheduler(clip_sample=False, **LATENT), in_channels=9)
    return diffusers.StableDiffusionInpaintPipeline(
        **parts.components, requires_safety_checker=False
    )


def steered() -> Any:
    parts = stable_diffusion(diffusers.EulerDiscreteScheduler(**LATENT)).components
    torch.manual_seed(3)
    net = diffusers.ControlNetModel(**CONTROL_NETS["stable diffusion 1"]).eval()
    for parameter in net.parameters():  # maps that begin as zeros would hide what they do
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.2)
    # A hint is eight times as large as latents: three halvings, where this autoencoder has one.
    return diffusers.StableDiffusionControlNetPipeline(
        **{**parts, "vae": deep_autoencoder()}, controlnet=net, requires_safety_checker=False
    )


def deep_autoencoder() -> Any:
    torch.manual_seed(1)
    return diffusers.AutoencoderTiny(
        encoder_block_out_channels=(8,) * 4,
        decoder_block_out_channels=(8,) * 4,
        num_encoder_blocks=(1, 1, 1, 1),
        num_decoder_blocks=(1, 1, 1, 1),
    ).eval()


def sdxl() -> Any:
    base = {**_SDXL, "cross_attention_dim": 12 + 8}
    return diffusers.StableDiffusionXLPipeline(
        vae=autoencoder(),
        text_encoder=clip(12, largest=True),
        tokenizer=tokenizer(),
        text_encoder_2=clip(8, projection=10, seed=7),
        tokenizer_2=tokenizer("!"),
        unet=unet(base),
        scheduler=diffusers.EulerDiscreteScheduler(
            timestep_spacing="leading", steps_offset=1, **LATENT
        ),
        force_zeros_for_empty_prompt=True,
        add_watermarker=False,
    )


def stable_diffusion_3() -> Any:
    torch.manual_seed(4)
    denoiser = {**_SD3, "joint_attention_dim": 24, "pooled_projection_dim": 5 + 10}
    return diffusers.StableDiffusion3Pipeline(
        transformer=diffusers.SD3Transformer2DModel(**denoiser).eval(),
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0),
        vae=autoencoder(use_quant_conv=False, use_post_quant_conv=False, shift_factor=0.06),
        text_encoder=clip(12, projection=5),
        tokenizer=tokenizer(),
        text_encoder_2=clip(8, projection=10, seed=7),
        tokenizer_2=tokenizer("!"),
        text_encoder_3=t5(24),
        tokenizer_3=t5_tokenizer(),
    )


PIPELINES: Mapping[str, Callable[[], Any]] = {
    "stable diffusion": stable_diffusion,
    "consistent": consistent,
    "filling": filling,
    "steered": steered,
    "sdxl": sdxl,
    "stable diffusion 3": stable_diffusion_3,
}


def save(pipeline: Any, folder: Path) -> Path:
    """Write a pipeline; the old form of CLIP's tokenizer where it is that of one tower."""
    pipeline.save_pretrained(folder)
    old = folder / "tokenizer"
    if not (folder / "tokenizer_2").is_dir():
        (old / "tokenizer.json").unlink()
        vocabulary = {token: number for number, token in enumerate([*VOCABULARY, BEGIN, END])}
        (old / "vocab.json").write_text(json.dumps(vocabulary))
        lines = ["#version: 0.2", *(" ".join(pair) for pair in MERGES)]
        (old / "merges.txt").write_text("\n".join(lines) + "\n")
        words = {"tokenizer_class": "CLIPTokenizer", "pad_token": END, "eos_token": END}
        (old / "tokenizer_config.json").write_text(json.dumps(words))
    return folder
