"""Whisper, and the shapes of what was distilled from it."""

from __future__ import annotations

from parity.speech_case import END, START, VOCABULARY, WINDOW, SpeechCase

SMALL = {
    "vocab_size": VOCABULARY,
    "num_mel_bins": 16,
    "d_model": 48,
    "encoder_layers": 2,
    "decoder_layers": 3,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 6,
    "encoder_ffn_dim": 80,
    "decoder_ffn_dim": 72,
    "max_source_positions": WINDOW // 2,
    "max_target_positions": 40,
    "pad_token_id": END,
    "bos_token_id": END,
    "eos_token_id": END,
    "decoder_start_token_id": START,
}


def _case(label: str, architecture: str = "", **changes: object) -> SpeechCase:
    named = {"architecture": architecture} if architecture else {}
    return SpeechCase("whisper", label, {**SMALL, **changes}, **named)


CASES = [
    _case("plain"),
    _case("untied", tie_word_embeddings=False),
    _case("scaled-is-ignored", scale_embedding=True),
    _case("bands", num_mel_bins=24),
    _case("relu", activation_function="relu"),
    _case("distilled", encoder_layers=4, decoder_layers=1),
    _case("bare", "WhisperModel"),
]
