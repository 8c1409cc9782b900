"""Tiny models that see and write, with every switch of their configurations thrown in some case."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

BYTES = 256
CONTROL = ("</s>", "<image>", "<turn>")
PLACEHOLDER = BYTES + CONTROL.index("<image>")
VOCABULARY = BYTES + len(CONTROL)
# As the publisher's, in short: a place for each picture, then what is said.
TEMPLATE = (
    "{% for message in messages %}<turn>{{ message['role'] }}: "
    "{% if message['content'] is string %}{{ message['content'] }}"
    "{% else %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image>\n{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endif %}</s>{% endfor %}"
    "{% if add_generation_prompt %}<turn>assistant: {% endif %}"
)
CLIP = {
    "model_type": "clip_vision_model",
    **{"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3},
    **{"num_attention_heads": 4, "image_size": 32, "patch_size": 8, "projection_dim": 16},
}
SIGLIP = {
    "model_type": "siglip_vision_model",
    **{"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3},
    **{"num_attention_heads": 4, "image_size": 32, "patch_size": 8},
    "vision_use_head": False,
}
LLAMA = {
    "model_type": "llama",
    **{"hidden_size": 48, "intermediate_size": 64, "num_hidden_layers": 2},
    **{"num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": VOCABULARY},
    "max_position_embeddings": 128,
}


@dataclass(frozen=True)
class Case:
    """A configuration of the reference's, by the name of its class there."""

    architecture: str
    config: Mapping[str, object] = field(default_factory=dict)
    places: int = 16  # of a prompt that a picture of 32 × 32 takes


CASES: Mapping[str, Case] = {
    "llava": Case("Llava", {"vision_config": CLIP, "text_config": LLAMA}),
    "llava, the summary kept and other switches": Case(
        "Llava",
        {
            "vision_config": CLIP,
            "text_config": {**LLAMA, "model_type": "mistral", "sliding_window": 8},
            "vision_feature_select_strategy": "full",
            "vision_feature_layer": 1,
            "projector_hidden_act": "relu",
            "multimodal_projector_bias": False,
        },
        places=17,
    ),
    "llava of several depths": Case(
        "Llava",
        {
            "vision_config": CLIP,
            "text_config": {**LLAMA, "model_type": "qwen2"},
            "vision_feature_layer": [-3, -1],
        },
    ),
    "llava by siglip": Case(
        "Llava",
        {
            "vision_config": SIGLIP,
            "text_config": LLAMA,
            "vision_feature_select_strategy": "full",
            "vision_feature_layer": -1,
        },
    ),
}
