"""Llama and Mistral."""

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


def _scaled(**scaling: object) -> dict[str, object]:
    """A model stretched to four times the 16 positions that it was made for."""
    rope = {"rope_theta": 10000.0, "original_max_position_embeddings": 16, **scaling}
    return {**SMALL, "rope_parameters": rope}


CASES = [
    Case("llama", "grouped", SMALL, gguf="transformers"),
    Case("llama", "one-key-head", {**SMALL, "num_key_value_heads": 1}, gguf="transformers"),
    Case("llama", "all-heads", {**SMALL, "num_key_value_heads": 4}),
    Case("llama", "tied", {**SMALL, "tie_word_embeddings": True}, gguf="transformers"),
    Case("llama", "biases", {**SMALL, "attention_bias": True, "mlp_bias": True}, gguf="ours"),
    Case("llama", "wide-heads", {**SMALL, "head_dim": 20}, gguf="ours"),
    Case("llama", "gelu", {**SMALL, "hidden_act": "gelu"}),
    Case("llama", "base", {**SMALL, "rope_parameters": {"rope_theta": 500.0}}, gguf="transformers"),
    Case("llama", "linear", _scaled(rope_type="linear", factor=4.0)),
    Case(
        "llama",
        "dynamic",
        {**_scaled(rope_type="dynamic", factor=4.0), "max_position_embeddings": 16},
        length=40,
        batches=False,  # the angles depend on the longest row
    ),
    Case(
        "llama",
        "llama3",
        _scaled(rope_type="llama3", factor=4.0, low_freq_factor=1.0, high_freq_factor=4.0),
        length=40,
    ),
    Case("llama", "yarn", _scaled(rope_type="yarn", factor=4.0), length=40),
    Case(
        "llama",
        "yarn-attention",
        _scaled(rope_type="yarn", factor=4.0, attention_factor=1.3, beta_fast=8.0, beta_slow=2.0),
        length=40,
    ),
    Case("mistral", "window", {**SMALL, "sliding_window": 7}),
    Case("mistral", "no-window", {**SMALL, "sliding_window": None}),
]
