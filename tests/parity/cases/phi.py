"""Phi 1 to 2, and Phi 3 to 4."""

from parity.case import Case
from parity.cases.llama import SMALL

# Twelve dimensions a head: half of them are three pairs.
LONG = {
    "rope_type": "longrope",
    "rope_theta": 10000.0,
    "short_factor": [1.0, 1.1, 1.3, 1.6, 2.0, 2.5],
    "long_factor": [1.0, 1.5, 2.0, 3.0, 4.0, 6.0],
}
THIRD = {**SMALL, "pad_token_id": 0}


def _long(**more: object) -> dict[str, object]:
    """A model stretched to four times the 16 positions that it was made for."""
    return {**THIRD, "original_max_position_embeddings": 16, "rope_parameters": {**LONG, **more}}


CASES = [
    Case("phi", "half-turned", {**SMALL, "partial_rotary_factor": 0.5}, gguf="ours"),
    Case(
        "phi",
        "third-turned",
        {**SMALL, "rope_parameters": {"partial_rotary_factor": 0.34}, "hidden_act": "relu"},
    ),
    Case("phi", "head-norms", {**SMALL, "qk_layernorm": True}),
    Case("phi3", "fused", THIRD, gguf="ours"),
    Case(
        "phi3",
        "window-tied",
        {**THIRD, "sliding_window": 7, "tie_word_embeddings": True},
        gguf="ours",
    ),
    Case("phi3", "longrope-short", _long(), length=16),
    Case(
        "phi3",
        "longrope-long",
        _long(),
        length=40,
        batches=False,
        notes="follows the longest row",
        gguf="ours",
    ),
    Case(
        "phi3",
        "longrope-partial",
        {
            **_long(attention_factor=1.3, partial_rotary_factor=0.75),
            "num_attention_heads": 3,  # of 16 dimensions, of which 12 turn
            "num_key_value_heads": 1,
        },
        length=40,
        batches=False,
        notes="follows the longest row",
        gguf="ours",
    ),
]
