"""Falcon: attention and feed-forward side by side, one or few key heads.

Three layouts: Falcon 7B (one norm, one key head), Falcon 40B, 180B and 11B (grouped key heads,
two norms or one), Falcon-RW (one after the other, linear biases). Almazrouei et al., 2023
(arXiv 2311.16867); Penedo et al., 2023 (arXiv 2306.01116).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from fathom.dialects import bloom
from fathom.dialects.alibi import slopes
from fathom.dialects.config import Config
from fathom.dialects.dialect import Dialect
from fathom.dialects.rotary import read_rotary
from fathom.dialects.rules import Rule, rename
from fathom.dialects.trunk import Dimensions, fused_gguf_rules, read_dimensions
from fathom.spec.attention import Attention
from fathom.spec.decoder import Decoder, Layer, Residual
from fathom.spec.feed_forward import Mlp
from fathom.spec.parts import Norm
from fathom.spec.positions import Rotary, RoundedAlibi

# Usual key → Falcon's own.
NAMES = {
    "num_key_value_heads": "num_kv_heads",
    "intermediate_size": "ffn_hidden_size",
    "hidden_act": "activation",
    "layer_norm_eps": "layer_norm_epsilon",
}


def read(config: Config) -> Decoder:
    """Return the decoder that a configuration of this family states."""
    config = config.spelled(NAMES)
    sizes = _sizes(config)
    bias = config.flag("bias", False)
    attention = replace(_attention(config, sizes), input_bias=bias, output_bias=bias)
    feed_forward = Mlp(
        width=sizes.width,
        inner=config.integer("intermediate_size", 4 * sizes.width),
        activation=config.activation("hidden_act", "gelu"),
        bias=bias,
    )
    epsilon = config.number("layer_norm_eps", 1e-5, positive=True)
    norm = Norm(sizes.width, epsilon, "layer", bias=True)
    own_norm = norm if _norms(config) == 2 else None
    parallel = config.flag("parallel_attn", True)
    layer = Layer(attention, Residual(norm), feed_forward, Residual(own_norm), parallel)
    tied = config.flag("tie_word_embeddings", True)
    rotary = attention.positions if isinstance(attention.positions, Rotary) else None
    return sizes.decoder([layer] * sizes.layers, norm, tied=tied, rotary=rotary)


def _sizes(config: Config) -> Dimensions:
    """Return the sizes; the older layouts have one key head or as many as heads."""
    sizes = read_dimensions(config)
    if config.flag("new_decoder_architecture", False):
        return sizes
    return replace(sizes, kv_heads=1 if config.flag("multi_query", True) else sizes.heads)


def _attention(config: Config, sizes: Dimensions) -> Attention:
    if config.flag("alibi", False):
        return replace(sizes.attention(), positions=RoundedAlibi(slopes(sizes.heads)))
    return sizes.attention(read_rotary(config, sizes.head_width, context=sizes.context))


def _norms(config: Config) -> int:
    """Return how many norms a layer has: one that both parts share, or one for each.

    Raises:
        ConfigError: for a combination of layouts that was never published.
    """
    grouped = config.flag("new_decoder_architecture", False)
    if not config.flag("parallel_attn", True):
        config.require(not grouped, "'new_decoder_architecture' goes with 'parallel_attn' only")
        return 2
    norms = config.integer("num_ln_in_parallel_attn", 2 if grouped else 1, most=2)
    config.require(
        grouped or norms == 1,
        "'num_ln_in_parallel_attn' 2 goes with 'new_decoder_architecture' only",
    )
    return norms


def rules(spec: Decoder) -> Sequence[Rule]:
    """Return the names in a safetensors file, and ours."""
    return bloom.trunk_rules(spec, *_norm_rules(spec, "transformer.h.{layer}", "ln_attn", "ln_mlp"))


def gguf_rules(spec: Decoder) -> Sequence[Rule]:
    """GGUF calls the feed-forward's norm ``attn_norm`` where the attention has its own."""
    return (*fused_gguf_rules(spec), *_norm_rules(spec, "blk.{layer}", "attn_norm_2", "attn_norm"))


def _norm_rules(spec: Decoder, theirs: str, attention: str, feed_forward: str) -> Sequence[Rule]:
    layer = spec.layers[0]
    if not layer.parallel or layer.feed_forward_residual.before is None:
        return ()
    return (
        rename(f"{theirs}.{attention}", "layers.{layer}.mixer_residual.before"),
        rename(f"{theirs}.{feed_forward}", "layers.{layer}.feed_forward_residual.before"),
    )


DIALECT = Dialect("falcon", read, rules, prefix="transformer.", gguf_rules=gguf_rules)
