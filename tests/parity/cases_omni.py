"""Tiny models that read, see and hear, with every switch of their configurations thrown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

CONTROL = (
    *("</s>", "<image>", "<turn>", "<video>", "<sound>", "<seen>", "</seen>", "<heard>"),
    *("</heard>", "<pad>"),
)
IDS: Mapping[str, int] = {token: 256 + place for place, token in enumerate(CONTROL)}
TEMPLATE = (
    "{% for message in messages %}<turn>{{ message['role'] }}: "
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<seen><image></seen>"
    "{% elif part['type'] == 'video' %}<seen><video></seen>"
    "{% elif part['type'] == 'audio' %}<heard><sound></heard>"
    "{% else %}{{ part['text'] }}{% endif %}{% endfor %}</s>{% endfor %}"
    "{% if add_generation_prompt %}<turn>assistant: {% endif %}"
)
VISION: dict[str, Any] = {
    **{"depth": 2, "hidden_size": 32, "intermediate_size": 48, "num_heads": 2},
    **{"out_hidden_size": 48, "patch_size": 4, "window_size": 16, "fullatt_block_indexes": [1]},
}
AUDIO: dict[str, Any] = {
    **{"d_model": 32, "encoder_layers": 2, "encoder_attention_heads": 4, "encoder_ffn_dim": 64},
    **{"num_mel_bins": 16, "n_window": 10, "output_dim": 48},
}
TEXT: dict[str, Any] = {
    **{"hidden_size": 48, "intermediate_size": 64, "num_hidden_layers": 2},
    **{"num_attention_heads": 2, "num_key_value_heads": 1, "vocab_size": 256 + len(CONTROL)},
    **{"max_position_embeddings": 512, "bos_token_id": 1, "eos_token_id": IDS["</s>"]},
    "rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [4, 3, 5]},
}
TOKENS: dict[str, Any] = {
    **{"audio_token_index": IDS["<sound>"], "image_token_index": IDS["<image>"]},
    **{"video_token_index": IDS["<video>"], "audio_start_token_id": IDS["<heard>"]},
    **{"audio_end_token_id": IDS["</heard>"], "vision_start_token_id": IDS["<seen>"]},
}
CASES: Mapping[str, Mapping[str, Any]] = {
    "qwen2_5_omni_thinker": {
        **{"vision_config": VISION, "audio_config": AUDIO, "text_config": TEXT},
        **TOKENS,
    },
    "tied, shorter pieces, other rates": {
        "vision_config": {**VISION, "hidden_act": "gelu", "window_size": 24},
        "audio_config": {**AUDIO, "n_window": 4, "activation_function": "relu"},
        "text_config": {**TEXT, "hidden_act": "gelu", "rms_norm_eps": 1e-3},
        "position_id_per_seconds": 7,
        "tie_word_embeddings": True,
        **TOKENS,
    },
}
WHOLE = "within the whole, beside what speaks"
