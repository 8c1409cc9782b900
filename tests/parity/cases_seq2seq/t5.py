"""T5 and mT5."""

from __future__ import annotations

from parity.seq2seq_case import PairCase

SMALL = {
    "vocab_size": 99,
    "d_model": 48,
    "d_kv": 8,
    "d_ff": 80,
    "num_layers": 2,
    "num_decoder_layers": 3,
    "num_heads": 4,
    "relative_attention_num_buckets": 8,
    "relative_attention_max_distance": 20,  # shorter than the texts
    "decoder_start_token_id": 0,
}


def _case(
    label: str, model_type: str = "t5", own_output: bool = False, **changes: object
) -> PairCase:
    architecture = {"t5": "T5", "mt5": "MT5"}[model_type] + "ForConditionalGeneration"
    return PairCase(
        model_type,
        label,
        architecture,
        {**SMALL, **changes},
        own_output=own_output,
        gguf="relative_attention_max_distance" in changes,  # for which it has no key
    )


CASES = [
    _case("first-version"),
    _case("first-distances", relative_attention_max_distance=128),
    _case("gated", feed_forward_proj="gated-gelu", relative_attention_max_distance=128),
    _case("gated-silu", feed_forward_proj="gated-silu"),
    _case("gelu", feed_forward_proj="gelu"),
    _case("unscaled", tie_word_embeddings=False),
    _case(
        "version-1.1",
        own_output=True,
        feed_forward_proj="gated-gelu",
        tie_word_embeddings=False,
        relative_attention_max_distance=128,
    ),
    _case("even-layers", num_decoder_layers=2, layer_norm_epsilon=1e-3),
    _case("gated", "mt5", feed_forward_proj="gated-gelu"),
]
