"""BART, mBART, Pegasus and Marian."""

from __future__ import annotations

from parity.seq2seq_case import PairCase

SMALL = {
    "vocab_size": 99,
    "d_model": 48,
    "encoder_layers": 2,
    "decoder_layers": 3,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 6,
    "encoder_ffn_dim": 80,
    "decoder_ffn_dim": 72,
    "max_position_embeddings": 40,
    "pad_token_id": 1,
    "eos_token_id": 2,
    "forced_eos_token_id": 2,
    "decoder_start_token_id": 2,
}
NAMES = {
    "bart": "BartForConditionalGeneration",
    "mbart": "MBartForConditionalGeneration",
    "pegasus": "PegasusForConditionalGeneration",
    "marian": "MarianMTModel",
}
# Waves that the reference stores and we compute; a table that nothing reads once all are untied.
LOST = (
    "model.encoder.embed_positions.weight",
    "model.decoder.embed_positions.weight",
    "model.shared.weight",
)


def _case(model_type: str, label: str, **changes: object) -> PairCase:
    lost = LOST[:2] if model_type == "pegasus" else ()
    lost += LOST[2:] if label == "untied" else ()
    return PairCase(model_type, label, NAMES[model_type], {**SMALL, **changes}, lost=lost)


CASES = [
    *(
        case
        for name in NAMES
        for case in (
            _case(name, "plain"),
            _case(name, "scaled", scale_embedding=True),
            _case(name, "relu", activation_function="relu"),
            _case(name, "untied", tie_word_embeddings=False),
        )
    ),
    _case(
        "marian",
        "two-vocabularies",
        share_encoder_decoder_embeddings=False,
        decoder_vocab_size=77,
    ),
]
