"""ERNIE 4.5 without experts (Baidu, 2025, technical report): Llama with neighbouring pairs turned.

One flag states the biases of every linear map.
"""

from __future__ import annotations

from dataclasses import replace

from fathom.dialects.config import Config
from fathom.dialects.dialect import Dialect
from fathom.dialects.rotary import read_rotary
from fathom.dialects.trunk import read_dimensions, trunk_rules, with_defaults
from fathom.spec.decoder import Decoder, Layer, Residual
from fathom.spec.feed_forward import GatedMlp
from fathom.spec.parts import Norm


def read(config: Config) -> Decoder:
    """Return the decoder that a configuration of this family states."""
    config = with_defaults(config, {"head_dim": 128})
    sizes = read_dimensions(config, context=131_072)
    rotary = read_rotary(
        config, sizes.head_width, context=sizes.context, base=500_000.0, interleaved=True
    )
    bias = config.flag("use_bias", False)
    attention = replace(sizes.attention(rotary), input_bias=bias, output_bias=bias)
    inner = config.integer("intermediate_size")
    feed_forward = GatedMlp(sizes.width, inner, config.activation("hidden_act", "silu"), bias)
    norm = Norm(sizes.width, config.number("rms_norm_eps", 1e-5, positive=True))
    layer = Layer(attention, Residual(norm), feed_forward, Residual(norm))
    tied = config.flag("tie_word_embeddings", True)
    return sizes.decoder([layer] * sizes.layers, norm, tied=tied, rotary=rotary)


DIALECT = Dialect("ernie", read, trunk_rules, prefix="model.")
