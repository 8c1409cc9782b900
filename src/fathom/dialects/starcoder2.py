"""StarCoder 2: grouped heads, a window, layer norms and biases.

Lozhkov et al., 2024 (arXiv 2402.19173).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from fathom.dialects.config import Config
from fathom.dialects.dialect import Dialect
from fathom.dialects.rotary import read_rotary
from fathom.dialects.rules import Rule, rename
from fathom.dialects.trunk import read_dimensions, trunk_rules
from fathom.spec.attention import Everything, Window
from fathom.spec.decoder import Decoder, Layer, Residual
from fathom.spec.feed_forward import Mlp
from fathom.spec.parts import Norm


def read(config: Config) -> Decoder:
    """Return the decoder that a configuration of this family states."""
    sizes = read_dimensions(config, context=4096)
    rotary = read_rotary(config, sizes.head_width, context=sizes.context)
    config.choice("mlp_type", ["default"], "default")
    config.choice("norm_type", ["layer_norm"], "layer_norm")
    bias = config.flag("use_bias", True)
    window = config.optional_integer("sliding_window")
    attention = replace(
        sizes.attention(rotary),
        reach=Window(window) if window else Everything(),
        input_bias=bias,
        output_bias=bias,
    )
    feed_forward = Mlp(
        width=sizes.width,
        inner=config.integer("intermediate_size"),
        activation=config.activation("hidden_act", "gelu_pytorch_tanh"),
        bias=bias,
    )
    norm = Norm(sizes.width, config.number("norm_epsilon", 1e-5, positive=True), "layer", bias=True)
    layer = Layer(attention, Residual(before=norm), feed_forward, Residual(before=norm))
    tied = config.flag("tie_word_embeddings", True)
    return sizes.decoder([layer] * sizes.layers, norm, tied=tied, rotary=rotary)


def rules(spec: Decoder) -> Sequence[Rule]:
    """Return the names in a safetensors file, and ours."""
    return trunk_rules(
        spec,
        rename("model.layers.{layer}.mlp.c_fc", "layers.{layer}.feed_forward.up"),
        rename("model.layers.{layer}.mlp.c_proj", "layers.{layer}.feed_forward.down"),
    )


DIALECT = Dialect("starcoder2", read, rules, prefix="model.")
