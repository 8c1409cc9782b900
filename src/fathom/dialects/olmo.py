"""OLMo 1 and 2.

OLMo (Groeneveld et al., 2024, arXiv 2402.00838) is Llama with layer norms that hold no weights,
and may bound queries, keys and values. OLMo 2 (2025, arXiv 2501.00656) norms the result of each
part instead of its input, and all query and key heads together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from fathom.dialects.config import Config
from fathom.dialects.dialect import Dialect
from fathom.dialects.llama import gguf_rules as llama_gguf_rules
from fathom.dialects.rotary import read_rotary
from fathom.dialects.rules import Rule
from fathom.dialects.trunk import Dimensions, norm_rules, read_dimensions, trunk_rules
from fathom.spec.attention import Attention
from fathom.spec.decoder import Decoder, Layer, Residual
from fathom.spec.feed_forward import GatedMlp
from fathom.spec.parts import Norm


def read(config: Config) -> Decoder:
    """Return the decoder that a configuration of this family states."""
    second = config.choice("model_type", ("olmo", "olmo2"), "olmo") == "olmo2"
    config.require("sliding_window" not in config, "'sliding_window' makes this an OLMo 3")
    sizes = read_dimensions(config)
    rotary = read_rotary(config, sizes.head_width, context=sizes.context)
    bias = config.flag("attention_bias", False)
    attention = replace(sizes.attention(rotary), input_bias=bias, output_bias=bias)
    if second:
        epsilon = config.number("rms_norm_eps", 1e-5, positive=True)
        norm = Norm(sizes.width, epsilon)
        around = Residual(after=norm)
        attention = _normed(attention, sizes, epsilon)
    else:
        norm = Norm(sizes.width, 1e-5, "layer", weight=False)
        around = Residual(before=norm)
        attention = replace(attention, clip=config.optional_number("clip_qkv", positive=True))
    inner = config.integer("intermediate_size")
    feed_forward = GatedMlp(sizes.width, inner, config.activation("hidden_act", "silu"))
    layer = Layer(attention, around, feed_forward, around)
    tied = config.flag("tie_word_embeddings", False)
    return sizes.decoder([layer] * sizes.layers, norm, tied=tied, rotary=rotary)


def _normed(attention: Attention, sizes: Dimensions, epsilon: float) -> Attention:
    """Return attention that norms all heads of the query, and of the key, as one vector."""
    return replace(
        attention,
        query_norm=Norm(sizes.heads * sizes.head_width, epsilon),
        key_norm=Norm(sizes.kv_heads * sizes.head_width, epsilon),
    )


def rules(spec: Decoder) -> Sequence[Rule]:
    """Return the names in a safetensors file, and ours."""
    theirs, ours = "model.layers.{layer}", "layers.{layer}"
    return trunk_rules(
        spec,
        *norm_rules(f"{theirs}.post_attention_layernorm", f"{ours}.mixer_residual.after"),
        *norm_rules(f"{theirs}.post_feedforward_layernorm", f"{ours}.feed_forward_residual.after"),
    )


def gguf_rules(spec: Decoder) -> Sequence[Rule]:
    """GGUF keeps OLMo's query and key rows in pairs, as Llama's; OLMo 2's as they are."""
    second = spec.layers[0].mixer_residual.after is not None
    return () if second else llama_gguf_rules(spec)


DIALECT = Dialect("olmo", read, rules, prefix="model.", gguf_rules=gguf_rules)
