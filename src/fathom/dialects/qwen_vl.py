"""Qwen 2 and 2.5 VL: pictures at their own size, turned by row and column, and a decoder likewise.

Wang et al., 2024 (arXiv 2409.12191); Bai et al., 2025 (arXiv 2502.13923), whose tower looks within
panes of a picture in most of its layers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from fathom.dialects.config import Config
from fathom.dialects.dialect import Dialect
from fathom.dialects.llava import read_decoder, with_output_tied
from fathom.dialects.rules import Rule, below, rename, split
from fathom.dialects.trunk import trunk_rules, with_defaults
from fathom.spec.attention import Attention, Everything, Pane
from fathom.spec.decoder import Decoder, Layer, Residual
from fathom.spec.feed_forward import GatedMlp, Mlp
from fathom.spec.parts import Norm
from fathom.spec.picture_sizes import Native
from fathom.spec.positions import Axes, Rotary
from fathom.spec.vision import PatchEmbedding, VisionEncoder
from fathom.spec.vision_language import Connector, Moving, Seeing, VisionLanguage

# What files may leave out: the sizes of the reference's configurations.
TEXT = {
    **{"vocab_size": 152064, "hidden_size": 8192, "intermediate_size": 29568},
    **{"num_hidden_layers": 80, "num_attention_heads": 64, "num_key_value_heads": 8},
    **{"rms_norm_eps": 1e-5, "max_window_layers": 80, "sliding_window": 4096, "rope_theta": 1e6},
}
SECOND = {
    **{"depth": 32, "embed_dim": 1280, "num_heads": 16, "mlp_ratio": 4, "hidden_size": 3584},
    "hidden_act": "quick_gelu",
}
SECOND_AND_A_HALF = {
    **{"depth": 32, "hidden_size": 3584, "num_heads": 16, "intermediate_size": 3420},
    **{"out_hidden_size": 3584, "window_size": 112, "fullatt_block_indexes": (7, 15, 23, 31)},
    **{"tokens_per_second": 4, "hidden_act": "silu"},
}
EPSILON = 1e-6  # of the tower's norms
PIXELS = 4 * 28 * 28, 16384 * 28 * 28  # of a picture, as published beside the weights
VIDEO_PIXELS = 128 * 28 * 28, 768 * 28 * 28  # of a frame
USUAL = 27, 36  # (rows, columns) of places: a photograph of 756 × 1008


def read(config: Config) -> VisionLanguage:
    """Return the model that a configuration states; older files state the text's keys outside."""
    kind = config.choice("model_type", _TOWERS, "qwen2_5_vl")
    later = kind == "qwen2_5_vl"
    seen = with_defaults(config.section("vision_config"), SECOND_AND_A_HALF if later else SECOND)
    tower = _TOWERS[kind](seen)
    decoder = _read_decoder(config)
    out = seen.integer("out_hidden_size" if later else "hidden_size")
    config.require(
        out == decoder.width, f"the tower gives {out} numbers to a stream of {decoder.width}"
    )
    side, frames = _merged(seen), tower.embedding.frames
    multiple = side * tower.embedding.patch[0]
    video = config.integer("video_token_id", 151656, least=0)
    per_second = seen.number("tokens_per_second", positive=True) if later else None
    return VisionLanguage(
        vision=tower,
        seeing=Seeing((len(tower.layers),)),
        connector=Connector(
            tower.width,
            decoder.width,
            inner=side**2 * tower.width,
            side=side,
            before=_norm(tower.width, later),
        ),
        decoder=decoder,
        placeholder=config.integer("image_token_id", 151655, least=0),
        sizing=Native(multiple, *PIXELS),
        moving=Moving(video, frames, Native(multiple, *VIDEO_PIXELS), per_second),
    )


def _read_decoder(config: Config) -> Decoder:
    nested = "text_config" in config
    inner = config.section("text_config") if nested else config
    outer = {**config.values, "text_config": {**inner.values, "model_type": "qwen2"}}
    found = read_decoder(Config(outer, config.where), TEXT)
    return with_output_tied(config, found)


def _merged(config: Config) -> int:
    return config.integer("spatial_merge_size", 2)


def _norm(width: int, later: bool) -> Norm:
    return Norm(width, EPSILON) if later else Norm(width, EPSILON, "layer", bias=True)


