"""ViT, DINOv2, CLIP and SigLIP: towers alone, under heads, and beside a tower that reads."""

from __future__ import annotations

from parity.vision_case import VisionCase

SMALL = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "image_size": 32,
    "patch_size": 8,
    "layer_norm_eps": 1e-4,
}
SCALED = {key: value for key, value in SMALL.items() if key != "intermediate_size"}
SCALED |= {"mlp_ratio": 3, "layerscale_value": 0.3}
READING = {
    "vocab_size": 99,
    "hidden_size": 24,
    "intermediate_size": 40,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "max_position_embeddings": 12,
    "layer_norm_eps": 1e-4,
    "bos_token_id": 97,
    "eos_token_id": 98,
}
FIVE = {"id2label": {i: f"label {i}" for i in range(5)}}
SEVERAL = {**FIVE, "problem_type": "multi_label_classification"}
CLIP = {"vision_config": SMALL, "text_config": READING, "projection_dim": 20}
SIGLIP = {"vision_config": SMALL, "text_config": {**READING, "projection_size": 32}}
WIDE = (40, 24)  # another number of patches, and no square
MASK = ("embeddings.mask_token",)
UNREAD = ("vision_model.post_layernorm.weight", "vision_model.post_layernorm.bias")


def _dinov2(model_type: str, name: str) -> list[VisionCase]:
    whole, labels = f"{name}Model", f"{name}ForImageClassification"
    return [
        VisionCase(model_type, "plain", whole, SCALED, lost=MASK),
        VisionCase(model_type, "stretched", whole, SCALED, WIDE, lost=MASK),
        VisionCase(
            *(model_type, "gated", whole, {**SCALED, "use_swiglu_ffn": True, "qkv_bias": False}),
            lost=MASK,
        ),
        VisionCase(model_type, "labels", labels, {**SCALED, **FIVE}, lost=MASK),
    ]


CASES = [
    VisionCase("vit", "pooled", "ViTModel", SMALL),
    VisionCase("vit", "bare", "ViTModel", SMALL, pooler=False),
    VisionCase("vit", "stretched", "ViTModel", SMALL, WIDE),
    VisionCase(
        *("vit", "changed", "ViTModel"),
        {**SMALL, "qkv_bias": False, "hidden_act": "relu", "num_channels": 2, "pooler_act": "gelu"},
    ),
    VisionCase("vit", "labels", "ViTForImageClassification", {**SMALL, **FIVE}),
    VisionCase("vit", "several", "ViTForImageClassification", {**SMALL, **SEVERAL}),
    VisionCase("vit", "oblong", "ViTModel", {**SMALL, "image_size": [32, 16]}, (32, 16)),
    *_dinov2("dinov2", "Dinov2"),
    *_dinov2("dinov2_with_registers", "Dinov2WithRegisters"),
    VisionCase(
        *("dinov2_with_registers", "two", "Dinov2WithRegistersModel"),
        {**SCALED, "num_register_tokens": 2},
        lost=MASK,
    ),
    VisionCase("clip", "compares", "CLIPModel", CLIP, compares=True),
    VisionCase(
        *("clip", "changed", "CLIPModel"),
        {
            "vision_config": {**SMALL, "hidden_act": "gelu"},
            "text_config": {**READING, "hidden_act": "gelu"},
            "projection_dim": 16,
        },
        compares=True,
    ),
    VisionCase("clip", "labels", "CLIPForImageClassification", {**CLIP, **FIVE}, lost=UNREAD),
    VisionCase("clip_vision_model", "alone", "CLIPVisionModel", SMALL),
    VisionCase("clip_vision_model", "stretched", "CLIPVisionModel", SMALL, WIDE),
    VisionCase(
        *("clip_vision_model", "projected", "CLIPVisionModelWithProjection"),
        {**SMALL, "projection_dim": 20},
    ),
    VisionCase("siglip", "compares", "SiglipModel", SIGLIP, compares=True),
    VisionCase(
        *("siglip", "labels", "SiglipForImageClassification"),
        {**SIGLIP, **FIVE},
        lost=("vision_model.head",),
    ),
    VisionCase("siglip_vision_model", "pooled", "SiglipVisionModel", SMALL),
    VisionCase(
        *("siglip_vision_model", "bare", "SiglipVisionModel"), {**SMALL, "vision_use_head": False}
    ),
    VisionCase("siglip_vision_model", "stretched", "SiglipVisionModel", SMALL, WIDE),
]
