"""Grounding DINO, with every switch of its configuration and of its towers'."""

from __future__ import annotations

from parity.detector_case import DetectorCase

CASES = [
    DetectorCase("grounding-dino", "usual"),
    DetectorCase("grounding-dino", "own boxes", {"decoder_bbox_embed_share": False}),
    DetectorCase(
        *("grounding-dino", "learned positions"),
        {"position_embedding_type": "learned", "num_feature_levels": 4},
        tower={"out_features": ["stage3", "stage4"], "out_indices": None},
    ),
    DetectorCase(
        *("grounding-dino", "one level"),
        {"num_feature_levels": 1, "encoder_n_points": 2, "decoder_n_points": 3},
        tower={"out_indices": [4], "window_size": 4, "qkv_bias": False, "depths": [1, 2, 3, 1]},
        text={"position_embedding_type": "absolute", "type_vocab_size": 1},
    ),
    DetectorCase(
        *("grounding-dino", "changed"),
        {
            "activation_function": "gelu",
            "positional_embedding_temperature": 10,
            "layer_norm_eps": 1e-3,
            "decoder_attention_heads": 2,
            "encoder_attention_heads": 8,
            "d_model": 64,
            "num_queries": 7,
        },
        tower={"hidden_act": "relu", "mlp_ratio": 2.0, "layer_norm_eps": 1e-3, "patch_size": 8},
        text={"hidden_act": "relu", "layer_norm_eps": 1e-3},
    ),
    DetectorCase(
        *("grounding-dino", "absolute"),
        tower={"use_absolute_embeddings": True, "image_size": [140, 168]},
    ),
]
