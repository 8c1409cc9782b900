"""Tiny models that look at pictures beside their text, every switch thrown in some case."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from parity.cases_vision_language import VOCABULARY

TOKEN = VOCABULARY  # stands for a picture; it may be read and not written
VISION = {
    **{"hidden_size": 32, "num_hidden_layers": 3, "num_global_layers": 2},
    **{"attention_heads": 4, "intermediate_size": 64, "image_size": 28, "patch_size": 7},
    **{"intermediate_layers_indices": [0, 2], "vision_output_dim": 96},
}
TEXT = {
    **{"vocab_size": VOCABULARY, "hidden_size": 48, "num_hidden_layers": 4},
    **{"num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 64},
    **{"max_position_embeddings": 256, "cross_attention_layers": [1, 3]},
    **{"bos_token_id": 1, "eos_token_id": 256, "pad_token_id": 0},
}
STRETCHED = {
    **{"rope_type": "llama3", "rope_theta": 1e4, "factor": 8.0, "low_freq_factor": 1.0},
    **{"high_freq_factor": 4.0, "original_max_position_embeddings": 16},
}
CASES: Mapping[str, Mapping[str, Any]] = {
    "mllama": {"vision_config": VISION, "text_config": TEXT},
    "of two tiles, other depths and a stretched rotation": {
        "vision_config": {
            **VISION,
            **{"max_num_tiles": 2, "supported_aspect_ratios": [[1, 1], [1, 2], [2, 1]]},
            **{"num_global_layers": 1, "intermediate_layers_indices": [1], "image_size": 21},
            **{"vision_output_dim": 64, "hidden_act": "quick_gelu", "norm_eps": 1e-3},
        },
        "text_config": {
            **TEXT,
            **{"cross_attention_layers": [0], "rope_parameters": STRETCHED},
            **{"rms_norm_eps": 1e-3, "hidden_act": "gelu", "num_key_value_heads": 4},
        },
    },
}
