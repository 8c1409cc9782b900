"""Gemma 1, 2 and 3's text part."""

from parity.case import Case
from parity.cases.llama import SMALL

HEADS = {**SMALL, "head_dim": 16}
SECOND = {**HEADS, "sliding_window": 7, "query_pre_attn_scalar": 24, "num_hidden_layers": 3}
THIRD = {**SECOND, "sliding_window_pattern": 3, "num_hidden_layers": 4}
TWO_BASES = {
    "full_attention": {"rope_type": "linear", "factor": 4.0, "rope_theta": 5000.0},
    "sliding_attention": {"rope_type": "default", "rope_theta": 100.0},
}

# The scale of scores that GGUF does not state, and that transformers takes for granted there.
PUBLISHED = {
    "head_dim": 256,
    "query_pre_attn_scalar": 256,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
}

CASES = [
    Case("gemma", "grouped", HEADS, gguf="ours"),
    Case("gemma", "gelu-means-tanh", {**HEADS, "hidden_act": "gelu"}),
    Case("gemma", "untied-biases", {**HEADS, "tie_word_embeddings": False, "attention_bias": True}),
    Case("gemma2", "caps-and-windows", SECOND),
    Case(
        "gemma2",
        "tight-caps",
        {**SECOND, "attn_logit_softcapping": 2.0, "final_logit_softcapping": 1.5},
    ),
    Case(
        "gemma2",
        "no-caps",
        {**SECOND, "attn_logit_softcapping": None, "final_logit_softcapping": None},
    ),
    Case(
        "gemma2",
        "layers-named",
        {**SECOND, "layer_types": ["full_attention", "full_attention", "sliding_attention"]},
    ),
    Case(
        "gemma2",
        "gelu-untied",
        {**SECOND, "hidden_activation": "gelu", "tie_word_embeddings": False},
    ),
    Case("gemma3_text", "two-bases", {**THIRD, "rope_parameters": TWO_BASES}, length=40),
    Case("gemma3_text", "default-bases", {**THIRD, "attention_bias": True}),
    Case("gemma3_text", "capped-output", {**THIRD, "final_logit_softcapping": 1.5}),
    Case("gemma3_text", "untied", {**THIRD, "tie_word_embeddings": False}),
    Case("gemma2", "published-scale", {**SECOND, **PUBLISHED}, gguf="transformers"),
    Case("gemma2", "own-scale", {**SECOND, "query_pre_attn_scalar": 16}, gguf="ours"),
    Case(
        "gemma3_text",
        "published-scale",
        {**HEADS, **PUBLISHED, "sliding_window": 7, "num_hidden_layers": 6},
        gguf="transformers",
    ),
]
