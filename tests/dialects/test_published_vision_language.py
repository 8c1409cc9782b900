"""Published configurations of models that see and write, as their files state them, their sizes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from fathom.checkpoint.published import published_spec
from fathom.errors import ConfigError
from fathom.spec.classes import model_class
from fathom.spec.parts import count
from fathom.spec.picture_sizes import WHOLE
from fathom.spec.vision_language import VisionLanguage

SHAPE_OPTIMISED = {
    **{"hidden_size": 1152, "intermediate_size": 4304, "num_hidden_layers": 27},
    **{"num_attention_heads": 16, "patch_size": 14, "model_type": "idefics3"},
}
BASE = {
    **{"hidden_size": 768, "image_size": 512, "intermediate_size": 3072, "patch_size": 16},
    **{"num_attention_heads": 12, "max_image_size": {"longest_edge": 512}},
    **{"model_type": "idefics3", "size": {"longest_edge": 2048}, "tie_word_embeddings": False},
}
SMOLLM = {"model_type": "llama", "rms_norm_eps": 1e-05, "rope_theta": 100000}
SMOLVLM = {"model_type": "idefics3", "tie_word_embeddings": False}
QWEN: dict[str, Any] = {
    **{"architectures": ["Qwen2_5_VLForConditionalGeneration"], "model_type": "qwen2_5_vl"},
    **{"hidden_act": "silu", "image_token_id": 151655, "video_token_id": 151656},
    **{"max_position_embeddings": 128000, "max_window_layers": 28, "sliding_window": 32768},
    **{"rms_norm_eps": 1e-06, "rope_theta": 1000000.0, "use_sliding_window": False},
    "rope_scaling": {"type": "mrope", "mrope_section": [16, 24, 24]},
}
PANED: dict[str, Any] = {
    **{"depth": 32, "hidden_act": "silu", "hidden_size": 1280, "intermediate_size": 3420},
    **{"num_heads": 16, "in_chans": 3, "patch_size": 14, "spatial_merge_size": 2},
    **{"spatial_patch_size": 14, "window_size": 112, "fullatt_block_indexes": [7, 15, 23, 31]},
    **{"tokens_per_second": 2, "temporal_patch_size": 2},
}
SECOND: dict[str, Any] = {
    **{"depth": 32, "embed_dim": 1280, "mlp_ratio": 4, "num_heads": 16, "in_chans": 3},
    **{"patch_size": 14, "spatial_merge_size": 2, "temporal_patch_size": 2},
}


def qwen(width: int, inner: int, layers: int, heads: int, kv_heads: int, **more: Any) -> Any:
    """Return the text's sizes, stated at the top of the file."""
    return {
        **{"hidden_size": width, "intermediate_size": inner, "num_hidden_layers": layers},
        **{"num_attention_heads": heads, "num_key_value_heads": kv_heads},
        **{"vocab_size": 152064, "tie_word_embeddings": False},
        **more,
    }


