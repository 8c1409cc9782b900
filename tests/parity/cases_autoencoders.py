"""Tiny random autoencoders that diffusers writes, every switch of their configurations thrown."""

from __future__ import annotations

from collections.abc import Mapping

_KL = {
    "block_out_channels": (8, 16),
    "down_block_types": ("DownEncoderBlock2D",) * 2,
    "up_block_types": ("UpDecoderBlock2D",) * 2,
    "norm_num_groups": 4,
    "sample_size": 32,
}
_LARGER = {
    "block_out_channels": (4, 8, 8),
    "down_block_types": ("DownEncoderBlock2D",) * 3,
    "up_block_types": ("UpDecoderBlock2D",) * 3,
}

# Class → label → the arguments of the reference's constructor.
CASES: Mapping[str, Mapping[str, Mapping[str, object]]] = {
    "AutoencoderKL": {
        "stable diffusion": _KL,
        "three levels of two blocks": {**_KL, **_LARGER, "layers_per_block": 2},
        "sixteen channels, no quantising, a shift": {
            **_KL,
            "latent_channels": 16,
            "use_quant_conv": False,
            "use_post_quant_conv": False,
            "shift_factor": 0.0609,
            "scaling_factor": 1.5305,
        },
        "statistics of each channel": {
            **_KL,
            "latents_mean": [-1.5, -1.0, 0.5, 0.1],
            "latents_std": [8.0, 5.0, 6.0, 4.0],
            "scaling_factor": 0.5,
        },
        "no attention, one channel": {
            **_KL,
            "mid_block_add_attention": False,
            "in_channels": 1,
            "out_channels": 1,
            "act_fn": "relu",
        },
    },
    "AutoencoderTiny": {
        "as published": {
            "encoder_block_out_channels": (8,) * 4,
            "decoder_block_out_channels": (8,) * 4,
        },
        "sixteen channels, other depths": {
            "encoder_block_out_channels": (8,) * 3,
            "decoder_block_out_channels": (12,) * 3,
            "num_encoder_blocks": (2, 1, 0),
            "num_decoder_blocks": (1, 0, 2),
            "latent_channels": 16,
            "act_fn": "silu",
            "scaling_factor": 0.5,
            "shift_factor": 0.1,
        },
    },
}