def _read_embedding(config: Config, width: int) -> PatchEmbedding:
    patch, side = config.integer("patch_size", 14), _merged(config)
    channels = config.integer("in_channels", config.integer("in_chans", 3))
    rows, columns = USUAL
    return PatchEmbedding(
        width=width,
        patch=(patch, patch),
        grid=(rows * side, columns * side),
        channels=channels,
        bias=False,
        summary=False,
        between=None,
        frames=config.integer("temporal_patch_size", 2, most=64),
    )


def _read_attention(config: Config, width: int) -> Attention:
    """Return attention whose pairs are turned by row, the first half, and by column."""
    heads = config.integer("num_heads")
    head_width = width // heads
    config.require(width % (4 * heads) == 0, f"{heads} heads cannot share a width of {width}")
    base = config.section("rope_parameters").number("rope_theta", 10000.0, positive=True)
    axes = Axes((head_width // 4, head_width // 4), frequencies="each")
    return Attention(
        width,
        heads,
        heads,
        head_width,
        Rotary(base, head_width, axes=axes),
        causal=False,
        input_bias=True,
        output_bias=True,
    )


def _read_second(config: Config) -> VisionEncoder:
    width = config.integer("embed_dim")
    inner = int(width * config.number("mlp_ratio", positive=True))
    residual = Residual(_norm(width, later=False))
    feed_forward = Mlp(width, inner, config.activation("hidden_act"))
    layer = Layer(_read_attention(config, width), residual, feed_forward, residual)
    depth = config.integer("depth", most=10_000)
    return VisionEncoder(_read_embedding(config, width), (layer,) * depth)


def _read_second_and_a_half(config: Config) -> VisionEncoder:
    width = config.integer("hidden_size")
    attention, residual = _read_attention(config, width), Residual(_norm(width, later=True))
    inner, activation = config.integer("intermediate_size"), config.activation("hidden_act")
    feed_forward = GatedMlp(width, inner, activation, bias=True)
    side, patch = _merged(config), config.integer("patch_size", 14)
    pane = config.integer("window_size") // side // patch * side
    config.require(pane > 0, "'window_size' is smaller than one place")
    everywhere = set(config.items("fullatt_block_indexes"))
    layers = (
        Layer(
            replace(attention, reach=Everything() if depth in everywhere else Pane(pane, pane)),
            residual,
            feed_forward,
            residual,
        )
        for depth in range(config.integer("depth", most=10_000))
    )
    return VisionEncoder(_read_embedding(config, width), tuple(layers))


_TOWERS: Mapping[str, Callable[[Config], VisionEncoder]] = {
    "qwen2_vl": _read_second,
    "qwen2_5_vl": _read_second_and_a_half,
}


def rules(spec: VisionLanguage) -> Sequence[Rule]:
    """Return the names in a safetensors file, and ours."""
    theirs, ours = "visual.blocks.{layer}", "vision.layers.{layer}"
    width = spec.vision.width
    fused = {f"{ours}.mixer.{name}": width for name in ("query", "key", "value")}
    return (
        split(f"{theirs}.attn.qkv", fused),
        *tower_rules(spec),
        *below(trunk_rules(spec.decoder), "", "decoder."),
    )


def tower_rules(spec: VisionLanguage) -> Sequence[Rule]:
    """Return the names of a tower, but for queries, keys and values, and of what joins it."""
    theirs, ours = "visual.blocks.{layer}", "vision.layers.{layer}"
    return (
        rename("visual.patch_embed.proj", "vision.embedding.patches"),
        rename(f"{theirs}.norm1", f"{ours}.mixer_residual.before"),
        rename(f"{theirs}.attn.proj", f"{ours}.mixer.output"),
        rename(f"{theirs}.norm2", f"{ours}.feed_forward_residual.before"),
        *(
            rename(f"{theirs}.mlp.{name}", f"{ours}.feed_forward.{part}")
            for name, part in _FEED_FORWARD[type(spec.vision.layers[0].feed_forward)].items()
        ),
        rename("visual.merger.ln_q", "connector.before"),
        rename("visual.merger.mlp.0", "connector.up"),
        rename("visual.merger.mlp.2", "connector.down"),
    )


_FEED_FORWARD: Mapping[type, Mapping[str, str]] = {
    Mlp: {"fc1": "up", "fc2": "down"},
    GatedMlp: {"gate_proj": "gate", "up_proj": "up", "down_proj": "down"},
}
DIALECT = Dialect("qwen_vl", read, rules)
