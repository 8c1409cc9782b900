"""Mamba and Falcon-Mamba."""

from parity.case import Case

SMALL = {
    "vocab_size": 99,
    "hidden_size": 48,
    "state_size": 8,
    "num_hidden_layers": 3,
    "tie_word_embeddings": False,
    "pad_token_id": 0,
}

CASES = [
    Case("mamba", "plain", SMALL, gguf="ours"),
    Case("mamba", "tied", {**SMALL, "tie_word_embeddings": True}, gguf="ours"),
    Case("mamba", "biases", {**SMALL, "use_bias": True}),
    Case("mamba", "no-convolution-bias", {**SMALL, "use_conv_bias": False}, gguf="ours"),
    Case("mamba", "kernel", {**SMALL, "conv_kernel": 3, "expand": 1}, gguf="ours"),
    Case("mamba", "rank", {**SMALL, "time_step_rank": 5}, gguf="ours"),
    Case("mamba", "gelu", {**SMALL, "hidden_act": "gelu"}),
    Case("mamba", "epsilon", {**SMALL, "layer_norm_epsilon": 0.1}),
    Case("mamba", "bfloat16-stream", {**SMALL, "residual_in_fp32": False}),
    Case("mamba", "past-a-chunk", SMALL, length=70, gguf="ours"),
    Case("falcon_mamba", "plain", SMALL),
    Case("falcon_mamba", "norm-epsilon", {**SMALL, "mixer_rms_eps": 0.1}),
]
