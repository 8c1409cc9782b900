"""ModernBERT."""

from __future__ import annotations

from parity.encoder_case import EncoderCase

SMALL = {
    "vocab_size": 99,
    "hidden_size": 48,
    "intermediate_size": 80,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
    "local_attention": 6,  # shorter than the texts
    "global_attn_every_n_layers": 3,
    "pad_token_id": 1,
    "bos_token_id": 2,
    "eos_token_id": 3,
    "cls_token_id": 2,
    "sep_token_id": 3,
}
FIVE = {"id2label": {i: f"label {i}" for i in range(5)}}
BIASES = {
    "norm_bias": True,
    "attention_bias": True,
    "mlp_bias": True,
    "classifier_bias": True,
    "decoder_bias": False,
}
BASES = {
    "full_attention": {"rope_type": "default", "rope_theta": 900.0},
    "sliding_attention": {"rope_type": "default", "rope_theta": 50.0},
}


def _case(label: str, task: str, **changes: object) -> EncoderCase:
    return EncoderCase("modernbert", label, f"ModernBert{task}", {**SMALL, **changes})


CASES = [
    _case("hidden", "Model"),
    _case("biases", "Model", **BIASES),
    _case("bases", "Model", rope_parameters=BASES),
    _case("all-global", "Model", global_attn_every_n_layers=1),
    _case(
        "own-pattern",
        "Model",
        layer_types=["sliding_attention", "full_attention", "full_attention", "sliding_attention"],
    ),
    _case("tied", "ForMaskedLM"),
    _case("biases", "ForMaskedLM", **BIASES),
    _case("untied", "ForMaskedLM", tie_word_embeddings=False),
    _case("first", "ForSequenceClassification", **FIVE),
    _case("mean", "ForSequenceClassification", classifier_pooling="mean", **FIVE),
    _case("relu", "ForSequenceClassification", classifier_activation="relu", num_labels=1),
    _case("labels", "ForTokenClassification", **FIVE),
    _case("span", "ForQuestionAnswering"),
]
