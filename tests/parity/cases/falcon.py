"""Falcon in its three layouts."""

from parity.case import Case

SMALL = {
    "vocab_size": 99,
    "hidden_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
}
# The published file leaves the count unsaid, and converters then write one.
ONE_KEY_HEAD = {"attention.head_count_kv": 1}
GROUPED = {**SMALL, "new_decoder_architecture": True, "num_kv_heads": 2}
# The head counts are ones whose slopes bfloat16 cannot hold, so that its rounding shows.
ALIBI = {
    **SMALL,
    "hidden_size": 72,
    "num_attention_heads": 12,
    "alibi": True,
    "multi_query": False,
    "parallel_attn": False,
    "bias": True,
}
# Eager attention of the reference (5.23) adds the linear bias twice: once in the mask that it
# prepares for the fused path and once in the scores. Published weights were trained with one.
FUSED = "sdpa"

CASES = [
    Case("falcon", "7b", SMALL, gguf="ours", gguf_keys=ONE_KEY_HEAD),
    Case("falcon", "7b-bias", {**SMALL, "bias": True}, gguf="ours", gguf_keys=ONE_KEY_HEAD),
    Case("falcon", "7b-all-heads", {**SMALL, "multi_query": False}),
    Case("falcon", "7b-untied", {**SMALL, "tie_word_embeddings": False}),
    Case("falcon", "40b", GROUPED, gguf="ours"),
    Case("falcon", "40b-bias", {**GROUPED, "bias": True, "layer_norm_epsilon": 0.1}),
    Case("falcon", "11b-one-norm", {**GROUPED, "num_ln_in_parallel_attn": 1}, gguf="ours"),
    Case("falcon", "inner", {**GROUPED, "ffn_hidden_size": 80, "activation": "relu"}),
    Case("falcon", "base", {**GROUPED, "rope_parameters": {"rope_theta": 500.0}}),
    Case("falcon", "rw", ALIBI, attention=FUSED),
    Case("falcon", "rw-one-key-head", {**ALIBI, "multi_query": True}, attention=FUSED),
    Case("falcon", "rw-parallel", {**ALIBI, "parallel_attn": True}, attention=FUSED),
    Case("falcon", "sequential", {**SMALL, "parallel_attn": False, "multi_query": False}),
    Case(
        "falcon",
        "40b-alibi",
        {**ALIBI, "new_decoder_architecture": True, "num_kv_heads": 3, "parallel_attn": True},
        attention=FUSED,
    ),
]