SIGHT = {
    **SHAPE_OPTIMISED,
    **{"model_type": "siglip_vision_model", "vision_use_head": False, "projection_dim": 2048},
}
GEMMA_3: dict[str, Any] = {
    **{"architectures": ["Gemma3ForConditionalGeneration"], "model_type": "gemma3"},
    **{"boi_token_index": 255999, "eoi_token_index": 256000, "image_token_index": 262144},
    **{"mm_tokens_per_image": 256, "vision_config": {**SIGHT, "image_size": 896}},
}
GEMMA_3_TEXT: dict[str, Any] = {
    **{"model_type": "gemma3_text", "sliding_window": 1024},
    "rope_scaling": {"factor": 8.0, "rope_type": "linear"},
}
PALIGEMMA: dict[str, Any] = {
    **{"architectures": ["PaliGemmaForConditionalGeneration"], "model_type": "paligemma"},
    **{"image_token_index": 257152, "vision_config": SIGHT},
}
SMALL = {"vocab_size": 151936, "tie_word_embeddings": True}
# What is published, the parameters in its files, and the places of a picture of 480 × 640, or of
# one as large as its tower was trained for where others are brought to that.
PUBLISHED: Mapping[str, tuple[Mapping[str, Any], int, int]] = {
    "HuggingFaceTB/SmolVLM-256M-Instruct": (
        {
            **SMOLVLM,
            **{"image_token_id": 49190, "scale_factor": 4, "vision_config": BASE},
            "text_config": {
                **SMOLLM,
                **{"hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30},
                **{"num_attention_heads": 9, "num_key_value_heads": 3, "vocab_size": 49280},
            },
        },
        256_484_928,
        13 * 64,
    ),
    "HuggingFaceTB/SmolVLM-500M-Instruct": (
        {
            **SMOLVLM,
            **{"image_token_id": 49190, "scale_factor": 4, "vision_config": BASE},
            "text_config": {
                **SMOLLM,
                **{"hidden_size": 960, "intermediate_size": 2560, "num_hidden_layers": 32},
                **{"num_attention_heads": 15, "num_key_value_heads": 5, "vocab_size": 49280},
            },
        },
        507_482_304,
        13 * 64,
    ),
    "HuggingFaceTB/SmolVLM-Instruct": (
        {
            **SMOLVLM,
            **{"image_token_id": 49153, "scale_factor": 3},
            "vision_config": {**SHAPE_OPTIMISED, "image_size": 384},
            "text_config": {
                **SMOLLM,
                **{"hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 24},
                **{"num_attention_heads": 32, "num_key_value_heads": 32, "vocab_size": 49155},
            },
        },
        2_246_272_880,
        13 * 81,
    ),
    "HuggingFaceM4/Idefics3-8B-Llama3": (
        {
            **{"model_type": "idefics3", "image_token_id": 128257, "scale_factor": 2},
            "vision_config": {**SHAPE_OPTIMISED, "image_size": 364},
            "text_config": {
                **{"model_type": "llama", "hidden_size": 4096, "intermediate_size": 14336},
                **{"num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8},
                **{"vocab_size": 128259, "rope_theta": 500000.0, "rms_norm_eps": 1e-05},
            },
        },
        8_462_086_384,
        13 * 169,
    ),
    "Qwen/Qwen2.5-VL-3B-Instruct": (
        {
            **{**QWEN, **qwen(2048, 11008, 36, 16, 2, **SMALL)},
            "vision_config": {**PANED, "out_hidden_size": 2048},
        },
        3_754_622_976,
        17 * 23,
    ),
    "Qwen/Qwen2.5-VL-7B-Instruct": (
        {
            **{**QWEN, **qwen(3584, 18944, 28, 28, 4)},
            "vision_config": {**PANED, "out_hidden_size": 3584},
        },
        8_292_166_656,
        17 * 23,
    ),
    "Qwen/Qwen2.5-VL-72B-Instruct": (
        {
            **{**QWEN, **qwen(8192, 29568, 80, 64, 8)},
            "vision_config": {**PANED, "intermediate_size": 3456, "out_hidden_size": 8192},
        },
        73_410_777_344,
        17 * 23,
    ),
    "Qwen/Qwen2-VL-2B-Instruct": (
        {
            **{**QWEN, "model_type": "qwen2_vl", **qwen(1536, 8960, 28, 12, 2, **SMALL)},
            "vision_config": {**SECOND, "hidden_size": 1536},
        },
        2_208_985_600,
        17 * 23,
    ),
    "google/paligemma-3b-pt-224": (
        {
            **{**PALIGEMMA, "projection_dim": 2048},
            "text_config": {
                **{"hidden_size": 2048, "intermediate_size": 16384, "model_type": "gemma"},
                **{"num_attention_heads": 8, "num_hidden_layers": 18, "num_image_tokens": 256},
                **{"num_key_value_heads": 1, "vocab_size": 257216},
            },
        },
        2_923_466_480,
        256,
    ),
    "google/paligemma2-3b-pt-224": (
        {
            **{**PALIGEMMA, "projection_dim": 2304},
            "text_config": {
                **{"hidden_size": 2304, "intermediate_size": 9216, "model_type": "gemma2"},
                **{"num_attention_heads": 8, "num_hidden_layers": 26, "num_image_tokens": 256},
                **{"num_key_value_heads": 4, "vocab_size": 257216, "sliding_window": 4096},
                **{"query_pre_attn_scalar": 256, "hidden_activation": "gelu_pytorch_tanh"},
            },
        },
        3_032_242_416,
        256,
    ),
    "google/gemma-3-4b-it": (
        {
            **GEMMA_3,
            "text_config": {
                **{**GEMMA_3_TEXT, "hidden_size": 2560, "intermediate_size": 10240},
                "num_hidden_layers": 34,
            },
        },
        4_300_079_472,
        256,
    ),
    "google/gemma-3-12b-it": (
        {
            **GEMMA_3,
            "text_config": {
                **{**GEMMA_3_TEXT, "hidden_size": 3840, "intermediate_size": 15360},
                **{"num_attention_heads": 16, "num_hidden_layers": 48, "num_key_value_heads": 8},
            },
        },
        12_187_325_040,
        256,
    ),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_model_is_recognised(name: str) -> None:
    config, parameters, places = PUBLISHED[name]
    spec = published_spec(config)
    assert isinstance(spec, VisionLanguage)
    assert count(spec) == parameters
    assert model_class(spec)[0] == "VLM"
    size = spec.vision.picture if spec.sizing == WHOLE else (480, 640)
    assert spec.places(*size) == places
    assert all(stage.operations > 0 and stage.kept >= 0 for stage in spec.stages(spec.usual))


IDEFICS, QWEN_3B = "HuggingFaceTB/SmolVLM-256M-Instruct", "Qwen/Qwen2.5-VL-3B-Instruct"


@pytest.mark.parametrize(
    ("name", "changed", "said"),
    [
        (IDEFICS, {"scale_factor": 3}, "does not divide 32"),
        (IDEFICS, {"text_config": {"model_type": "distilbert", "dim": 64}}, "is of no decoder"),
        (IDEFICS, {"image_token_id": -1}, "image_token_id"),
        ("google/gemma-3-4b-it", {"mm_tokens_per_image": 200}, "cannot become 200 places"),
        (
            QWEN_3B,
            {"vision_config": {**PANED, "out_hidden_size": 1024}},
            "1024 numbers to a stream of 2048",
        ),
        (QWEN_3B, {"vision_config": {**PANED, "num_heads": 7}}, "7 heads"),
        (QWEN_3B, {"vision_config": {**PANED, "window_size": 20}}, "smaller than one place"),
        (
            QWEN_3B,
            {"rope_scaling": {"type": "mrope", "mrope_section": [16, 24, 23]}},
            "share 64 pairs",
        ),
    ],
    ids=lambda value: str(value)[:50],
)
def test_what_contradicts_itself_is_refused(
    name: str, changed: Mapping[str, Any], said: str
) -> None:
    config = PUBLISHED[name][0]
    with pytest.raises(ConfigError, match=said):
        published_spec({**config, **changed})
