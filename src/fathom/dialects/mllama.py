"""Llama 3.2 Vision: a tower that sees tiles, one map, and Llama 3.1 with layers that look at them.

Llama Team, 2024 (arXiv 2407.21783, §7). The layers that look were added between those of a
trained decoder, which are as they were.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from fathom.dialects import llama
from fathom.dialects.config import Config
from fathom.dialects.dialect import Dialect
from fathom.dialects.rules import Rule, below, rename
from fathom.dialects.towers import LARGEST_PICTURE, require_architecture
from fathom.dialects.trunk import trunk_rules, with_defaults
from fathom.spec.attention import Attention
from fathom.spec.cross_vision_language import CrossVisionLanguage, LookingDecoder
from fathom.spec.decoder import Decoder, Layer, Residual
from fathom.spec.encoder_decoder import CrossAttention, LookingLayer
from fathom.spec.feed_forward import GatedMlp, Mlp
from fathom.spec.parts import Bare, Convolution, Linear, Norm
from fathom.spec.roles import Role
from fathom.spec.tiles import TileEncoder, arrangements

EPSILON = 1e-5  # of the norms around the layers, which no configuration states
FURTHER_TOKENS = 8  # that may be read and not written; the first stands for a picture
MOST_TILES = 64
# What published files leave out, or may.
VISION: Mapping[str, object] = {
    **{"hidden_size": 1280, "num_hidden_layers": 32, "num_global_layers": 8},
    **{"attention_heads": 16, "num_channels": 3, "intermediate_size": 5120},
    **{"image_size": 448, "patch_size": 14, "norm_eps": 1e-5, "max_num_tiles": 4},
    "intermediate_layers_indices": [3, 7, 15, 23, 30],
}
TEXT: Mapping[str, object] = {
    **{"vocab_size": 128256, "hidden_size": 4096, "num_hidden_layers": 40},
    **{"num_attention_heads": 32, "num_key_value_heads": 8, "intermediate_size": 14336},
    **{"rms_norm_eps": 1e-5, "max_position_embeddings": 131072, "rope_theta": 500000.0},
    "cross_attention_layers": [3, 8, 13, 18, 23, 28, 33, 38],
}
GATE = Bare((1,), Role.NORM)


def read(config: Config) -> CrossVisionLanguage:
    """Return the tower, the map and the decoder that a configuration states."""
    require_architecture(config, "MllamaForConditionalGeneration")
    vision = with_defaults(config.section("vision_config"), VISION)
    tower = _read_tower(vision)
    decoder = _read_decoder(with_defaults(config.section("text_config"), TEXT))
    stated = vision.integer("vision_output_dim", tower.vector)
    config.require(
        stated == tower.vector,
        f"'vision_output_dim' is {stated}, and the layers that are read give {tower.vector}",
    )
    rows = decoder.embedding.vocabulary
    key = "image_token_id" if "image_token_id" in config else "image_token_index"
    return CrossVisionLanguage(
        vision=tower,
        connector=Linear(tower.vector, decoder.width, Role.DENSE, bias=True),
        decoder=decoder,
        placeholder=config.integer(key, rows - FURTHER_TOKENS, least=0, most=rows - 1),
    )


def _read_tower(config: Config) -> TileEncoder:
    """Return the tower; its layers have no biases in attention and both in feed-forwards."""
    width, heads = config.integer("hidden_size"), config.integer("attention_heads")
    config.require(width % heads == 0, f"{heads} heads cannot share a width of {width} evenly")
    side, patch = (
        config.integer(key, most=LARGEST_PICTURE) for key in ("image_size", "patch_size")
    )
    config.require(side >= patch, "'image_size' is smaller than one patch")
    norm = Norm(width, config.number("norm_eps", positive=True), "layer", bias=True)
    around = Norm(width, EPSILON, "layer", bias=True)
    feed_forward = Mlp(
        width, config.integer("intermediate_size"), config.activation("hidden_act", "gelu")
    )
    attention = Attention(width, heads, heads, width // heads, causal=False)
    plain, gated = Residual(before=norm), Residual(before=norm, gate=GATE)
    count = config.integer("num_hidden_layers", most=10_000)
    tiles = config.integer("max_num_tiles", most=MOST_TILES)
    _require_arrangements(config, tiles)
    channels = config.integer("num_channels")
    sides = (patch, patch)
    return TileEncoder(
        tiles=tiles,
        side=side,
        patches=Convolution(channels, width, sides, sides, (0, 0), (1, 1), bias=False),
        entering=around,
        layers=(Layer(attention, plain, feed_forward, plain),) * count,
        leaving=around,
        whole=(Layer(attention, gated, feed_forward, gated),)
        * config.integer("num_global_layers", least=0, most=10_000),
        depths=_read_depths(config, count),
    )


def _read_depths(config: Config, layers: int) -> tuple[int, ...]:
    """Return after how many layers states are read as well; files number the layers from 0."""
    listed = config.items("intermediate_layers_indices")
    numbered = Config({str(place): one for place, one in enumerate(listed)}, config.where)
    depths = tuple(1 + numbered.integer(key, least=0, most=layers - 1) for key in numbered.values)
    config.require(
        bool(depths) and list(depths) == sorted(set(depths)),
        "'intermediate_layers_indices' must name layers, each once and in order",
    )
    return depths


def _require_arrangements(config: Config, tiles: int) -> None:
    """Refuse other arrangements than all: pictures are numbered by their place among those."""
    stated = config.items("supported_aspect_ratios", arrangements(tiles))
    config.require(
        [list(one) if isinstance(one, list | tuple) else one for one in stated]
        == [list(one) for one in arrangements(tiles)],
        f"'supported_aspect_ratios' must be all {len(arrangements(tiles))} of up to {tiles} tiles",
    )


def _read_decoder(config: Config) -> LookingDecoder:
    """Return Llama's decoder with other layers where the file says so."""
    own = llama.read(config)
    norm = Norm(own.width, config.number("rms_norm_eps", positive=True))
    looking = _looking_layer(own, norm)
    listed = config.items("cross_attention_layers")
    for one in listed:
        known = isinstance(one, int) and 0 <= one < len(own.layers)
        config.require(known, f"'cross_attention_layers' names {one!r}, which is no layer")
    return LookingDecoder(
        context=own.context,
        embedding=replace(own.embedding, vocabulary=own.vocabulary + FURTHER_TOKENS),
        layers=tuple(
            looking if number in listed else layer for number, layer in enumerate(own.layers)
        ),
        norm=norm,
        output=replace(own.output, tied=False),
    )


