"""Granite with experts."""

from parity.case import Case
from parity.cases import mixtral

MULTIPLIED = {
    **mixtral.SMALL,
    "embedding_multiplier": 3.0,
    "attention_multiplier": 0.4,
    "residual_multiplier": 0.6,
    "logits_scaling": 2.5,
}

CASES = [
    Case("granitemoe", "plain", mixtral.SMALL),
    Case("granitemoe", "multipliers", MULTIPLIED, gguf="ours"),
    Case(
        "granitemoe",
        "biases-tied",
        {**MULTIPLIED, "attention_bias": True, "tie_word_embeddings": True},
    ),
]
