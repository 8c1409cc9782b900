"""StarCoder 2."""

from parity.case import Case

SMALL = {
    "vocab_size": 99,
    "hidden_size": 48,
    "intermediate_size": 80,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
}

CASES = [
    Case("starcoder2", "plain", SMALL, gguf="ours"),
    # transformers takes this size from nothing in a GGUF file but its tokenizer.
    Case("starcoder2", "full-table", {**SMALL, "vocab_size": 49152}, gguf="transformers"),
    Case("starcoder2", "window", {**SMALL, "sliding_window": 7}),
    Case("starcoder2", "no-biases", {**SMALL, "use_bias": False}, gguf="ours"),
    Case("starcoder2", "untied", {**SMALL, "tie_word_embeddings": False}, gguf="ours"),
    Case("starcoder2", "epsilon", {**SMALL, "norm_epsilon": 0.1, "hidden_act": "relu"}),
    Case("starcoder2", "base", {**SMALL, "rope_parameters": {"rope_theta": 500.0}}),
]
