"""Command R, R+ and R7B."""

from parity.case import Case
from parity.cases.llama import SMALL

SECOND = {**SMALL, "sliding_window": 7, "num_hidden_layers": 5}

CASES = [
    Case("cohere", "tied", SMALL, gguf="ours"),
    Case("cohere", "head-norms", {**SMALL, "use_qk_norm": True}, gguf="ours"),
    Case("cohere", "one-key-head-norm", {**SMALL, "use_qk_norm": True, "num_key_value_heads": 1}),
    Case(
        "cohere",
        "untied-biases",
        {**SMALL, "tie_word_embeddings": False, "attention_bias": True, "logit_scale": 0.5},
    ),
    Case("cohere2", "every-fourth-full", SECOND, gguf="ours"),
    Case("cohere2", "every-second-full", {**SECOND, "sliding_window_pattern": 2}),
    Case(
        "cohere2",
        "layers-named",
        {
            **{**SECOND, "num_hidden_layers": 3},
            "layer_types": ["full_attention", "sliding_attention", "full_attention"],
            "attention_bias": True,
            "logit_scale": 0.5,
        },
    ),
]
