"""gpt-oss, with its experts stored plainly; MXFP4 is proven in tests/checkpoint."""

from parity.case import Case
from parity.cases import mixtral

LAW = {
    "rope_type": "yarn",
    "rope_theta": 150000.0,
    "factor": 4.0,
    "beta_fast": 32.0,
    "beta_slow": 1.0,
    "truncate": False,
    "original_max_position_embeddings": 16,
}
SMALL = {
    **mixtral.SMALL,
    "num_hidden_layers": 3,
    "head_dim": 20,
    "num_experts_per_tok": 3,
    "sliding_window": 7,
    "rope_parameters": LAW,
}

# A converter writes the law under these names; that its ramp is not rounded goes without saying.
SCALED = {
    "rope.scaling.type": "yarn",
    "rope.scaling.factor": 4.0,
    "rope.scaling.original_context_length": 16,
    "rope.scaling.yarn_beta_fast": 32.0,
    "rope.scaling.yarn_beta_slow": 1.0,
}

CASES = [
    Case("gpt_oss", "plain", SMALL, length=40, gguf="ours", gguf_keys=SCALED),
    Case("gpt_oss", "truncated", {**SMALL, "rope_parameters": {**LAW, "truncate": True}}),
    Case("gpt_oss", "tight-limit", {**SMALL, "swiglu_limit": 0.5, "swiglu_alpha": 1.2}),
    Case("gpt_oss", "no-biases", {**SMALL, "attention_bias": False, "tie_word_embeddings": True}),
    Case("gpt_oss", "full", {**SMALL, "layer_types": ["full_attention"] * 3}),
]
