"""Granite."""

from parity.case import Case
from parity.cases.llama import SMALL

SCALED = {
    **SMALL,
    "embedding_multiplier": 3.0,
    "attention_multiplier": 0.1,
    "residual_multiplier": 0.4,
    "logits_scaling": 5.0,
}

CASES = [
    Case("granite", "multipliers", SCALED, gguf="ours"),
    Case("granite", "no-multipliers", SMALL),
    Case("granite", "tied", {**SCALED, "tie_word_embeddings": True}, gguf="ours"),
    Case("granite", "biases", {**SCALED, "attention_bias": True, "mlp_bias": True}),
]
