"""GPT-J and CodeGen."""

from parity.case import Case

SMALL = {
    "vocab_size": 99,
    "n_embd": 48,
    "n_layer": 2,
    "n_head": 4,
    "n_positions": 64,
    "rotary_dim": 8,
}
VARIANTS = {
    "plain": {},
    "rotary-whole": {"rotary_dim": 12},
    "tied": {"tie_word_embeddings": True},
    "inner": {"n_inner": 80, "activation_function": "relu", "layer_norm_epsilon": 0.1},
}

CASES = [
    Case(model_type, label, {**SMALL, **variant})
    for model_type in ("gptj", "codegen")
    for label, variant in VARIANTS.items()
]
