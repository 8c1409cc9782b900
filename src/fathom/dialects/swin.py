"""Swin, as the tower of another model: stages of windows that shift, some of which are read.

Liu et al., 2021 (arXiv 2103.14030).
"""

from __future__ import annotations

from collections.abc import Iterator

from fathom.dialects.config import Config
from fathom.dialects.rules import Reshape, Rule, drop, rename
from fathom.dialects.towers import read_patches
from fathom.dialects.trunk import with_defaults
from fathom.spec.decoder import Residual
from fathom.spec.feed_forward import Mlp
from fathom.spec.grid import GridLayer
from fathom.spec.parts import Convolution, Norm
from fathom.spec.windowed import Merging, WindowAttention, WindowStage, WindowTower

DEFAULTS = {
    **{"image_size": 224, "patch_size": 4, "num_channels": 3, "embed_dim": 96},
    **{"depths": [2, 2, 6, 2], "num_heads": [3, 6, 12, 24], "window_size": 7, "mlp_ratio": 4.0},
    **{"qkv_bias": True, "hidden_act": "gelu", "layer_norm_eps": 1e-5},
    **{"use_absolute_embeddings": False},
}
MOST_STAGES, MOST_LAYERS, WIDEST_WINDOW = 16, 1000, 256
_NORM = 1e-5  # of norms whose epsilon nobody states


def read_tower(config: Config) -> WindowTower:
    """Return the tower that a configuration states; ``out_indices`` names the stages read."""
    config = with_defaults(config, DEFAULTS)
    width, (patch, grid) = config.integer("embed_dim"), read_patches(config)
    depths, heads = _each(config, "depths"), _each(config, "num_heads")
    config.require(
        len(depths) == len(heads) <= MOST_STAGES, "'depths' and 'num_heads' are not of equal length"
    )
    read = _read_stages(config, len(depths))
    stages = []
    for number, (depth, several) in enumerate(zip(depths, heads, strict=True)):
        wide = width << number
        layers = tuple(_layer(config, wide, several, index % 2 == 1) for index in range(depth))
        norm = Norm(wide, _NORM, "layer", bias=True) if number + 1 in read else None
        merging = Merging(wide) if number + 1 < len(depths) else None
        stages.append(WindowStage(layers, norm, merging))
    return WindowTower(
        patches=Convolution(config.integer("num_channels"), width, patch, patch, (0, 0), (1, 1)),
        norm=Norm(width, _NORM, "layer", bias=True),
        stages=tuple(stages),
        grid=grid if config.flag("use_absolute_embeddings") else None,
    )


def _each(config: Config, key: str) -> list[int]:
    """Return a list of whole numbers, one for each stage."""
    listed = config.items(key)
    config.require(len(listed) > 0, f"'{key}' is empty")
    each = (Config({key: number}, config.where) for number in listed)
    return [one.integer(key, most=MOST_LAYERS) for one in each]


def _read_stages(config: Config, count: int) -> frozenset[int]:
    """Return the numbers of the stages that are read, the first being 1; by default the last."""
    if "out_features" in config:
        named = [str(name) for name in config.items("out_features")]
        known = {f"stage{number}": number for number in range(1, count + 1)}
        config.require(set(named) <= set(known), f"'out_features' must be among {', '.join(known)}")
        return frozenset(known[name] for name in named)
    listed = config.items("out_indices", [count])
    places = [number for number in listed if isinstance(number, int)]
    places = [number + count + 1 if number < 0 else number for number in places]
    good = len(places) == len(listed) > 0 and all(1 <= number <= count for number in places)
    config.require(good, f"'out_indices' must be stages from 1 to {count}")
    return frozenset(places)


def _layer(config: Config, width: int, heads: int, shifted: bool) -> GridLayer:
    config.require(width % heads == 0, f"{heads} heads cannot share a width of {width} evenly")
    window = config.integer("window_size", least=2, most=WIDEST_WINDOW)
    mixer = WindowAttention(width, heads, window, shifted, config.flag("qkv_bias"))
    norm = Norm(width, config.number("layer_norm_eps", positive=True), "layer", bias=True)
    inner = int(width * config.number("mlp_ratio", positive=True))
    config.require(inner > 0, "'mlp_ratio' leaves nothing")
    residual = Residual(before=norm)
    feed_forward = Mlp(width, inner, config.activation("hidden_act"))
    return GridLayer(mixer, residual, feed_forward, residual)


def tower_rules(spec: WindowTower, theirs: str, ours: str) -> Iterator[Rule]:
    """Return the names of a tower below a prefix."""
    embeddings = f"{theirs}.embeddings"
    yield rename(f"{embeddings}.patch_embeddings.projection", f"{ours}.patches")
    yield rename(f"{embeddings}.norm", f"{ours}.norm")
    if spec.grid is not None:
        rows, columns, width = *spec.grid, spec.patches.outputs
        shape = Reshape((1, rows * columns, width), (rows, columns, width))
        yield rename(f"{embeddings}.position_embeddings", f"{ours}.positions", shape)
    for number, stage in enumerate(spec.stages):
        yield from _stage_rules(f"{theirs}.encoder.layers.{number}", f"{ours}.stages.{number}")
        if stage.read is not None:
            normed = f"{theirs}.hidden_states_norms.stage{number + 1}"
            yield rename(normed, f"{ours}.stages.{number}.read")
    yield drop(f"{theirs}.layernorm")  # of the last stage, which a pyramid does not read
    yield drop(f"{theirs}.swin.layernorm")
    yield drop(
        f"{theirs}.encoder.layers.{{stage}}.blocks.{{layer}}.attention.self.relative_position_index"
    )  # follows from the window


def _stage_rules(theirs: str, ours: str) -> Iterator[Rule]:
    block, layer = f"{theirs}.blocks.{{layer}}", f"{ours}.layers.{{layer}}"
    attention = f"{block}.attention"
    yield rename(f"{block}.layernorm_before", f"{layer}.mixer_residual.before")
    for name in ("query", "key", "value"):
        yield rename(f"{attention}.self.{name}", f"{layer}.mixer.{name}")
    distances = f"{attention}.self.relative_position_bias_table"
    yield rename(distances, f"{layer}.mixer.distances")
    yield rename(f"{attention}.output.dense", f"{layer}.mixer.output")
    yield rename(f"{block}.layernorm_after", f"{layer}.feed_forward_residual.before")
    yield rename(f"{block}.intermediate.dense", f"{layer}.feed_forward.up")
    yield rename(f"{block}.output.dense", f"{layer}.feed_forward.down")
    yield rename(f"{theirs}.downsample.norm", f"{ours}.merging.norm")
    yield rename(f"{theirs}.downsample.reduction", f"{ours}.merging.reduction")
