"""Published configurations of towers that see, as their files state them, and their sizes."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from fathom.checkpoint.published import published_spec
from fathom.errors import ConfigError
from fathom.spec.classes import model_class
from fathom.spec.detector import Detector
from fathom.spec.parts import count
from fathom.spec.tasks import TASKS
from fathom.spec.vision import PictureEncoder, PictureText, Sight
from fathom.spec.work import Staged

THOUSAND = {"id2label": {str(number): f"class {number}" for number in range(1000)}}
VIT = {
    "architectures": ["ViTForImageClassification"],
    "attention_probs_dropout_prob": 0.0,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.0,
    "hidden_size": 768,
    "image_size": 224,
    "initializer_range": 0.02,
    "intermediate_size": 3072,
    "layer_norm_eps": 1e-12,
    "model_type": "vit",
    "num_attention_heads": 12,
    "num_channels": 3,
    "num_hidden_layers": 12,
    "patch_size": 16,
    "qkv_bias": True,
}
LARGE = {
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_attention_heads": 16,
    "num_hidden_layers": 24,
}
DINOV2 = {
    "architectures": ["Dinov2Model"],
    "drop_path_rate": 0.0,
    "hidden_act": "gelu",
    "hidden_size": 768,
    "image_size": 518,
    "layer_norm_eps": 1e-06,
    "layerscale_value": 1.0,
    "mlp_ratio": 4,
    "model_type": "dinov2",
    "num_attention_heads": 12,
    "num_channels": 3,
    "num_hidden_layers": 12,
    "patch_size": 14,
    "qkv_bias": True,
    "use_swiglu_ffn": False,
}
GIANT = {"hidden_size": 1536, "num_attention_heads": 24, "num_hidden_layers": 40}
CLIP = {
    "architectures": ["CLIPModel"],
    "model_type": "clip",
    "projection_dim": 512,
    "logit_scale_init_value": 2.6592,
    "text_config": {"bos_token_id": 0, "eos_token_id": 2, "model_type": "clip_text_model"},
    "text_config_dict": None,
    "vision_config": {"dropout": 0.0, "model_type": "clip_vision_model"},
    "vision_config_dict": None,
}
CLIP_LARGE = {
    "projection_dim": 768,
    "text_config": {
        "hidden_size": 768,
        "intermediate_size": 3072,
        "num_attention_heads": 12,
        "projection_dim": 768,
    },
    "text_config_dict": {
        "hidden_size": 768,
        "intermediate_size": 3072,
        "num_attention_heads": 12,
        "num_hidden_layers": 12,
        "projection_dim": 768,
    },
    "vision_config": {"patch_size": 32},
    "vision_config_dict": {**LARGE, "patch_size": 14, "projection_dim": 768},
}
SIGLIP = {
    "architectures": ["SiglipModel"],
    "initializer_factor": 1.0,
    "model_type": "siglip",
    "text_config": {"model_type": "siglip_text_model"},
    "vision_config": {"model_type": "siglip_vision_model"},
}
SO400M = {
    "hidden_size": 1152,
    "intermediate_size": 4304,
    "num_attention_heads": 16,
    "num_hidden_layers": 27,
}
# What is published, and the parameters in its files. Those of DINOv2 hold one
# row more, which stands for hidden patches in training and which nothing reads.
PUBLISHED: Mapping[str, tuple[Mapping[str, object], int]] = {
    "google/vit-base-patch16-224": ({**VIT, **THOUSAND}, 86_567_656),
    "google/vit-base-patch16-224-in21k": ({**VIT, "architectures": ["ViTModel"]}, 86_389_248),
    "google/vit-large-patch16-224": ({**VIT, **LARGE, **THOUSAND}, 304_326_632),
    "facebook/dinov2-base": (DINOV2, 86_580_480 - 768),
    "facebook/dinov2-large": ({**DINOV2, **LARGE}, 304_368_640 - 1024),
    "facebook/dinov2-giant": ({**DINOV2, **GIANT, "use_swiglu_ffn": True}, 1_136_480_768 - 1536),
    "openai/clip-vit-base-patch32": (CLIP, 151_277_313),
    "openai/clip-vit-large-patch14": ({**CLIP, **CLIP_LARGE}, 427_616_513),
    "google/siglip-base-patch16-224": (SIGLIP, 203_155_970),
    "google/siglip-so400m-patch14-384": (
        {
            **SIGLIP,
            "text_config": SO400M,
            "vision_config": {**SO400M, "image_size": 384, "patch_size": 14},
        },
        877_960_498,
    ),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_tower_is_recognised(name: str) -> None:
    config, parameters = PUBLISHED[name]
    spec = published_spec(config)
    assert isinstance(spec, Staged)
    assert count(spec) == parameters
    assert model_class(spec)[0] == "LVM"
    assert set(spec.about.tasks) <= set(TASKS)
    assert all(stage.operations > 0 and stage.live > 0 for stage in spec.stages(spec.usual))


def test_what_leads_elsewhere_than_the_tower_is_known() -> None:
    """Sizes that follow from a configuration and that models built on a tower ask for."""
    clip = published_spec(PUBLISHED["openai/clip-vit-large-patch14"][0])
    assert isinstance(clip, PictureText)
    assert _told(clip.vision) == (1024, (224, 224), 257, 768)
    siglip = published_spec(PUBLISHED["google/siglip-so400m-patch14-384"][0])
    assert isinstance(siglip, PictureText)
    assert _told(siglip.vision) == (1152, (378, 378), 729, 1152)
    labelled = published_spec(PUBLISHED["google/vit-base-patch16-224"][0])
    assert isinstance(labelled, PictureEncoder)
    assert labelled.about.tasks[0] == "classify" and len(labelled.labels) == 1000


def _told(sight: Sight) -> tuple[int, tuple[int, int], int, int]:
    tower = sight.tower
    return tower.width, tower.picture, tower.length(*tower.picture), sight.vector


@pytest.mark.parametrize(
    ("config", "changed", "said"),
    [
        (VIT, {"architectures": ["ViTForMaskedImageModeling"]}, "ViTForImageClassification"),
        (VIT, {"num_attention_heads": 7}, "7 heads"),
        (VIT, {"patch_size": 300}, "smaller than one patch"),
        (VIT, {"image_size": [224, 224, 3]}, "one number or two"),
        (VIT, {"pooler_output_size": 8, "architectures": ["ViTModel"]}, "pooler_output_size"),
        (DINOV2, {"architectures": ["Dinov2Backbone"]}, "ForImageClassification"),
        (DINOV2, {"mlp_ratio": -1}, "mlp_ratio"),
        (CLIP, {"vision_config": 3}, "vision_config"),
        (SIGLIP, {"vision_config": {"vision_use_head": False}}, "vision_use_head"),
        (SIGLIP, {"text_config": {"projection_size": 12}}, "768"),
        (SIGLIP, {"text_config": {"pad_token_id": 40_000}}, "pad_token_id"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_contradicts_itself_is_refused(
    config: Mapping[str, object], changed: Mapping[str, object], said: str
) -> None:
    assert published_spec(config)
    with pytest.raises(ConfigError, match=said):
        published_spec({**config, **changed})


SAM_HUGE = {
    "hidden_size": 1280,
    "global_attn_indexes": [7, 15, 23, 31],
    "num_attention_heads": 16,
    "num_hidden_layers": 32,
}
# The configurations of facebook/sam-vit-*; the authors count 256 numbers less, which are fixed:
# the frequencies of places.
SEGMENTERS: Mapping[str, tuple[Mapping[str, object], int]] = {
    "facebook/sam-vit-base": ({}, 93_735_472 + 256),
    "facebook/sam-vit-large": (
        {**LARGE, "global_attn_indexes": [5, 11, 17, 23]},
        312_342_832 + 256,
    ),
    "facebook/sam-vit-huge": (SAM_HUGE, 641_090_608 + 256),
}


@pytest.mark.parametrize("name", SEGMENTERS)
def test_a_published_segmenter_is_recognised(name: str) -> None:
    vision, parameters = SEGMENTERS[name]
    config = {"architectures": ["SamModel"], "model_type": "sam"}
    without = {key: value for key, value in vision.items() if key != "intermediate_size"}
    spec = published_spec({**config, "vision_config": without})
    assert isinstance(spec, Staged)
    assert count(spec) == parameters
    assert model_class(spec)[0] == "SAM" and spec.about.tasks == ("segment",)
    looking, answering = spec.stages(spec.usual)
    assert answering.operations < 0.05 * looking.operations  # what a second prompt costs


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"vision_config": {"num_attention_heads": 7}}, "7 heads"),
        ({"vision_config": {"output_channels": 128}}, "widths"),
        ({"vision_config": {"num_pos_feats": 100}}, "half"),
        ({"prompt_encoder_config": {"image_size": 512}}, "another picture's size"),
        ({"prompt_encoder_config": {"mask_input_channels": 6}}, "multiple of 4"),
        ({"prompt_encoder_config": {"num_point_embeddings": 6}}, "num_point_embeddings"),
        ({"mask_decoder_config": {"num_attention_heads": 3}}, "3 heads"),
        ({"mask_decoder_config": {"iou_head_depth": 1}}, "iou_head_depth"),
        ({"architectures": ["SamHQModel"]}, "SamModel"),
    ],
    ids=str,
)
def test_a_segmenter_that_contradicts_itself_is_refused(
    changed: Mapping[str, object], said: str
) -> None:
    assert published_spec({"model_type": "sam"})
    with pytest.raises(ConfigError, match=said):
        published_spec({"model_type": "sam", **changed})


# The configurations of IDEA-Research/grounding-dino-*, whose authors say 172 and 233 million; the
# numbers are the reference's, less the last norm of its tower, which nothing reads.
DINO = {
    "architectures": ["GroundingDinoForObjectDetection"],
    "model_type": "grounding-dino",
    "num_queries": 900,
    "d_model": 256,
    "max_text_len": 256,
    "text_config": {"model_type": "bert"},
}
DETECTORS: Mapping[str, tuple[Mapping[str, object], int]] = {
    "IDEA-Research/grounding-dino-tiny": (
        {"model_type": "swin", "out_indices": [2, 3, 4]},
        172_250_626 - 2 * 768,
    ),
    "IDEA-Research/grounding-dino-base": (
        {
            "model_type": "swin",
            "depths": [2, 2, 18, 2],
            "embed_dim": 128,
            "num_heads": [4, 8, 16, 32],
            "image_size": 384,
            "window_size": 12,
            "out_features": ["stage2", "stage3", "stage4"],
        },
        232_315_264 - 2 * 1024,
    ),
}


@pytest.mark.parametrize("name", DETECTORS)
def test_a_published_detector_is_recognised(name: str) -> None:
    tower, parameters = DETECTORS[name]
    spec = published_spec({**DINO, "backbone_config": tower})
    assert isinstance(spec, Detector)
    assert count(spec) == parameters
    assert model_class(spec)[0] == "detection" and spec.about.tasks == ("detect",)
    assert spec.grids(800, 1066) == ((100, 134), (50, 67), (25, 34), (13, 17))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"d_model": 250}, "multiple of 32"),
        ({"num_feature_levels": 2}, "3 maps"),
        ({"two_stage": False}, "two_stage"),
        ({"embedding_init_target": False}, "embedding_init_target"),
        ({"query_dim": 2}, "query_dim"),
        ({"encoder_attention_heads": 1}, "0 heads"),
        ({"decoder_attention_heads": 7}, "7 heads"),
        ({"position_embedding_type": "rotary"}, "sine, learned"),
        ({"backbone_config": {"model_type": "resnet"}}, "swin"),
        ({"backbone_config": {"depths": [2, 2]}}, "equal length"),
        ({"backbone_config": {"out_indices": [5]}}, "stages from 1 to 4"),
        ({"backbone_config": {"out_features": ["stage9"]}}, "out_features"),
        ({"text_config": {"model_type": "roberta"}}, "bert"),
        ({"architectures": ["GroundingDinoForPose"]}, "GroundingDinoForObjectDetection"),
    ],
    ids=str,
)
def test_a_detector_that_contradicts_itself_is_refused(
    changed: Mapping[str, object], said: str
) -> None:
    assert published_spec(DINO)
    with pytest.raises(ConfigError, match=said):
        published_spec({**DINO, **changed})
