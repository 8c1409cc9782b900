"""SmolLM 3 (Hugging Face, 2025): Llama in which every fourth layer knows no positions.

The first two generations are Llama itself. Layers without positions follow Yang et al., 2025,
arXiv 2501.18795.
"""

from __future__ import annotations

from dataclasses import replace

from fathom.dialects.config import Config
from fathom.dialects.dialect import Dialect
from fathom.dialects.llama import gguf_rules
from fathom.dialects.rotary import read_rotary
from fathom.dialects.trunk import read_dimensions, read_reaches, trunk_rules
from fathom.spec.decoder import Decoder, Layer, Residual
from fathom.spec.feed_forward import GatedMlp
from fathom.spec.parts import Norm


def read(config: Config) -> Decoder:
    """Return the decoder that a configuration of this family states."""
    sizes = read_dimensions(config, context=32768)
    rotary = read_rotary(config, sizes.head_width, context=sizes.context, base=2e6)
    bias = config.flag("attention_bias", False)
    attention = replace(sizes.attention(rotary), input_bias=bias, output_bias=bias)
    feed_forward = GatedMlp(
        sizes.width,
        config.integer("intermediate_size"),
        config.activation("hidden_act", "silu"),
        config.flag("mlp_bias", False),
    )
    norm = Norm(sizes.width, config.number("rms_norm_eps", 1e-6, positive=True))
    turned = _read_turned(config, sizes.layers)
    windows = config.flag("use_sliding_window", False)  # a window may be stated and not used
    window = config.optional_integer("sliding_window") if windows else None
    reaches = read_reaches(config, sizes.layers, window, lambda index: not turned[index])
    layers = [
        Layer(
            replace(attention, reach=reach, positions=rotary if turns else None),
            Residual(norm),
            feed_forward,
            Residual(norm),
        )
        for reach, turns in zip(reaches, turned, strict=True)
    ]
    tied = config.flag("tie_word_embeddings", True)
    return sizes.decoder(layers, norm, tied=tied, rotary=rotary)


def _read_turned(config: Config, layers: int) -> list[bool]:
    """Return which layers know positions: ``no_rope_layers`` has a 1 for those that do."""
    if "no_rope_layers" not in config:
        interval = config.integer("no_rope_layer_interval", 4)
        return [(index + 1) % interval != 0 for index in range(layers)]
    stated = config.items("no_rope_layers")
    config.require(
        len(stated) >= layers and set(stated) <= {0, 1},
        f"'no_rope_layers' must hold 0 or 1 for each of {layers} layers, not {stated}",
    )
    return [bool(flag) for flag in stated[:layers]]


DIALECT = Dialect("smollm", read, trunk_rules, prefix="model.", gguf_rules=gguf_rules)
