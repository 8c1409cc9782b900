"""Mamba 2."""

from parity.case import Case

SMALL = {
    "vocab_size": 99,
    "hidden_size": 48,
    "num_heads": 6,
    "head_dim": 16,
    "n_groups": 2,
    "state_size": 8,
    "num_hidden_layers": 3,
    "pad_token_id": 0,
    "chunk_size": 16,
}

CASES = [
    Case("mamba2", "plain", SMALL, gguf="ours"),
    Case("mamba2", "tied", {**SMALL, "tie_word_embeddings": True}, gguf="ours"),
    Case("mamba2", "biases", {**SMALL, "use_bias": True}),
    Case("mamba2", "no-convolution-bias", {**SMALL, "use_conv_bias": False}, gguf="ours"),
    Case(
        "mamba2",
        "kernel",
        {**SMALL, "conv_kernel": 3, "expand": 1, "num_heads": 3, "n_groups": 3},
        gguf="ours",
    ),
    Case("mamba2", "one-group", {**SMALL, "n_groups": 1}, gguf="ours"),
    Case("mamba2", "gelu", {**SMALL, "hidden_act": "gelu"}),
    Case("mamba2", "epsilon", {**SMALL, "layer_norm_epsilon": 0.1}),
    Case("mamba2", "limited-time-step", {**SMALL, "time_step_limit": [0.4, 0.9]}),
    Case("mamba2", "bfloat16-stream", {**SMALL, "residual_in_fp32": False}),
    Case("mamba2", "past-a-chunk", SMALL, length=70),
]
