"""Nemotron 3 and 4 (Parmar et al., 2024, arXiv 2402.16819), and Minitron, pruned from them.

Layer norms stored as their distance from one, half of each head turned, and a plain feed-forward
with a squared ReLU.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from fathom.dialects.config import Config
from fathom.dialects.dialect import Dialect
from fathom.dialects.rotary import read_rotary
from fathom.dialects.rules import Rule, Shift
from fathom.dialects.trunk import read_dimensions, trunk_rules
from fathom.spec.decoder import Decoder, Layer, Residual
from fathom.spec.feed_forward import Mlp
from fathom.spec.parts import Norm


def read(config: Config) -> Decoder:
    """Return the decoder that a configuration of this family states."""
    sizes = read_dimensions(config, context=4096)
    rotary = read_rotary(config, sizes.head_width, context=sizes.context, fraction=0.5)
    bias = config.flag("attention_bias", False)
    attention = replace(sizes.attention(rotary), input_bias=bias, output_bias=bias)
    feed_forward = Mlp(
        sizes.width,
        config.integer("intermediate_size"),
        config.activation("hidden_act", "relu2"),
        config.flag("mlp_bias", False),
    )
    norm = Norm(sizes.width, config.number("norm_eps", 1e-5, positive=True), "layer", bias=True)
    layer = Layer(attention, Residual(norm), feed_forward, Residual(norm))
    tied = config.flag("tie_word_embeddings", False)
    return sizes.decoder([layer] * sizes.layers, norm, tied=tied, rotary=rotary)


def rules(spec: Decoder) -> Sequence[Rule]:
    """Return the names in a safetensors file, and ours."""
    return trunk_rules(spec, norms=(Shift(1.0),))


DIALECT = Dialect("nemotron", read, rules, prefix="model.")
