"""SAM, with every switch of its three configurations."""

from __future__ import annotations

from parity.segmenter_case import SegmenterCase

CASES = [
    SegmenterCase("sam", "windows"),
    SegmenterCase("sam", "even", vision={"window_size": 4, "mlp_dim": None, "mlp_ratio": 2.0}),
    SegmenterCase("sam", "whole", vision={"window_size": 0, "qkv_bias": False}),
    SegmenterCase("sam", "plain", vision={"use_rel_pos": False, "use_abs_pos": False}),
    SegmenterCase(
        *("sam", "changed"),
        vision={"hidden_act": "relu", "global_attn_indexes": [0, 2]},
        prompt={"hidden_act": "relu", "mask_input_channels": 12},
        decoder={
            "hidden_act": "gelu",
            "num_hidden_layers": 3,
            "attention_downsample_rate": 1,
            "num_multimask_outputs": 2,
            "iou_head_depth": 4,
        },
    ),
]
