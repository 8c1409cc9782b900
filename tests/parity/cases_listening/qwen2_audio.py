"""Qwen2-Audio."""

from __future__ import annotations

from parity.listening_case import VOCABULARY, ListeningCase
from parity.speech_case import WINDOW

SOUND = {
    "num_mel_bins": 16,
    "d_model": 48,
    "encoder_layers": 2,
    "encoder_attention_heads": 4,
    "encoder_ffn_dim": 80,
    "max_source_positions": WINDOW // 2,
}
TEXT = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "tie_word_embeddings": False,
}


def _case(label: str, sound: dict[str, object] | None = None, **text: object) -> ListeningCase:
    return ListeningCase("qwen2_audio", label, {**SOUND, **(sound or {})}, {**TEXT, **text})


CASES = [
    _case("plain"),
    _case("bands", {"num_mel_bins": 24, "encoder_attention_heads": 6}),
    _case("relu", {"activation_function": "relu", "scale_embedding": True}),
    _case("all-heads", num_key_value_heads=4, hidden_size=48),
]
