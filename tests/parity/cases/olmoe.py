"""OLMoE."""

from parity.case import Case
from parity.cases import mixtral

SMALL = {key: value for key, value in mixtral.SMALL.items() if key != "num_local_experts"}
SMALL |= {"num_experts": 8, "num_experts_per_tok": 3}

CASES = [
    Case("olmoe", "plain", SMALL, gguf="ours"),
    Case("olmoe", "renormalised", {**SMALL, "norm_topk_prob": True}),
    Case("olmoe", "clipped", {**SMALL, "clip_qkv": 0.4}, gguf="ours"),
    Case("olmoe", "biases-tied", {**SMALL, "attention_bias": True, "tie_word_embeddings": True}),
]
