"""What benchmarks of models beyond text run on: random models of published shapes, and their work.

Shapes are published ones, or smaller where a row would take more than a minute on two cores.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

_VIT = {
    "model_type": "vit",
    "architectures": ["ViTForImageClassification"],
    **{"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12},
    **{"num_attention_heads": 12, "image_size": 224, "patch_size": 16, "num_channels": 3},
    **{"hidden_act": "gelu", "layer_norm_eps": 1e-12, "qkv_bias": True},
    "id2label": {str(number): f"label {number}" for number in range(1000)},
}
_CLIP = {
    "model_type": "clip",
    "architectures": ["CLIPModel"],
    "projection_dim": 512,
    "text_config": {"model_type": "clip_text_model"},
    "vision_config": {"model_type": "clip_vision_model"},
}
_SAM = {
    "model_type": "sam",
    "architectures": ["SamModel"],
    "vision_config": {"num_hidden_layers": 4, "global_attn_indexes": [1, 3]},
}
_DETECTOR = {
    "model_type": "grounding-dino",
    "backbone_config": {"model_type": "swin", "out_indices": [2, 3, 4]},
    "text_config": {"model_type": "bert", "num_hidden_layers": 6},
    **{"encoder_layers": 3, "decoder_layers": 3},
}
_WHISPER = {
    "model_type": "whisper",
    **{"d_model": 512, "encoder_layers": 6, "encoder_attention_heads": 8},
    **{"decoder_layers": 6, "decoder_attention_heads": 8, "encoder_ffn_dim": 2048},
    **{"decoder_ffn_dim": 2048, "num_mel_bins": 80, "vocab_size": 51865},
    **{"max_source_positions": 1500, "max_target_positions": 448},
}
_LISTENING = {
    "model_type": "qwen2_audio",
    "audio_token_index": 31_999,
    "audio_config": {
        **{"d_model": 512, "encoder_layers": 6, "encoder_attention_heads": 8},
        **{"encoder_ffn_dim": 2048, "num_mel_bins": 128, "max_source_positions": 1500},
    },
    "text_config": {
        **{"model_type": "qwen2", "hidden_size": 768, "intermediate_size": 2048},
        **{"num_hidden_layers": 8, "num_attention_heads": 12, "num_key_value_heads": 12},
        **{"vocab_size": 32_000, "max_position_embeddings": 2048},
    },
}
_SEEING = {
    "model_type": "llava",
    "image_token_index": 31_999,
    "vision_config": {
        **{"model_type": "clip_vision_model", "hidden_size": 768, "intermediate_size": 3072},
        **{"num_hidden_layers": 12, "num_attention_heads": 12, "image_size": 336},
        **{"patch_size": 14, "projection_dim": 768},
    },
    "text_config": {
        **{"model_type": "llama", "hidden_size": 768, "intermediate_size": 2048},
        **{"num_hidden_layers": 8, "num_attention_heads": 12, "vocab_size": 32_000},
        **{"max_position_embeddings": 2048},
    },
}
_UNET = {
    "_class_name": "UNet2DConditionModel",
    **{"block_out_channels": [160, 320, 640, 640], "cross_attention_dim": 768},
    **{"attention_head_dim": 8, "sample_size": 64},
}
_CONTROL = {
    "_class_name": "ControlNetModel",
    **{"block_out_channels": [160, 320, 640, 640], "cross_attention_dim": 768},
    **{"attention_head_dim": 8},
}
_SD3 = {
    "_class_name": "SD3Transformer2DModel",
    **{"caption_projection_dim": 768, "num_attention_heads": 12, "num_layers": 8},
    **{"joint_attention_dim": 1024, "pooled_projection_dim": 512, "sample_size": 64},
}
_KL = {
    "_class_name": "AutoencoderKL",
    **{"block_out_channels": [96, 192, 384, 384], "layers_per_block": 2},
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
    **{"latent_channels": 4, "norm_num_groups": 32, "sample_size": 256},
}
_GENERATOR = {
    "model_type": "stylegan2",
    **{"z_dim": 512, "w_dim": 512, "img_resolution": 512},
}
_RECURSIVE = {
    "model_type": "trm",
    **{"seq_len": 81, "vocab_size": 11, "num_puzzle_identifiers": 1, "puzzle_emb_ndim": 512},
    **{"puzzle_emb_len": 16, "hidden_size": 512, "num_heads": 8, "expansion": 4, "L_layers": 2},
    **{"H_cycles": 3, "L_cycles": 6, "halt_max_steps": 16, "pos_encodings": "rope"},
}


@dataclass(frozen=True)
class Row:
    """One model under one work: its configuration, the type it computes in, options of a verb."""

    config: Mapping[str, object]
    dtype: str
    options: tuple[str, ...] = ()

    @property
    def encoding(self) -> str:
        """How its weights are stored."""
        return "F32" if self.dtype == "float32" else "BF16"


# By name, one of every class that works in stages at least.
ROWS: Mapping[str, Row] = {
    "vit": Row(_VIT, "float32", ("--batches", "8")),
    "vit bfloat16": Row(_VIT, "bfloat16", ("--batches", "16")),
    "clip": Row(_CLIP, "float32", ("--batches", "4")),
    "sam": Row(_SAM, "float32"),
    "sam bfloat16": Row(_SAM, "bfloat16"),
    "grounding-dino": Row(_DETECTOR, "float32", ("--size", "640", "480")),
    "whisper": Row(_WHISPER, "float32", ("--batches", "2")),
    "whisper bfloat16": Row(_WHISPER, "bfloat16", ("--batches", "4")),
    "qwen2_audio": Row(_LISTENING, "float32"),
    "llava": Row(_SEEING, "bfloat16"),
    "unet": Row(_UNET, "float32", ("--batches", "2")),
    "unet bfloat16": Row(_UNET, "bfloat16", ("--batches", "2")),
    "controlnet": Row(_CONTROL, "float32"),
    "sd3": Row(_SD3, "bfloat16", ("--batches", "2")),
    "autoencoder": Row(_KL, "float32", ("--size", "256", "256")),
    "autoencoder bfloat16": Row(_KL, "bfloat16", ("--size", "384", "384")),
    "stylegan2": Row(_GENERATOR, "float32"),
    "trm": Row(_RECURSIVE, "float32", ("--batches", "8")),
}
