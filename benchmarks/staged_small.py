"""The rows of benchmarks/staged.py once more as tiny models, in which calls cost more than numbers.

Of every class the smallest shapes that still have all its parts: what somebody trains for a
try, and what tests run on.
"""

from __future__ import annotations

from collections.abc import Mapping

from staged_models import Row

_VIT = {
    "model_type": "vit",
    "architectures": ["ViTForImageClassification"],
    **{"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2},
    **{"num_attention_heads": 4, "image_size": 64, "patch_size": 16, "num_channels": 3},
    **{"hidden_act": "gelu", "qkv_bias": True},
    "id2label": {str(number): f"label {number}" for number in range(10)},
}
_TOWER = {
    **{"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2},
    **{"num_attention_heads": 4},
}
_CLIP = {
    "model_type": "clip",
    "architectures": ["CLIPModel"],
    "projection_dim": 32,
    "text_config": {"model_type": "clip_text_model", "vocab_size": 1000, **_TOWER},
    "vision_config": {
        "model_type": "clip_vision_model",
        **{"image_size": 64, "patch_size": 16, "projection_dim": 32},
        **_TOWER,
    },
}
_SAM = {
    "model_type": "sam",
    "architectures": ["SamModel"],
    "vision_config": {
        **{"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2},
        **{"image_size": 256, "patch_size": 16, "window_size": 4, "global_attn_indexes": [1]},
        **{"output_channels": 32, "mlp_dim": 64, "num_pos_feats": 16},
    },
    "prompt_encoder_config": {"hidden_size": 32, "image_size": 256, "mask_input_channels": 4},
    "mask_decoder_config": {
        **{"hidden_size": 32, "mlp_dim": 64, "num_attention_heads": 2, "num_hidden_layers": 2},
        **{"iou_head_hidden_dim": 32, "iou_head_depth": 3, "num_multimask_outputs": 3},
    },
}
_DETECTOR = {
    "model_type": "grounding-dino",
    "backbone_config": {
        **{"model_type": "swin", "embed_dim": 16, "depths": [1, 1, 2, 1]},
        **{"num_heads": [1, 1, 2, 2], "window_size": 4, "out_indices": [2, 3, 4]},
    },
    "text_config": {
        **{"model_type": "bert", "vocab_size": 1000, "max_position_embeddings": 64},
        **{"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1},
        "num_attention_heads": 2,
    },
    **{"d_model": 32, "encoder_layers": 1, "decoder_layers": 1, "num_queries": 20},
    **{"encoder_ffn_dim": 64, "decoder_ffn_dim": 64, "encoder_attention_heads": 2},
    "decoder_attention_heads": 2,
}
# That of `fathom train whisper tones`, but for its vocabulary.
_WHISPER = {
    "model_type": "whisper",
    **{"d_model": 64, "encoder_layers": 2, "encoder_attention_heads": 4},
    **{"decoder_layers": 2, "decoder_attention_heads": 4, "encoder_ffn_dim": 128},
    **{"decoder_ffn_dim": 128, "num_mel_bins": 80, "vocab_size": 1000},
    **{"max_source_positions": 100, "max_target_positions": 64},
}
_LISTENING = {
    "model_type": "qwen2_audio",
    "audio_token_index": 999,
    "audio_config": {
        **{"d_model": 64, "encoder_layers": 2, "encoder_attention_heads": 4},
        **{"encoder_ffn_dim": 128, "num_mel_bins": 80, "max_source_positions": 100},
    },
    "text_config": {
        **{"model_type": "qwen2", "hidden_size": 64, "intermediate_size": 128},
        **{"num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2},
        **{"vocab_size": 1000, "max_position_embeddings": 512},
    },
}
_SEEING = {
    "model_type": "llava",
    "image_token_index": 999,
    "vision_config": {
        **{"model_type": "clip_vision_model", "image_size": 64, "patch_size": 16},
        **{"projection_dim": 32, **_TOWER},
    },
    "text_config": {
        **{"model_type": "llama", "hidden_size": 64, "intermediate_size": 128},
        **{"num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 1000},
        "max_position_embeddings": 512,
    },
}
_UNET = {
    "_class_name": "UNet2DConditionModel",
    **{"block_out_channels": [32, 64], "cross_attention_dim": 32, "norm_num_groups": 8},
    **{"attention_head_dim": 4, "sample_size": 16, "layers_per_block": 1},
    "down_block_types": ["CrossAttnDownBlock2D", "DownBlock2D"],
    "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D"],
}
_CONTROL = {
    "_class_name": "ControlNetModel",
    **{"block_out_channels": [32, 64], "cross_attention_dim": 32, "norm_num_groups": 8},
    **{"attention_head_dim": 4, "layers_per_block": 1},
    "down_block_types": ["CrossAttnDownBlock2D", "DownBlock2D"],
    "conditioning_embedding_out_channels": [8, 16, 16, 32],
}
_SD3 = {
    "_class_name": "SD3Transformer2DModel",
    **{"caption_projection_dim": 64, "num_attention_heads": 4, "attention_head_dim": 16},
    **{"num_layers": 2, "joint_attention_dim": 32, "pooled_projection_dim": 32},
    **{"sample_size": 16, "pos_embed_max_size": 16},
}
_KL = {
    "_class_name": "AutoencoderKL",
    **{"block_out_channels": [16, 32], "layers_per_block": 1},
    "down_block_types": ["DownEncoderBlock2D"] * 2,
    "up_block_types": ["UpDecoderBlock2D"] * 2,
    **{"latent_channels": 4, "norm_num_groups": 8, "sample_size": 64},
}
_GENERATOR = {"model_type": "stylegan2", "z_dim": 32, "w_dim": 32, "img_resolution": 32}
# That of `fathom train trm sudoku-4`.
_RECURSIVE = {
    "model_type": "trm",
    **{"seq_len": 16, "vocab_size": 6, "num_puzzle_identifiers": 1, "puzzle_emb_ndim": 64},
    **{"puzzle_emb_len": 1, "hidden_size": 64, "num_heads": 4, "expansion": 4, "L_layers": 2},
    **{"H_cycles": 2, "L_cycles": 3, "halt_max_steps": 16, "pos_encodings": "rope"},
}

ROWS: Mapping[str, Row] = {
    name: Row(config, "float32")
    for name, config in {
        "vit tiny": _VIT,
        "clip tiny": _CLIP,
        "sam tiny": _SAM,
        "grounding-dino tiny": _DETECTOR,
        "whisper tiny": _WHISPER,
        "qwen2_audio tiny": _LISTENING,
        "llava tiny": _SEEING,
        "unet tiny": _UNET,
        "controlnet tiny": _CONTROL,
        "sd3 tiny": _SD3,
        "autoencoder tiny": _KL,
        "stylegan2 tiny": _GENERATOR,
        "trm tiny": _RECURSIVE,
    }.items()
}
