"""SmolLM 3."""

from parity.case import Case
from parity.cases.llama import SMALL

FOUR = {**SMALL, "num_hidden_layers": 4, "pad_token_id": 0}

CASES = [
    Case("smollm3", "every-fourth-unturned", FOUR, gguf="ours"),
    Case("smollm3", "every-second-unturned", {**FOUR, "no_rope_layer_interval": 2}),
    Case("smollm3", "unturned-named", {**FOUR, "no_rope_layers": [0, 1, 1, 0]}),
    Case("smollm3", "window-unused", {**FOUR, "sliding_window": 7}),
    Case("smollm3", "windows", {**FOUR, "use_sliding_window": True, "sliding_window": 7}),
    Case(
        "smollm3",
        "untied-biases",
        {**FOUR, "tie_word_embeddings": False, "attention_bias": True, "mlp_bias": True},
    ),
]
