"""GPT-2, GPT-BigCode and GPT-Neo."""

from parity.case import Case

SMALL = {"vocab_size": 99, "n_embd": 48, "n_layer": 2, "n_head": 4, "n_positions": 64}
NEO = {
    "vocab_size": 99,
    "hidden_size": 48,
    "num_layers": 4,
    "num_heads": 4,
    "max_position_embeddings": 64,
    "window_size": 7,
    "attention_types": [[["global", "local"], 2]],
}

CASES = [
    Case("gpt2", "plain", SMALL),
    # transformers takes these sizes from nothing in a GGUF file but its tokenizer.
    Case(
        "gpt2",
        "full-tables",
        {**SMALL, "n_positions": 1024, "vocab_size": 50257},
        gguf="transformers",
    ),
    Case("gpt2", "inner", {**SMALL, "n_inner": 80, "activation_function": "relu"}),
    Case("gpt2", "untied", {**SMALL, "n_inner": 80, "tie_word_embeddings": False}, gguf="ours"),
    Case("gpt2", "epsilon", {**SMALL, "layer_norm_epsilon": 0.1}),
    Case("gpt2", "unscaled", {**SMALL, "scale_attn_weights": False}),
    Case("gpt2", "scaled-by-layer", {**SMALL, "scale_attn_by_inverse_layer_idx": True}),
    Case("gpt2", "reordered", {**SMALL, "reorder_and_upcast_attn": True}),
    Case("gpt_bigcode", "one-key-head", SMALL, gguf="ours"),
    Case("gpt_bigcode", "all-heads", {**SMALL, "multi_query": False}),
    Case("gpt_bigcode", "unscaled", {**SMALL, "scale_attn_weights": False, "n_inner": 80}),
    Case("gpt_bigcode", "untied", {**SMALL, "tie_word_embeddings": False}),
    Case("gpt_neo", "turns", NEO),
    Case("gpt_neo", "uneven", {**NEO, "attention_types": [[["local"], 3], [["global"], 1]]}),
    Case(
        "gpt_neo",
        "inner",
        {**NEO, "intermediate_size": 80, "activation_function": "relu", "layer_norm_epsilon": 0.1},
    ),
    Case("gpt_neo", "untied", {**NEO, "tie_word_embeddings": False}),
]
