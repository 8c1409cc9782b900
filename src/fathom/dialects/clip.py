"""CLIP: a tower that sees and one that reads, trained on pictures and their captions.

Radford et al., 2021 (arXiv 2103.00020). The tower that sees is also published alone, with its
projection or without, and under a head that labels.
"""

from __future__ import annotations

from collections.abc import Sequence

from fathom.dialects.config import Config
from fathom.dialects.dialect import Dialect
from fathom.dialects.rules import Reshape, Rule, drop, rename
from fathom.dialects.towers import (
    architecture,
    nested,
    read_depth,
    read_layer,
    read_norm,
    read_patches,
    read_picture_labels,
    read_text_embedding,
    require_architecture,
    text_rules,
    tower_rules,
)
from fathom.dialects.trunk import with_defaults
from fathom.spec.parts import Linear
from fathom.spec.roles import Role
from fathom.spec.vision import (
    PatchEmbedding,
    PictureEncoder,
    PictureText,
    Reading,
    Sight,
    TextTower,
    VisionEncoder,
)

VISION = {
    **{"hidden_size": 768, "intermediate_size": 3072, "projection_dim": 512},
    **{"num_hidden_layers": 12, "num_attention_heads": 12, "num_channels": 3},
    **{"image_size": 224, "patch_size": 32, "hidden_act": "quick_gelu", "layer_norm_eps": 1e-5},
}
TEXT = {
    **{"vocab_size": 49408, "hidden_size": 512, "intermediate_size": 2048},
    **{"num_hidden_layers": 12, "num_attention_heads": 8, "max_position_embeddings": 77},
    **{"hidden_act": "quick_gelu", "layer_norm_eps": 1e-5},
}


def read_vision(config: Config) -> VisionEncoder:
    """Return the tower that sees; its last norm belongs to the summary and is not part of it."""
    config = with_defaults(config, VISION)
    width = config.integer("hidden_size")
    patch, grid = read_patches(config)
    channels = config.integer("num_channels")
    norm = read_norm(config, width)
    embedding = PatchEmbedding(width, patch, grid, channels, bias=False, norm=norm)
    layer = read_layer(config, config.activation("hidden_act"))
    return VisionEncoder(embedding, (layer,) * read_depth(config))


def read_text(config: Config, vector: int) -> TextTower:
    """Return the tower that reads; its vectors have `vector` numbers."""
    width = config.integer("hidden_size")
    layer = read_layer(config, config.activation("hidden_act"), causal=True)
    return TextTower(
        context=config.integer("max_position_embeddings"),
        embedding=read_text_embedding(config),
        layers=(layer,) * read_depth(config),
        norm=read_norm(config, width),
        projection=Linear(width, vector, Role.DENSE),
    )


def read(config: Config) -> PictureText | PictureEncoder:
    """Return both towers, or the one that sees, alone or under a head."""
    if config.values.get("model_type") == "clip_vision_model":
        return _alone(config)
    require_architecture(config, "CLIPModel", "CLIPForImageClassification")
    vision = nested(config, "vision_config", VISION)
    labels, kind = read_picture_labels(config)
    if labels:
        return PictureEncoder(Sight(read_vision(vision), Reading("patches")), labels, kind)
    vector = config.integer("projection_dim", 512)
    text = read_text(nested(config, "text_config", TEXT), vector)
    return PictureText(_sight(vision, vector), text)


def _alone(config: Config) -> PictureEncoder:
    require_architecture(config, "CLIPVisionModel", "CLIPVisionModelWithProjection")
    config = with_defaults(config, VISION)
    projected = architecture(config).endswith("WithProjection")
    return PictureEncoder(_sight(config, config.integer("projection_dim") if projected else None))


def _sight(config: Config, vector: int | None) -> Sight:
    tower = read_vision(config)
    projection = None if vector is None else Linear(tower.width, vector, Role.DENSE)
    return Sight(tower, Reading("summary", read_norm(config, tower.width)), projection)


def rules(spec: PictureText | PictureEncoder) -> Sequence[Rule]:
    """Return the names in a safetensors file, and ours."""
    sight = "vision" if isinstance(spec, PictureText) else "sight"
    return (
        *tower_rules("vision_model", f"{sight}.tower"),
        rename("vision_model.post_layernorm", f"{sight}.summary.norm"),
        drop("vision_model.post_layernorm"),  # under a head that reads the patches
        rename("visual_projection", f"{sight}.projection"),
        *text_rules("text_model", "text"),
        rename("text_projection", "text.projection"),
        rename("logit_scale", "scale", Reshape((), (1,))),
        rename("classifier", "head"),
    )


DIALECT = Dialect("clip", read, rules, prefix="vision_model.")  # which a tower alone lacks
