"""Qwen2-MoE and Qwen3-MoE."""

from parity.case import Case
from parity.cases import olmoe

SMALL = {**olmoe.SMALL, "num_hidden_layers": 3, "moe_intermediate_size": 32}
SECOND = {**SMALL, "shared_expert_intermediate_size": 40}
THIRD = {**SMALL, "head_dim": 20}

CASES = [
    Case("qwen2_moe", "plain", SECOND, gguf="ours"),
    Case("qwen2_moe", "renormalised", {**SECOND, "norm_topk_prob": True, "qkv_bias": False}),
    Case("qwen2_moe", "every-second-layer", {**SECOND, "decoder_sparse_step": 2}),
    Case("qwen2_moe", "dense-first", {**SECOND, "mlp_only_layers": [0]}),
    Case(
        "qwen2_moe",
        "windows",
        {
            **SECOND,
            "use_sliding_window": True,
            "sliding_window": 7,
            "max_window_layers": 2,
        },
    ),
    Case("qwen3_moe", "plain", THIRD),
    Case("qwen3_moe", "as-published", {**THIRD, "norm_topk_prob": True}, gguf="ours"),
    Case("qwen3_moe", "renormalised", {**THIRD, "norm_topk_prob": True, "attention_bias": True}),
    Case("qwen3_moe", "dense-last", {**THIRD, "mlp_only_layers": [2]}),
    Case(
        "qwen3_moe",
        "window-tied",
        {
            **THIRD,
            "use_sliding_window": True,
            "sliding_window": 7,
            "tie_word_embeddings": True,
        },
    ),
]
