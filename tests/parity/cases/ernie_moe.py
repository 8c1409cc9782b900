"""ERNIE 4.5 with experts."""

from parity.case import Case

SMALL = {
    "vocab_size": 99,
    "hidden_size": 48,
    "intermediate_size": 80,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "moe_intermediate_size": 32,
    "moe_num_experts": 6,
    "moe_k": 2,
    "tie_word_embeddings": False,
}

CASES = [
    Case("ernie4_5_moe", "plain", SMALL, gguf="ours"),
    Case("ernie4_5_moe", "tied", {**SMALL, "tie_word_embeddings": True}, gguf="ours"),
    Case("ernie4_5_moe", "biases", {**SMALL, "use_bias": True}),
    Case("ernie4_5_moe", "no-shared", {**SMALL, "moe_num_shared_experts": 0}),
    Case("ernie4_5_moe", "every-second", {**SMALL, "moe_layer_interval": 2, "moe_norm_min": 0.9}),
    Case("ernie4_5_moe", "middle", {**SMALL, "moe_layer_start_index": 0, "moe_layer_end_index": 1}),
]
