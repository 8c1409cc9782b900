"""Nemotron and Minitron."""

from parity.case import Case
from parity.cases.llama import SMALL

CASES = [
    Case("nemotron", "half-turned", SMALL, gguf="transformers"),
    Case("nemotron", "wide-heads", {**SMALL, "head_dim": 20}, gguf="ours"),
    Case(
        "nemotron",
        "all-turned",
        {**SMALL, "rope_parameters": {"partial_rotary_factor": 1.0}},
        gguf="ours",
    ),
    Case(
        "nemotron",
        "biases-tied",
        {**SMALL, "attention_bias": True, "mlp_bias": True, "tie_word_embeddings": True},
    ),
]
