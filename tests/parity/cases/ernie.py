"""ERNIE 4.5 without experts."""

from parity.case import Case
from parity.cases.llama import SMALL

CASES = [
    Case("ernie4_5", "tied", {**SMALL, "head_dim": 16}, gguf="ours"),
    Case(
        "ernie4_5", "untied", {**SMALL, "head_dim": 12, "tie_word_embeddings": False}, gguf="ours"
    ),
    Case("ernie4_5", "biases", {**SMALL, "head_dim": 16, "use_bias": True}),
]
