"""StableLM."""

from parity.case import Case
from parity.cases.llama import SMALL

# Of heads that are 16 wide, a quarter is two pairs.
WIDE = {**SMALL, "num_attention_heads": 3, "num_key_value_heads": 1}

CASES = [
    Case("stablelm", "quarter-turned", WIDE, gguf="transformers"),
    Case(
        "stablelm",
        "biases-tied",
        {**WIDE, "use_qkv_bias": True, "tie_word_embeddings": True},
        gguf="transformers",
    ),
    Case("stablelm", "parallel", {**WIDE, "use_parallel_residual": True}, gguf="transformers"),
    Case(
        "stablelm",
        "head-norms",
        {**SMALL, "qk_layernorm": True, "rope_parameters": {"partial_rotary_factor": 0.5}},
        gguf="ours",
    ),
]
