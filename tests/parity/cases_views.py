"""Tiny models that see pictures in tiles or at their own size, every switch thrown in some case."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

CONTROL = (
    *("</s>", "<image>", "<turn>", "<video>", "<fake_token_around_image>", "<global-img>"),
    *("<row_1_col_1>", "<row_1_col_2>", "<pad>", "<bos>"),
    *("<start_of_image>", "<end_of_image>", "<image_soft_token>"),
)
IDS: Mapping[str, int] = {token: 256 + place for place, token in enumerate(CONTROL)}
VOCABULARY = 256 + len(CONTROL)
TEMPLATE = (
    "{% for message in messages %}<turn>{{ message['role'] }}: "
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image>AFTER{% elif part['type'] == 'video' %}<video>AFTER"
    "{% else %}{{ part['text'] }}{% endif %}{% endfor %}</s>{% endfor %}"
    "{% if add_generation_prompt %}<turn>assistant: {% endif %}"
)
LLAMA: dict[str, Any] = {
    "model_type": "llama",
    **{"hidden_size": 48, "intermediate_size": 64, "num_hidden_layers": 2},
    **{"num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": VOCABULARY},
    "max_position_embeddings": 512,
}
SIGLIP: dict[str, Any] = {
    **{"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2},
    **{"num_attention_heads": 4, "image_size": 32, "patch_size": 8},
}
QWEN: dict[str, Any] = {
    **{"hidden_size": 48, "intermediate_size": 64, "num_hidden_layers": 2},
    **{"num_attention_heads": 2, "num_key_value_heads": 1, "vocab_size": VOCABULARY},
    **{"max_position_embeddings": 512, "bos_token_id": 1, "eos_token_id": IDS["</s>"]},
    "rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [4, 3, 5]},
}
GEMMA: dict[str, Any] = {
    **{"hidden_size": 48, "intermediate_size": 64, "num_hidden_layers": 2, "head_dim": 12},
    **{"num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": VOCABULARY},
    **{"max_position_embeddings": 512, "bos_token_id": 1, "eos_token_id": IDS["</s>"]},
    "pad_token_id": IDS["<pad>"],
}
KINDS = ["sliding_attention", "full_attention"]
SLIDING = {"query_pre_attn_scalar": 12, "sliding_window": 24}
PANED: dict[str, Any] = {
    **{"depth": 3, "hidden_size": 32, "intermediate_size": 48, "num_heads": 2},
    **{"out_hidden_size": 48, "patch_size": 4, "window_size": 16, "fullatt_block_indexes": [1]},
    "tokens_per_second": 3,
}
IN_TILES = {
    "image_processor_type": "Idefics3ImageProcessor",
    "max_image_size": {"longest_edge": 32},
}
AT_ITS_OWN = {"image_processor_type": "Qwen2VLImageProcessor", "patch_size": 4}


@dataclass(frozen=True)
class Case:
    """A configuration of the reference's, and what its publisher's file about pictures says."""

    model_type: str
    config: Mapping[str, Any]
    preparing: Mapping[str, Any] = field(default_factory=dict)
    videos: bool = False

    @property
    def in_tiles(self) -> bool:
        return "max_image_size" in self.preparing

    @property
    def after(self) -> str:
        """What stands after each picture; Qwen's need something between two of them."""
        return "\n" if self.videos else ""

    @property
    def template(self) -> str | None:
        """The chat template; PaliGemma has none."""
        if self.model_type == "paligemma":
            return None
        mark = "<start_of_image>" if self.model_type == "gemma3" else "<image>"
        return TEMPLATE.replace("<image>", mark).replace("AFTER", self.after)


def tiled(model_type: str, text: Mapping[str, Any] = LLAMA, **changed: Any) -> Case:
    """Return a case of pictures cut into tiles; `changed` are keys beside, and how it is cut."""
    cut = changed.pop("cut", True)
    vision = {**SIGLIP, **changed.pop("vision", {})}
    config = {"text_config": text, "vision_config": vision, "image_token_id": IDS["<image>"]}
    preparing = {**IN_TILES, "size": {"longest_edge": 64}, "do_image_splitting": cut}
    return Case(model_type, {**config, **changed}, preparing)


def native(model_type: str, vision: Mapping[str, Any], **changed: Any) -> Case:
    """Return a case of pictures and videos at their own size."""
    ids = {"image_token_id": IDS["<image>"], "video_token_id": IDS["<video>"]}
    text = {**QWEN, **changed.pop("text", {})}
    preparing = {**AT_ITS_OWN, "min_pixels": 64, "max_pixels": 48 * 40}
    return Case(
        model_type,
        {"text_config": text, "vision_config": vision, **ids, **changed},
        preparing,
        videos=True,
    )


def gemma(model_type: str, text: Mapping[str, Any], size: int = 32, **changed: Any) -> Case:
    """Return a case of pictures of one size, all of whose places see one another."""
    soft = "<image_soft_token>" if model_type == "gemma3" else "<image>"
    ids = {"image_token_id": IDS[soft], "image_token_index": IDS[soft]}
    if model_type == "gemma3":
        ids |= {"boi_token_index": IDS["<start_of_image>"], "boi_token_id": IDS["<start_of_image>"]}
    kind = "Gemma3ImageProcessor" if model_type == "gemma3" else "SiglipImageProcessor"
    vision = {**SIGLIP, "model_type": "siglip_vision_model", "vision_use_head": False}
    config = {"text_config": {**GEMMA, **text}, "vision_config": vision, **ids, **changed}
    preparing = {"image_processor_type": kind, "size": {"height": size, "width": size}}
    return Case(model_type, config, preparing)


CASES: Mapping[str, Case] = {
    "idefics3": tiled("idefics3"),
    "idefics3, seen as one, tied": tiled(
        "idefics3",
        cut=False,
        scale_factor=4,
        tie_word_embeddings=True,
        vision={"hidden_act": "relu", "layer_norm_eps": 1e-3},
    ),
    "idefics3, tiles beyond its positions, other text": tiled(
        "idefics3", {**LLAMA, "model_type": "qwen2"}, vision={"image_size": 24}, scale_factor=1
    ),
    "smolvlm": tiled("smolvlm"),
    "qwen2_5_vl": native("qwen2_5_vl", PANED),
    "qwen2_5_vl, tied, larger patches, other panes": native(
        "qwen2_5_vl",
        {**PANED, "window_size": 24, "hidden_act": "gelu", "tokens_per_second": 2},
        text={"rope_parameters": {**QWEN["rope_parameters"], "rope_theta": 1e6}},
        tie_word_embeddings=True,
    ),
    "qwen2_vl": native(
        "qwen2_vl",
        {
            **{"depth": 2, "embed_dim": 32, "num_heads": 2, "mlp_ratio": 2},
            **{"hidden_size": 48, "patch_size": 4},
        },
    ),
    "paligemma": gemma("paligemma", {"model_type": "gemma"}, projection_dim=48),
    "paligemma 2": gemma("paligemma", {"model_type": "gemma2", **SLIDING}, projection_dim=48),
    "gemma3": gemma("gemma3", {**SLIDING, "layer_types": KINDS}, mm_tokens_per_image=4),
    "gemma3, no states joined, a window shorter than a picture": gemma(
        "gemma3",
        {**SLIDING, "sliding_window": 6, "layer_types": KINDS},
        mm_tokens_per_image=16,
    ),
}
