"""ViT: a picture as sixteen by sixteen words, under a head that labels or with its pooler.

Dosovitskiy et al., 2020 (arXiv 2010.11929).
"""

from __future__ import annotations

from collections.abc import Sequence

from fathom.dialects.config import Config
from fathom.dialects.dialect import Dialect
from fathom.dialects.rules import Reshape, Rule, drop, rename
from fathom.dialects.towers import (
    read_depth,
    read_layer,
    read_norm,
    read_patches,
    read_picture_labels,
    require_architecture,
)
from fathom.dialects.trunk import with_defaults
from fathom.spec.heads import Transform
from fathom.spec.vision import PatchEmbedding, PictureEncoder, Reading, Sight, VisionEncoder

DEFAULTS = {
    **{"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12},
    **{"num_attention_heads": 12, "num_channels": 3, "image_size": 224, "patch_size": 16},
    **{"hidden_act": "gelu", "layer_norm_eps": 1e-12},
}


def read(config: Config) -> PictureEncoder:
    """Return the tower, its pooler where the file has one, and its head."""
    require_architecture(config, "ViTModel", "ViTForImageClassification")
    pooled = config.holds("pooler.dense.weight")
    config = with_defaults(config, DEFAULTS)
    width = config.integer("hidden_size")
    patch, grid = read_patches(config)
    embedding = PatchEmbedding(width, patch, grid, config.integer("num_channels"))
    layer = read_layer(config, config.activation("hidden_act"))
    tower = VisionEncoder(embedding, (layer,) * read_depth(config), read_norm(config, width))
    labels, kind = read_picture_labels(config)
    transform = None
    if pooled and not labels:
        pooler = config.integer("pooler_output_size", width)
        config.require(pooler == width, "'pooler_output_size' must equal 'hidden_size'")
        transform = Transform(width, config.activation("pooler_act", "tanh"))
    return PictureEncoder(Sight(tower, Reading("summary", transform=transform)), labels, kind)


def rules(spec: PictureEncoder) -> Sequence[Rule]:
    """Return the names in a safetensors file, and ours."""
    theirs, ours = "vit.encoder.layer.{layer}", "sight.tower.layers.{layer}"
    return (
        *embedding_rules("vit.embeddings", spec.sight.tower.embedding),
        *attention_rules(theirs, ours),
        rename(f"{theirs}.layernorm_before", f"{ours}.mixer_residual.before"),
        rename(f"{theirs}.layernorm_after", f"{ours}.feed_forward_residual.before"),
        rename(f"{theirs}.intermediate.dense", f"{ours}.feed_forward.up"),
        rename(f"{theirs}.output.dense", f"{ours}.feed_forward.down"),
        rename("vit.layernorm", "sight.tower.norm"),
        rename("vit.pooler.dense", "sight.summary.transform.dense"),
        rename("classifier", "head"),
    )


def embedding_rules(theirs: str, spec: PatchEmbedding) -> Sequence[Rule]:
    """Return the names of patches, positions and the tokens before them."""
    width, ours = spec.width, "sight.tower.embedding"
    rows = spec.summary + spec.grid[0] * spec.grid[1]
    registers = Reshape((1, spec.registers, width), (spec.registers, width))
    return (
        rename(f"{theirs}.patch_embeddings.projection", f"{ours}.patches"),
        rename(f"{theirs}.cls_token", f"{ours}.summary", Reshape((1, 1, width), (width,))),
        rename(f"{theirs}.register_tokens", f"{ours}.registers", registers),
        rename(
            f"{theirs}.position_embeddings",
            f"{ours}.positions.weight",
            Reshape((1, rows, width), (rows, width)),
        ),
        drop(f"{theirs}.mask_token"),  # stands for hidden patches in training
    )


def attention_rules(theirs: str, ours: str) -> Sequence[Rule]:
    """Return the names of a layer's attention."""
    return (
        rename(f"{theirs}.attention.attention.query", f"{ours}.mixer.query"),
        rename(f"{theirs}.attention.attention.key", f"{ours}.mixer.key"),
        rename(f"{theirs}.attention.attention.value", f"{ours}.mixer.value"),
        rename(f"{theirs}.attention.output.dense", f"{ours}.mixer.output"),
    )


DIALECT = Dialect("vit", read, rules, prefix="vit.")
