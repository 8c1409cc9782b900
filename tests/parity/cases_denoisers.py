"""Tiny random denoisers that diffusers writes, every switch of their configurations thrown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_LOOK = ("CrossAttnDownBlock2D", "DownBlock2D")
_UNET: Mapping[str, Any] = {
    "block_out_channels": (8, 16),
    "down_block_types": _LOOK,
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
    "norm_num_groups": 4,
    "cross_attention_dim": 12,
    "attention_head_dim": 2,
    "layers_per_block": 1,
    "sample_size": 8,
}
_SDXL: Mapping[str, Any] = {
    **_UNET,
    "block_out_channels": (8, 16, 16),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "attention_head_dim": (2, 4, 8),
    "transformer_layers_per_block": (1, 2, 3),
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 4,
    "projection_class_embeddings_input_dim": 6 * 4 + 10,
}

UNETS: Mapping[str, Mapping[str, Any]] = {
    "stable diffusion 1": {**_UNET, "layers_per_block": 2},
    "sdxl": _SDXL,
    "a refiner": {**_SDXL, "projection_class_embeddings_input_dim": 5 * 4 + 3},
    "consistency, nine channels": {**_UNET, "time_cond_proj_dim": 6, "in_channels": 9},
    "sines first, scaled by time, centred": {
        **_UNET,
        "flip_sin_to_cos": False,
        "freq_shift": 1,
        "resnet_time_scale_shift": "scale_shift",
        "center_input_sample": True,
        "mid_block_scale_factor": 1.4,
    },
    "each level its own": {
        **_UNET,
        "layers_per_block": (1, 2),
        "down_block_types": ("CrossAttnDownBlock2D",) * 2,
        "up_block_types": ("CrossAttnUpBlock2D",) * 2,
        "cross_attention_dim": (12, 12),
        "attention_head_dim": (4, 8),
        "act_fn": "gelu",
        "norm_eps": 1e-4,
        "conv_in_kernel": 1,
        "conv_out_kernel": 1,
        "time_embedding_dim": 24,
        "upcast_attention": True,
    },
}

CONTROL_NETS: Mapping[str, Mapping[str, Any]] = {
    "stable diffusion 1": {
        **{key: _UNET[key] for key in _UNET if key not in ("up_block_types", "sample_size")},
        "conditioning_embedding_out_channels": (4, 8, 8, 8),
    },
    "sdxl, blue first": {
        **{key: _SDXL[key] for key in _SDXL if key not in ("up_block_types", "sample_size")},
        "conditioning_embedding_out_channels": (4, 8, 8, 8),
        "controlnet_conditioning_channel_order": "bgr",
    },
}

_SD3: Mapping[str, Any] = {
    "sample_size": 8,
    "num_layers": 2,
    "attention_head_dim": 8,
    "num_attention_heads": 2,
    "joint_attention_dim": 12,
    "caption_projection_dim": 16,
    "pooled_projection_dim": 10,
    "in_channels": 4,
    "out_channels": 4,
    "pos_embed_max_size": 12,
}

TRANSFORMERS: Mapping[str, Mapping[str, Any]] = {
    "stable diffusion 3": _SD3,
    "stable diffusion 3.5": {
        **_SD3,
        "num_layers": 3,
        "qk_norm": "rms_norm",
        "dual_attention_layers": (0, 1),
    },
    "other channels, larger patches": {
        **_SD3,
        "in_channels": 3,
        "out_channels": 6,
        "patch_size": 4,
        "sample_size": 16,
    },
}
