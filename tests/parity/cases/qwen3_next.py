"""Qwen3-Next: the delta rule and gated attention, dense and sparse."""

from parity.case import Case

SMALL = {
    "vocab_size": 99,
    "hidden_size": 48,
    "intermediate_size": 40,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "linear_key_head_dim": 12,
    "linear_value_head_dim": 8,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 6,
    "moe_intermediate_size": 24,
    "shared_expert_intermediate_size": 20,
    "num_experts": 6,
    "num_experts_per_tok": 2,
    "max_position_embeddings": 128,
    # The delta rule's results may come near zero; the norm after it would magnify their rounding.
    "rms_norm_eps": 1e-3,
}
ALTERNATING = ["full_attention", "linear_attention"] * 2
WHOLE = {"rope_parameters": {"rope_theta": 500.0, "partial_rotary_factor": 1.0}}

CASES = [
    Case("qwen3_next", "plain", SMALL, gguf="ours"),
    Case("qwen3_next", "published-epsilon", {**SMALL, "rms_norm_eps": 1e-6}),
    Case("qwen3_next", "tied", {**SMALL, "tie_word_embeddings": True}, gguf="ours"),
    Case("qwen3_next", "biases", {**SMALL, "attention_bias": True}),
    Case("qwen3_next", "layer-types", {**SMALL, "layer_types": ALTERNATING}, gguf="ours"),
    Case("qwen3_next", "interval", {**SMALL, "full_attention_interval": 2}),
    Case("qwen3_next", "dense-first", {**SMALL, "mlp_only_layers": [0]}, gguf="ours"),
    Case("qwen3_next", "sparse-step", {**SMALL, "decoder_sparse_step": 2}),
    Case("qwen3_next", "not-renormalised", {**SMALL, "norm_topk_prob": False}),
    Case("qwen3_next", "kernel", {**SMALL, "linear_conv_kernel_dim": 3}, gguf="ours"),
    Case("qwen3_next", "heads-alone", {**SMALL, "linear_num_key_heads": 6}, gguf="ours"),
    Case("qwen3_next", "whole-rotary", {**SMALL, **WHOLE}, gguf="ours"),
    Case("qwen3_next", "gelu", {**SMALL, "hidden_act": "gelu"}),
    Case("qwen3_next", "epsilon", {**SMALL, "rms_norm_eps": 0.1}),
    Case("qwen3_next", "past-a-chunk", SMALL, length=70),
]
