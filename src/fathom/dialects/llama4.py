"""Llama 4 (Scout, Maverick), its text model: Meta, 2025, as published with the weights.

Three layers of four see their own block of tokens, with rotary positions; every fourth sees
everything and has none. Experts take what the router has already weighed, beside a shared one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from fathom.dialects.config import Config
from fathom.dialects.dialect import Dialect
from fathom.dialects.mixtures import LAYER, OURS, pre_norm, read_router, shared_rules
from fathom.dialects.rotary import read_rotary
from fathom.dialects.rules import Rule, Transpose, rename, split
from fathom.dialects.trunk import FULL, Dimensions, read_dimensions, trunk_rules
from fathom.spec.attention import Attention, Chunk, Everything, Reach
from fathom.spec.decoder import Decoder
from fathom.spec.experts import Experts
from fathom.spec.feed_forward import GatedMlp
from fathom.spec.parts import Norm
from fathom.spec.positions import Rotary, Temperature

CHUNKED = "chunked_attention"


def read(config: Config) -> Decoder:
    """Return the decoder that a configuration of this family states."""
    sizes = read_dimensions(config, context=131072)
    rotary = read_rotary(
        config, sizes.head_width, context=sizes.context, base=5e5, interleaved=True
    )
    epsilon = config.number("rms_norm_eps", 1e-5, positive=True)
    rotates = _rotating(config, sizes.layers)
    reaches = _reaches(config, rotates)
    activation = config.activation("hidden_act", "silu")
    dense = GatedMlp(sizes.width, config.integer("intermediate_size_mlp"), activation)
    experts = _experts(config, sizes.width)
    sparse = _sparse_layers(config, sizes.layers)
    norm = Norm(sizes.width, epsilon)
    with_positions = _rotating_attention(config, sizes, rotary, epsilon)
    without = _plain_attention(config, sizes)
    layers = (
        pre_norm(
            replace(with_positions if rotates[index] else without, reach=reaches[index]),
            experts if index in sparse else dense,
            norm,
        )
        for index in range(sizes.layers)
    )
    tied = config.flag("tie_word_embeddings", False)
    return sizes.decoder(layers, norm, tied=tied, rotary=rotary)


def _rotating(config: Config, layers: int) -> list[bool]:
    """Return which layers have rotary positions: 1 in the list says yes."""
    every = config.integer("no_rope_layer_interval", 4)
    stated = config.items("no_rope_layers", ())
    config.require(
        not stated or len(stated) >= layers, f"'no_rope_layers' has fewer than {layers} entries"
    )
    if stated:
        return [bool(flag) for flag in stated[:layers]]
    return [(index + 1) % every != 0 for index in range(layers)]


def _reaches(config: Config, rotates: Sequence[bool]) -> list[Reach]:
    """Return each layer's reach; layers with positions see their own block of tokens."""
    usual = [CHUNKED if flag else FULL for flag in rotates]
    kinds = config.items("layer_types", usual)
    config.require(
        len(kinds) == len(rotates) and all(kind in (CHUNKED, FULL) for kind in kinds),
        f"'layer_types' must name {CHUNKED} or {FULL} for each of {len(rotates)} layers",
    )
    chunk = config.optional_integer("attention_chunk_size")
    config.require(
        chunk is not None or CHUNKED not in kinds, "layers see chunks of no 'attention_chunk_size'"
    )
    return [Chunk(chunk) if kind == CHUNKED and chunk else Everything() for kind in kinds]


def _plain_attention(config: Config, sizes: Dimensions) -> Attention:
    """Return attention without positions, whose queries sharpen with length."""
    bias = config.flag("attention_bias", False)
    temperature = None
    if config.flag("attn_temperature_tuning", True):
        temperature = Temperature(
            every=config.integer("floor_scale", 8192), strength=config.number("attn_scale", 0.1)
        )
    return replace(sizes.attention(), input_bias=bias, output_bias=bias, temperature=temperature)


def _rotating_attention(
    config: Config, sizes: Dimensions, rotary: Rotary, epsilon: float
) -> Attention:
    """Return attention with positions; its norms follow the rotation and have no weights."""
    bias = config.flag("attention_bias", False)
    normed = config.flag("use_qk_norm", True)
    norm = Norm(sizes.head_width, epsilon, weight=False) if normed else None
    return replace(
        sizes.attention(rotary),
        input_bias=bias,
        output_bias=bias,
        query_norm=norm,
        key_norm=norm,
        norm_after_rotary=True,
    )


def _experts(config: Config, width: int) -> Experts:
    inner = config.integer("intermediate_size")
    activation = config.activation("hidden_act", "silu")
    return Experts(
        replace(read_router(config, width), scoring="sigmoid"),
        inner=inner,
        activation=activation,
        shared=GatedMlp(width, inner, activation),
        weighted="input",
    )


def _sparse_layers(config: Config, layers: int) -> frozenset[object]:
    """Return the layers with experts: those named, or every n-th one."""
    step = config.integer("interleave_moe_layer_step", 1)
    return frozenset(config.items("moe_layers", tuple(range(step - 1, layers, step))))


def rules(spec: Decoder) -> Sequence[Rule]:
    """Return the names in a safetensors file, and ours."""
    theirs = f"{LAYER}.feed_forward"
    inner = next(
        (p.feed_forward.inner for p in spec.layers if isinstance(p.feed_forward, Experts)), 0
    )
    halves = {f"{OURS}.experts.gate.weight": inner, f"{OURS}.experts.up.weight": inner}
    return trunk_rules(
        spec,
        rename(f"{theirs}.router", f"{OURS}.router.scores"),
        split(f"{theirs}.experts.gate_up_proj", halves, Transpose(), axis=1),
        rename(f"{theirs}.experts.down_proj", f"{OURS}.experts.down.weight", Transpose()),
        *shared_rules(f"{theirs}.shared_expert"),
        rename(f"{theirs}.gate_proj", f"{OURS}.gate"),
        rename(f"{theirs}.up_proj", f"{OURS}.up"),
        rename(f"{theirs}.down_proj", f"{OURS}.down"),
    )


DIALECT = Dialect("llama4", read, rules, prefix="model.")
