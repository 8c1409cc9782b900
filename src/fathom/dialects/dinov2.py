"""DINOv2: a ViT trained without labels, whose every part is scaled channel by channel.

Oquab et al., 2023 (arXiv 2304.07193).
"""

from __future__ import annotations

from collections.abc import Sequence

from fathom.dialects.config import Config
from fathom.dialects.dialect import Dialect
from fathom.dialects.rules import Rule, rename, split
from fathom.dialects.towers import (
    read_attention,
    read_depth,
    read_norm,
    read_patches,
    read_picture_labels,
    require_architecture,
)
from fathom.dialects.trunk import with_defaults
from fathom.dialects.vit import attention_rules, embedding_rules
from fathom.spec.decoder import Layer, Residual
from fathom.spec.feed_forward import GatedMlp, Mlp
from fathom.spec.parts import Bare
from fathom.spec.roles import Role
from fathom.spec.vision import PatchEmbedding, PictureEncoder, Reading, Sight, VisionEncoder

DEFAULTS = {
    **{"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "mlp_ratio": 4},
    **{"num_channels": 3, "image_size": 224, "patch_size": 14},
    **{"hidden_act": "gelu", "layer_norm_eps": 1e-6},
}
MULTIPLE = 8  # of which a gated inner width is


def read(config: Config) -> PictureEncoder:
    """Return the tower, and its head where it labels."""
    return read_tower(config)


def read_tower(config: Config, registers: int = 0) -> PictureEncoder:
    """Return the tower with so many registers, and its head where it labels."""
    require_architecture(config, "Model", "ForImageClassification")
    config = with_defaults(config, DEFAULTS)
    width = config.integer("hidden_size")
    patch, grid = read_patches(config)
    embedding = PatchEmbedding(
        *(width, patch, grid, config.integer("num_channels")),
        registers=registers,
        smoothed=registers > 0,
    )
    scales = Bare((width,), Role.NORM)
    residual = Residual(before=read_norm(config, width), scales=scales)
    layer = Layer(read_attention(config), residual, _feed_forward(config, width), residual)
    tower = VisionEncoder(embedding, (layer,) * read_depth(config), read_norm(config, width))
    labels, kind = read_picture_labels(config)
    return PictureEncoder(Sight(tower, Reading("both" if labels else "summary")), labels, kind)


def _feed_forward(config: Config, width: int) -> GatedMlp | Mlp:
    inner = int(width * config.number("mlp_ratio", positive=True))
    if not config.flag("use_swiglu_ffn", False):
        return Mlp(width, inner, config.activation("hidden_act"))
    return GatedMlp(width, -(-int(inner * 2 / 3) // MULTIPLE) * MULTIPLE, bias=True)


def rules(spec: PictureEncoder) -> Sequence[Rule]:
    """Return the names in a safetensors file, and ours."""
    return rules_under("dinov2", spec)


def rules_under(prefix: str, spec: PictureEncoder) -> Sequence[Rule]:
    """Return the names where a whole model's begin with `prefix`, and ours."""
    theirs, ours = f"{prefix}.encoder.layer.{{layer}}", "sight.tower.layers.{layer}"
    return (
        *embedding_rules(f"{prefix}.embeddings", spec.sight.tower.embedding),
        *attention_rules(theirs, ours),
        rename(f"{theirs}.norm1", f"{ours}.mixer_residual.before"),
        rename(f"{theirs}.layer_scale1.lambda1", f"{ours}.mixer_residual.scales"),
        rename(f"{theirs}.norm2", f"{ours}.feed_forward_residual.before"),
        rename(f"{theirs}.layer_scale2.lambda1", f"{ours}.feed_forward_residual.scales"),
        *_feed_forward_rules(spec, f"{theirs}.mlp", f"{ours}.feed_forward"),
        rename(f"{prefix}.layernorm", "sight.tower.norm"),
        rename("classifier", "head"),
    )


def _feed_forward_rules(spec: PictureEncoder, theirs: str, ours: str) -> Sequence[Rule]:
    part = spec.sight.tower.layers[0].feed_forward
    if isinstance(part, GatedMlp):
        sizes = {f"{ours}.gate": part.inner, f"{ours}.up": part.inner}
        return split(f"{theirs}.weights_in", sizes), rename(f"{theirs}.weights_out", f"{ours}.down")
    return rename(f"{theirs}.fc1", f"{ours}.up"), rename(f"{theirs}.fc2", f"{ours}.down")


DIALECT = Dialect("dinov2", read, rules, prefix="dinov2.")
