"""Mixtral."""

from parity.case import Case

SMALL = {
    "vocab_size": 99,
    "hidden_size": 48,
    "intermediate_size": 40,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "num_local_experts": 6,
    "num_experts_per_tok": 2,
}

CASES = [
    Case("mixtral", "two-of-six", SMALL, gguf="ours"),
    Case("mixtral", "one-of-six", {**SMALL, "num_experts_per_tok": 1}),
    Case("mixtral", "all", {**SMALL, "num_experts_per_tok": 6, "hidden_act": "gelu"}),
    Case("mixtral", "window", {**SMALL, "sliding_window": 7, "head_dim": 20}),
    Case("mixtral", "tied", {**SMALL, "tie_word_embeddings": True}),
]
