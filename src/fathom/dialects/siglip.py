"""SigLIP: two towers like CLIP's, of which each text fits a picture or does not by itself.

Zhai et al., 2023 (arXiv 2303.15343). A learned query makes the vector of a picture, and texts are
always read at their full length.
"""

from __future__ import annotations

from collections.abc import Sequence

from fathom.dialects.config import Config
from fathom.dialects.dialect import Dialect
from fathom.dialects.rules import Reshape, Rule, drop, rename, split
from fathom.dialects.towers import (
    nested,
    read_attention,
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
from fathom.spec.encoder_decoder import CrossAttention
from fathom.spec.feed_forward import Mlp
from fathom.spec.parts import Linear
from fathom.spec.roles import Role
from fathom.spec.vision import (
    AttentionPooling,
    PatchEmbedding,
    PictureEncoder,
    PictureText,
    Reading,
    Sight,
    TextTower,
    VisionEncoder,
)

VISION = {
    **{"hidden_size": 768, "intermediate_size": 3072},
    **{"num_hidden_layers": 12, "num_attention_heads": 12, "num_channels": 3},
    **{"image_size": 224, "patch_size": 16},
    **{"hidden_act": "gelu_pytorch_tanh", "layer_norm_eps": 1e-6},
}
TEXT = {
    **{"vocab_size": 32000, "hidden_size": 768, "intermediate_size": 3072},
    **{"num_hidden_layers": 12, "num_attention_heads": 12, "max_position_embeddings": 64},
    **{"hidden_act": "gelu_pytorch_tanh", "layer_norm_eps": 1e-6, "pad_token_id": 1},
}


def read_vision(config: Config) -> VisionEncoder:
    """Return the tower that sees, with its last norm."""
    config = with_defaults(config, VISION)
    width = config.integer("hidden_size")
    patch, grid = read_patches(config)
    embedding = PatchEmbedding(width, patch, grid, config.integer("num_channels"), summary=False)
    layer = read_layer(config, config.activation("hidden_act"))
    return VisionEncoder(embedding, (layer,) * read_depth(config), read_norm(config, width))


def read_text(config: Config) -> TextTower:
    """Return the tower that reads."""
    width = config.integer("hidden_size")
    vector = config.integer("projection_size", width)
    layer = read_layer(config, config.activation("hidden_act"))
    vocabulary = config.integer("vocab_size")
    return TextTower(
        context=config.integer("max_position_embeddings"),
        embedding=read_text_embedding(config),
        layers=(layer,) * read_depth(config),
        norm=read_norm(config, width),
        projection=Linear(width, vector, Role.DENSE, bias=True),
        filler=config.integer("pad_token_id", least=0, most=vocabulary - 1),
    )


def read(config: Config) -> PictureText | PictureEncoder:
    """Return both towers, or the one that sees, alone or under a head."""
    if config.values.get("model_type") == "siglip_vision_model":
        return _alone(config)
    require_architecture(config, "SiglipModel", "SiglipForImageClassification")
    vision = nested(config, "vision_config", VISION)
    labels, kind = read_picture_labels(config)
    if labels:
        return PictureEncoder(Sight(read_vision(vision), Reading("patches")), labels, kind)
    text = read_text(nested(config, "text_config", TEXT))
    sight = _sight(vision)
    config.require(sight.summary is not None, "'vision_use_head' is off: no vector to compare")
    config.require(
        sight.vector == text.projection.outputs,
        f"vectors of pictures have {sight.vector} numbers, of texts {text.projection.outputs}",
    )
    return PictureText(sight, text, offset=True)


def _alone(config: Config) -> PictureEncoder:
    require_architecture(config, "SiglipVisionModel")
    return PictureEncoder(_sight(with_defaults(config, VISION)))


def _sight(config: Config) -> Sight:
    tower = read_vision(config)
    if not config.flag("vision_use_head", True):
        return Sight(tower, None)
    heads, width = read_attention(config).heads, tower.width
    looking = CrossAttention(width, heads, width // heads, bias=True)
    inner, activation = config.integer("intermediate_size"), config.activation("hidden_act")
    norm = read_norm(config, width)
    return Sight(tower, AttentionPooling(looking, norm, Mlp(width, inner, activation)))


def rules(spec: PictureText | PictureEncoder) -> Sequence[Rule]:
    """Return the names in a safetensors file, and ours."""
    sight = "vision" if isinstance(spec, PictureText) else "sight"
    return (
        *tower_rules("vision_model", f"{sight}.tower"),
        rename("vision_model.post_layernorm", f"{sight}.tower.norm"),
        *_pooling_rules(spec, "vision_model.head", f"{sight}.summary"),
        *text_rules("text_model", "text"),
        rename("text_model.head", "text.projection"),
        rename("logit_scale", "scale"),
        rename("logit_bias", "offset"),
        rename("classifier", "head"),
    )


def _pooling_rules(spec: PictureText | PictureEncoder, theirs: str, ours: str) -> Sequence[Rule]:
    """Return the names of what makes the vector; its three maps lie in one, without ``weight``."""
    sight = spec.vision if isinstance(spec, PictureText) else spec.sight
    if not isinstance(sight.summary, AttentionPooling):
        return (drop(f"{theirs}.**"),)  # under a head that reads the patches
    width = sight.tower.width
    maps = {kind: [f"{ours}.attention.{m}.{kind}" for m in _MAPS] for kind in ("weight", "bias")}
    return (
        rename(f"{theirs}.probe", f"{ours}.probe", Reshape((1, 1, width), (width,))),
        *(
            split(f"{theirs}.attention.in_proj_{kind}", dict.fromkeys(names, width))
            for kind, names in maps.items()
        ),
        rename(f"{theirs}.attention.out_proj", f"{ours}.attention.output"),
        rename(f"{theirs}.layernorm", f"{ours}.norm"),
        rename(f"{theirs}.mlp.fc1", f"{ours}.feed_forward.up"),
        rename(f"{theirs}.mlp.fc2", f"{ours}.feed_forward.down"),
    )


_MAPS = ("query", "key", "value")
DIALECT = Dialect("siglip", read, rules, prefix="vision_model.")  # which a tower alone lacks
