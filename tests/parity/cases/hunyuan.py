"""Hunyuan V1, dense and with experts."""

from parity.case import Case
from parity.cases import olmoe

DENSE = {
    **{key: value for key, value in olmoe.SMALL.items() if "experts" not in key},
    "head_dim": 20,
}
SPARSE = {**DENSE, "num_experts": 6, "moe_topk": 2}
ALPHA = {"rope_type": "dynamic", "rope_theta": 10000.0, "alpha": 50.0, "factor": 1.0}

CASES = [
    Case("hunyuan_v1_dense", "plain", DENSE, gguf="ours"),
    Case(
        "hunyuan_v1_dense",
        "biases-tied",
        {
            **DENSE,
            "attention_bias": True,
            "tie_word_embeddings": True,
        },
    ),
    Case("hunyuan_v1_dense", "alpha", {**DENSE, "rope_parameters": ALPHA}),
    Case("hunyuan_v1_moe", "plain", SPARSE, gguf="ours"),
    Case("hunyuan_v1_moe", "by-layer", {**SPARSE, "moe_topk": [1, 3]}),
    Case(
        "hunyuan_v1_moe",
        "alpha-biases",
        {
            **SPARSE,
            "rope_parameters": ALPHA,
            "attention_bias": True,
        },
    ),
]