def _looking_layer(own: Decoder, norm: Norm) -> LookingLayer:
    """Return a layer of the sizes of the others that looks at pictures."""
    mixer = own.mixer(Attention)
    fed = (layer.feed_forward for layer in own.layers)
    feed_forward = next(part for part in fed if isinstance(part, GatedMlp))
    head_norm = replace(norm, width=mixer.head_width)
    cross = CrossAttention(
        mixer.width,
        mixer.heads,
        mixer.head_width,
        kv_heads=mixer.kv_heads,
        query_norm=head_norm,
        key_norm=head_norm,
    )
    residual = Residual(before=norm, gate=GATE)
    return LookingLayer(cross, residual, feed_forward, residual)


def rules(spec: CrossVisionLanguage) -> Sequence[Rule]:
    """Return the names in a safetensors file, and ours."""
    return (
        *_tower_rules(),
        rename("multi_modal_projector", "connector"),
        *below((*_looking_rules(), *trunk_rules(spec.decoder)), "language_model.", "decoder."),
    )


def _tower_rules() -> Sequence[Rule]:
    positions = "vision_model.gated_positional_embedding"
    names = {
        "vision_model.patch_embedding": "vision.patches",
        "vision_model.class_embedding": "vision.summary",
        "vision_model.layernorm_pre": "vision.entering",
        "vision_model.layernorm_post": "vision.leaving",
        f"{positions}.gate": "vision.positions.gate",
        f"{positions}.embedding": "vision.positions.everywhere",
        f"{positions}.tile_embedding": "vision.positions.by_tile",
    }
    for theirs, ours in (("pre", "before"), ("post", "after")):
        offset = f"vision_model.{theirs}_tile_positional_embedding"
        names[f"{offset}.gate"] = f"vision.{ours}.gate"
        names[f"{offset}.embedding"] = f"vision.{ours}.by_tile"
    return (
        *(rename(theirs, ours) for theirs, ours in names.items()),
        *_layer_rules("vision_model.transformer", "vision.layers"),
        *_layer_rules("vision_model.global_transformer", "vision.whole"),
    )


def _layer_rules(theirs: str, ours: str) -> Sequence[Rule]:
    layer, own = f"{theirs}.layers.{{layer}}", f"{ours}.{{layer}}"
    names = {
        "input_layernorm": "mixer_residual.before",
        "gate_attn": "mixer_residual.gate",
        "post_attention_layernorm": "feed_forward_residual.before",
        "gate_ffn": "feed_forward_residual.gate",
        "mlp.fc1": "feed_forward.up",
        "mlp.fc2": "feed_forward.down",
        **{
            f"self_attn.{name[0]}_proj": f"mixer.{name}"
            for name in ("query", "key", "value", "output")
        },
    }
    return tuple(rename(f"{layer}.{name}", f"{own}.{mine}") for name, mine in names.items())


def _looking_rules() -> Sequence[Rule]:
    layer, own = "model.layers.{layer}", "layers.{layer}"
    names = {
        "input_layernorm": "cross_residual.before",
        "cross_attn_attn_gate": "cross_residual.gate",
        "cross_attn_mlp_gate": "feed_forward_residual.gate",
        "cross_attn.q_norm": "cross.query_norm",
        "cross_attn.k_norm": "cross.key_norm",
        **{
            f"cross_attn.{name[0]}_proj": f"cross.{name}"
            for name in ("query", "key", "value", "output")
        },
    }
    return tuple(rename(f"{layer}.{name}", f"{own}.{mine}") for name, mine in names.items())


DIALECT = Dialect("mllama", read, rules)
