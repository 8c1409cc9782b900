"""Jamba: Mamba and attention, dense and sparse feed-forwards, wherever they stand."""

from parity.case import Case

SMALL = {
    "vocab_size": 99,
    "hidden_size": 48,
    "intermediate_size": 40,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "num_experts": 6,
    "num_experts_per_tok": 2,
    "attn_layer_period": 3,
    "attn_layer_offset": 1,
    "expert_layer_period": 2,
    "expert_layer_offset": 1,
    "mamba_d_state": 8,
    "max_position_embeddings": 128,
    "pad_token_id": 0,
}

CASES = [
    Case("jamba", "plain", SMALL, gguf="ours"),
    Case("jamba", "tied", {**SMALL, "tie_word_embeddings": True}, gguf="ours"),
    Case("jamba", "biases", {**SMALL, "mamba_proj_bias": True, "mamba_conv_bias": False}),
    Case(
        "jamba",
        "sizes",
        {**SMALL, "mamba_d_conv": 3, "mamba_expand": 1, "mamba_dt_rank": 5},
        gguf="ours",
    ),
    Case(
        "jamba",
        "placement",
        {**SMALL, "attn_layer_offset": 0, "expert_layer_period": 3, "expert_layer_offset": 2},
        gguf="ours",
    ),
    Case("jamba", "one-expert", {**SMALL, "num_experts": 1, "num_experts_per_tok": 1}, gguf="ours"),
    Case("jamba", "three-active", {**SMALL, "num_experts_per_tok": 3}, gguf="ours"),
    Case("jamba", "gelu", {**SMALL, "hidden_act": "gelu"}),
    Case("jamba", "epsilon", {**SMALL, "rms_norm_eps": 0.1}),
    Case("jamba", "past-a-chunk", SMALL, length=70),
]
