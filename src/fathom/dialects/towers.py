"""What towers that see share, whoever published them: sizes, layers, the names of CLIP's family.

Dialects of models that see beside something else read their tower with these as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fathom.dialects.config import Config
from fathom.dialects.heads import read_kind, read_labels
from fathom.dialects.rules import Rule, drop, rename
from fathom.dialects.trunk import with_defaults
from fathom.spec.attention import Attention
from fathom.spec.decoder import Embedding, Layer, Residual
from fathom.spec.feed_forward import Activation, Mlp
from fathom.spec.heads import Labelling
from fathom.spec.parts import Norm, Table

LARGEST_PICTURE = 1 << 14  # pixels on a side


def read_sides(config: Config, key: str) -> tuple[int, int]:
    """Return (height, width) of a key that states one number for both, or two."""
    listed = config.values.get(key)
    if not isinstance(listed, list | tuple):
        side = config.integer(key, most=LARGEST_PICTURE)
        return side, side
    config.require(len(listed) == 2, f"'{key}' must be one number or two")
    sides = Config({"height": listed[0], "width": listed[1]}, f"{config.where}: {key}")
    height, width = (sides.integer(side, most=LARGEST_PICTURE) for side in ("height", "width"))
    return height, width


def read_patches(config: Config) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return the (height, width) of a patch, and the grid of patches of a usual picture."""
    picture, patch = read_sides(config, "image_size"), read_sides(config, "patch_size")
    grid = picture[0] // patch[0], picture[1] // patch[1]
    config.require(min(grid) > 0, "'image_size' is smaller than one patch")
    return patch, grid


def read_layer(config: Config, activation: Activation, *, causal: bool = False) -> Layer:
    """Return a layer with norms before its parts and biases on all maps."""
    width = config.integer("hidden_size")
    attention = read_attention(config, causal=causal)
    residual = Residual(before=read_norm(config, width))
    feed_forward = Mlp(width, config.integer("intermediate_size"), activation)
    return Layer(attention, residual, feed_forward, residual)


def read_attention(config: Config, *, causal: bool = False) -> Attention:
    """Return attention with a bias on all maps, or where ``qkv_bias`` is off on the output."""
    width, heads = config.integer("hidden_size"), config.integer("num_attention_heads")
    config.require(width % heads == 0, f"{heads} heads cannot share a width of {width} evenly")
    bias = config.flag("qkv_bias", True)
    inner = width // heads
    return Attention(width, heads, heads, inner, causal=causal, input_bias=bias, output_bias=True)


def read_norm(config: Config, width: int) -> Norm:
    """Return the layer norm of a tower."""
    return Norm(width, config.number("layer_norm_eps", positive=True), "layer", bias=True)


def read_depth(config: Config) -> int:
    """Return how many layers there are."""
    return config.integer("num_hidden_layers", most=10_000)


def read_text_embedding(config: Config) -> Embedding:
    """Return tokens with learned positions."""
    width = config.integer("hidden_size")
    positions = Table(config.integer("max_position_embeddings"), width)
    return Embedding(config.integer("vocab_size"), width, positions=positions)


def read_picture_labels(config: Config) -> tuple[tuple[str, ...], Labelling]:
    """Return the labels of a head that classifies pictures, none where there is no such head."""
    if not architecture(config).endswith("ForImageClassification"):
        return (), "one"
    labels = read_labels(config)
    return labels, read_kind(config, len(labels))


def architecture(config: Config) -> str:
    """Return the name of the architecture that a configuration states, or nothing."""
    named = config.items("architectures", ())
    return str(named[0]) if named else ""


def require_architecture(config: Config, *known: str) -> None:
    """Refuse an architecture whose ending is none of those `known`; none named is the bare model.

    Raises:
        ConfigError: naming those that are supported.
    """
    named = architecture(config)
    config.require(
        not named or named.endswith(known),
        f"the architecture '{named}' is not supported; supported endings are {', '.join(known)}",
    )


def nested(config: Config, key: str, defaults: Mapping[str, object]) -> Config:
    """Return the configuration of one tower, with `defaults` for what it leaves out.

    Older files repeat it under another key, which then counts.
    """
    own, older = config.section(key), config.section(f"{key}_dict")
    return with_defaults(Config({**own.values, **older.values}, own.where), defaults)


def layer_rules(theirs: str, ours: str) -> Sequence[Rule]:
    """Return the names of one layer in CLIP's family; both end with the layer's number."""
    return (
        rename(f"{theirs}.layer_norm1", f"{ours}.mixer_residual.before"),
        rename(f"{theirs}.self_attn.q_proj", f"{ours}.mixer.query"),
        rename(f"{theirs}.self_attn.k_proj", f"{ours}.mixer.key"),
        rename(f"{theirs}.self_attn.v_proj", f"{ours}.mixer.value"),
        rename(f"{theirs}.self_attn.out_proj", f"{ours}.mixer.output"),
        rename(f"{theirs}.layer_norm2", f"{ours}.feed_forward_residual.before"),
        rename(f"{theirs}.mlp.fc1", f"{ours}.feed_forward.up"),
        rename(f"{theirs}.mlp.fc2", f"{ours}.feed_forward.down"),
    )


def tower_rules(theirs: str, ours: str) -> Sequence[Rule]:
    """Return the names of a tower that sees in CLIP's family, its last norm left out."""
    embeddings = f"{theirs}.embeddings"
    return (
        rename(f"{embeddings}.class_embedding", f"{ours}.embedding.summary"),
        rename(f"{embeddings}.patch_embedding", f"{ours}.embedding.patches"),
        rename(f"{embeddings}.position_embedding", f"{ours}.embedding.positions"),
        drop(f"{embeddings}.position_ids"),  # 0, 1, 2, …
        rename(f"{theirs}.pre_layrnorm", f"{ours}.embedding.norm"),
        *layer_rules(f"{theirs}.encoder.layers.{{layer}}", f"{ours}.layers.{{layer}}"),
    )


def text_rules(theirs: str, ours: str) -> Sequence[Rule]:
    """Return the names of a tower that reads in CLIP's family, its projection left out."""
    embeddings = f"{theirs}.embeddings"
    return (
        rename(f"{embeddings}.token_embedding", f"{ours}.embedding.tokens"),
        rename(f"{embeddings}.position_embedding", f"{ours}.embedding.positions"),
        drop(f"{embeddings}.position_ids"),
        *layer_rules(f"{theirs}.encoder.layers.{{layer}}", f"{ours}.layers.{{layer}}"),
        rename(f"{theirs}.final_layer_norm", f"{ours}.norm"),
    )
