"""GPT-NeoX and Pythia."""

from parity.case import Case

SMALL = {
    "vocab_size": 99,
    "hidden_size": 64,
    "intermediate_size": 80,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
}


def _rotary(**law: object) -> dict[str, object]:
    rope = {"rope_theta": 10000.0, "partial_rotary_factor": 0.5, "rope_type": "default", **law}
    return {**SMALL, "rope_parameters": rope}


CASES = [
    Case("gpt_neox", "parallel", SMALL, gguf="ours"),
    Case("gpt_neox", "sequential", {**SMALL, "use_parallel_residual": False}, gguf="ours"),
    Case("gpt_neox", "tied", {**SMALL, "tie_word_embeddings": True}),
    Case("gpt_neox", "no-attention-bias", {**SMALL, "attention_bias": False}, gguf="ours"),
    Case("gpt_neox", "activation", {**SMALL, "hidden_act": "gelu_fast", "layer_norm_eps": 0.1}),
    Case("gpt_neox", "half-rotary", _rotary(rope_theta=500.0)),
    Case("gpt_neox", "linear", _rotary(rope_type="linear", factor=4.0)),
    Case("gpt_neox", "old-keys", {**SMALL, "rotary_pct": 0.75, "rotary_emb_base": 700}),
]
