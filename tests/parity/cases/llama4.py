"""Llama 4's text model."""

from parity.case import Case

SMALL = {
    "vocab_size": 99,
    "hidden_size": 48,
    "intermediate_size": 40,
    "intermediate_size_mlp": 64,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 12,
    "max_position_embeddings": 64,
    "num_local_experts": 6,
    "pad_token_id": 0,
    "attention_chunk_size": 7,
    "floor_scale": 4,
    "attn_scale": 0.3,
}

LAW = {
    "rope_type": "llama3",
    "rope_theta": 500.0,
    "factor": 4.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}

CASES = [
    Case("llama4_text", "all-sparse", SMALL),
    Case("llama4_text", "interleaved", {**SMALL, "interleave_moe_layer_step": 2}),
    Case("llama4_text", "named-sparse", {**SMALL, "moe_layers": [0, 3], "num_experts_per_tok": 2}),
    Case("llama4_text", "no-norms", {**SMALL, "use_qk_norm": False, "attention_bias": True}),
    Case("llama4_text", "no-temperature", {**SMALL, "attn_temperature_tuning": False}),
    Case("llama4_text", "positions-named", {**SMALL, "no_rope_layers": [0, 1, 0, 1]}),
    Case("llama4_text", "llama3-law", {**SMALL, "rope_parameters": LAW}, length=40),
    Case(
        "llama4_text",
        "as-published",
        {**SMALL, "attention_chunk_size": 8192, "floor_scale": 8192, "attn_scale": 0.1},
        gguf="ours",
    ),
    Case("llama4_text", "tied", {**SMALL, "tie_word_embeddings": True}),
]
