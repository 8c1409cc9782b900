"""Granite 3 (IBM, 2024): Llama with four multipliers.

The embedding, every addition to the stream, the attention scores and the output scores each
have one, so that a width can change without the learning rate.
"""

from __future__ import annotations

from dataclasses import replace

from fathom.dialects.config import Config
from fathom.dialects.dialect import Dialect
from fathom.dialects.llama import gguf_rules
from fathom.dialects.rotary import read_rotary
from fathom.dialects.trunk import read_dimensions, trunk_rules
from fathom.spec.decoder import Decoder, Layer, Residual
from fathom.spec.feed_forward import GatedMlp
from fathom.spec.parts import Norm


def read(config: Config) -> Decoder:
    """Return the decoder that a configuration of this family states."""
    sizes = read_dimensions(config)
    rotary = read_rotary(config, sizes.head_width, context=sizes.context)
    bias = config.flag("attention_bias", False)
    attention = replace(
        sizes.attention(rotary),
        scale=config.number("attention_multiplier", 1.0, positive=True),
        input_bias=bias,
        output_bias=bias,
    )
    feed_forward = GatedMlp(
        sizes.width,
        config.integer("intermediate_size"),
        config.activation("hidden_act", "silu"),
        config.flag("mlp_bias", False),
    )
    norm = Norm(sizes.width, config.number("rms_norm_eps", 1e-6, positive=True))
    around = Residual(norm, scale=config.number("residual_multiplier", 1.0, positive=True))
    layers = [Layer(attention, around, feed_forward, around)] * sizes.layers
    tied = config.flag("tie_word_embeddings", False)
    decoder = sizes.decoder(layers, norm, tied=tied, rotary=rotary)
    into = config.number("embedding_multiplier", 1.0, positive=True)
    out_of = 1.0 / config.number("logits_scaling", 1.0, positive=True)
    return replace(
        decoder,
        embedding=replace(decoder.embedding, scale=into),
        output=replace(decoder.output, scale=out_of),
    )


DIALECT = Dialect("granite", read, trunk_rules, prefix="model.", gguf_rules=gguf_rules)
