"""Phi 1 to 2, and Phi 3 to 4.

The first (Gunasekar et al., 2023, arXiv 2306.11644) run attention and a plain feed-forward side
by side and turn part of each head; the later ones (2024, arXiv 2404.14219) are Llama with fused
projections and, for long contexts, LongRoPE.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from fathom.dialects.config import Config
from fathom.dialects.dialect import Dialect
from fathom.dialects.rotary import read_rotary
from fathom.dialects.rules import Rule, rename
from fathom.dialects.trunk import (
    fused_attention,
    fused_gate,
    norm_rules,
    read_dimensions,
    trunk_rules,
)
from fathom.spec.attention import Everything, Window
from fathom.spec.decoder import Decoder, Layer, Residual
from fathom.spec.feed_forward import GatedMlp, Mlp
from fathom.spec.parts import Norm
from fathom.spec.positions import YarnScaling


def read(config: Config) -> Decoder:
    """Return the decoder that a configuration of this family states."""
    later = config.choice("model_type", ("phi", "phi3"), "phi") == "phi3"
    return _read_later(config) if later else _read_first(config)


def _read_first(config: Config) -> Decoder:
    sizes = read_dimensions(config)
    epsilon = config.number("layer_norm_eps", 1e-5, positive=True)
    rotary = read_rotary(config, sizes.head_width, context=sizes.context, fraction=0.5)
    normed = config.flag("qk_layernorm", False)
    head_norm = Norm(sizes.head_width, epsilon, "layer", bias=True) if normed else None
    attention = replace(
        sizes.attention(rotary),
        input_bias=True,
        output_bias=True,
        query_norm=head_norm,
        key_norm=head_norm,
    )
    inner = config.integer("intermediate_size", 4 * sizes.width)
    feed_forward = Mlp(sizes.width, inner, config.activation("hidden_act", "gelu_new"))
    norm = Norm(sizes.width, epsilon, "layer", bias=True)
    layer = Layer(attention, Residual(norm), feed_forward, parallel=True)
    tied = config.flag("tie_word_embeddings", False)
    config.require(not tied, "'tie_word_embeddings' cannot be true: Phi's output has its own bias")
    decoder = sizes.decoder([layer] * sizes.layers, norm, tied=False, rotary=rotary)
    return replace(decoder, output=replace(decoder.output, bias=True))


def _read_later(config: Config) -> Decoder:
    sizes = read_dimensions(config, context=4096)
    config.require(not config.flag("attention_bias", False), "'attention_bias' cannot be true")
    rotary = read_rotary(config, sizes.head_width, context=sizes.context)
    config.require(
        not isinstance(rotary.scaling, YarnScaling),
        "YaRN is not read for Phi 3, whose early code meant another law by it; it uses LongRoPE",
    )
    window = config.optional_integer("sliding_window")
    attention = replace(
        sizes.attention(rotary), reach=Everything() if window is None else Window(window)
    )
    inner = config.integer("intermediate_size")
    feed_forward = GatedMlp(sizes.width, inner, config.activation("hidden_act", "silu"))
    norm = Norm(sizes.width, config.number("rms_norm_eps", 1e-5, positive=True))
    layer = Layer(attention, Residual(norm), feed_forward, Residual(norm))
    tied = config.flag("tie_word_embeddings", False)
    return sizes.decoder([layer] * sizes.layers, norm, tied=tied, rotary=rotary)


def rules(spec: Decoder) -> Sequence[Rule]:
    """Return the names in a safetensors file, and ours."""
    theirs, ours = "model.layers.{layer}", "layers.{layer}"
    if not spec.layers[0].parallel:
        return trunk_rules(
            spec,
            fused_attention(f"{theirs}.self_attn.qkv_proj", spec),
            fused_gate(f"{theirs}.mlp.gate_up_proj", spec),
        )
    return trunk_rules(
        spec,
        rename(f"{theirs}.self_attn.dense", f"{ours}.mixer.output"),
        *norm_rules(f"{theirs}.self_attn.q_layernorm", f"{ours}.mixer.query_norm"),
        *norm_rules(f"{theirs}.self_attn.k_layernorm", f"{ours}.mixer.key_norm"),
        rename(f"{theirs}.mlp.fc1", f"{ours}.feed_forward.up"),
        rename(f"{theirs}.mlp.fc2", f"{ours}.feed_forward.down"),
        *norm_rules("model.final_layernorm", "norm"),
    )


def gguf_rules(spec: Decoder) -> Sequence[Rule]:
    """GGUF keeps Phi 3's projections fused, and Phi 2's where they came so."""
    attention = fused_attention("blk.{layer}.attn_qkv", spec)
    if spec.layers[0].parallel:
        return (attention,)
    return attention, fused_gate("blk.{layer}.ffn_up", spec)


DIALECT = Dialect("phi", read, rules, prefix="model.", gguf_rules=gguf_rules)
