"""Gemma 1, 2 and the text part of Gemma 3.

The stream is scaled at the embedding and norms are stored as their distance from one. Gemma 2
(2024, arXiv 2408.00118) norms the result of each part too, bounds its scores and lets every other
layer slide; Gemma 3 (2025, arXiv 2503.19786) norms query and key heads instead of bounding
scores, and turns positions by one base in sliding layers and by another in full ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from fathom.dialects.config import Config
from fathom.dialects.dialect import Dialect
from fathom.dialects.rotary import read_rotary
from fathom.dialects.rules import Rule, Shift
from fathom.dialects.trunk import (
    FULL,
    SLIDING,
    Dimensions,
    norm_rules,
    read_dimensions,
    read_reaches,
    trunk_rules,
    with_defaults,
)
from fathom.spec.attention import Attention, Window
from fathom.spec.decoder import Decoder, Layer, Residual
from fathom.spec.feed_forward import Activation, GatedMlp
from fathom.spec.parts import Norm
from fathom.spec.positions import Rotary

# What published files leave out, because it is the default of their publisher's own code.
_DEFAULTS: Mapping[str, Mapping[str, object]] = {
    "gemma": {"head_dim": 256, "max_position_embeddings": 8192},
    "gemma2": {
        "hidden_activation": "gelu_tanh",
        "head_dim": 256,
        "max_position_embeddings": 8192,
        "query_pre_attn_scalar": 256,
        "sliding_window": 4096,
        "sliding_window_pattern": 2,
        "attn_logit_softcapping": 50.0,
        "final_logit_softcapping": 30.0,
    },
    "gemma3_text": {
        "vocab_size": 262208,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "hidden_activation": "gelu_tanh",
        "head_dim": 256,
        "max_position_embeddings": 131072,
        "query_pre_attn_scalar": 256,
        "sliding_window": 4096,
        "sliding_window_pattern": 6,
    },
}


def read(config: Config) -> Decoder:
    """Return the decoder that a configuration of this family states."""
    kind = config.choice("model_type", _DEFAULTS, "gemma")
    config = with_defaults(config, _DEFAULTS[kind])
    sizes = read_dimensions(config)
    norm = Norm(sizes.width, config.number("rms_norm_eps", 1e-6, positive=True))
    around = Residual(before=norm, after=None if kind == "gemma" else norm)
    wide, narrow = _rotaries(config, sizes, two_bases=kind == "gemma3_text")
    attention = _attention(config, sizes, kind)
    feed_forward = GatedMlp(
        sizes.width, config.integer("intermediate_size"), _activation(config, kind)
    )
    pattern = config.integer("sliding_window_pattern", 1)  # the last of so many sees everything
    window = _window(config) if kind != "gemma" else None
    layers = (
        Layer(
            replace(
                attention, reach=reach, positions=narrow if isinstance(reach, Window) else wide
            ),
            around,
            feed_forward,
            around,
        )
        for reach in read_reaches(
            config, sizes.layers, window, lambda index: (index + 1) % pattern != 0
        )
    )
    tied = config.flag("tie_word_embeddings", True)
    decoder = sizes.decoder(layers, norm, tied=tied, rotary=wide)
    return replace(
        decoder,
        embedding=replace(decoder.embedding, scale=sizes.width**0.5),
        output=replace(decoder.output, soft_cap=_cap(config, "final_logit_softcapping")),
    )


def _attention(config: Config, sizes: Dimensions, kind: str) -> Attention:
    bias = config.flag("attention_bias", False)
    cap = _cap(config, "attn_logit_softcapping")
    config.require(
        cap is None or kind == "gemma2",
        f"'attn_logit_softcapping' of {cap} belongs to Gemma 2 only",
    )
    head_norm = Norm(sizes.head_width, config.number("rms_norm_eps", 1e-6, positive=True))
    scalar = config.optional_number("query_pre_attn_scalar", positive=True)
    return replace(
        sizes.attention(),
        causal=not config.flag("use_bidirectional_attention", False),
        scale=None if scalar is None else scalar**-0.5,
        input_bias=bias,
        output_bias=bias,
        query_norm=head_norm if kind == "gemma3_text" else None,
        key_norm=head_norm if kind == "gemma3_text" else None,
        soft_cap=cap,
    )


def _activation(config: Config, kind: str) -> Activation:
    """Return the activation; Gemma 1's first files say "gelu" and mean the form with tanh."""
    if kind != "gemma":
        return config.activation("hidden_activation")
    stated = config.activation("hidden_act", "gelu_tanh")
    return "gelu_tanh" if stated == "gelu" else stated


def _cap(config: Config, key: str) -> float | None:
    return config.optional_number(key, positive=True)


def _window(config: Config) -> int | None:
    """Return the window; a bidirectional model states both halves of it together."""
    window = config.optional_integer("sliding_window")
    halved = window is not None and config.flag("use_bidirectional_attention", False)
    return window // 2 + 1 if halved and window is not None else window


def _rotaries(config: Config, sizes: Dimensions, *, two_bases: bool) -> tuple[Rotary, Rotary]:
    """Return the rotary embedding of full layers, and that of sliding ones."""
    width, context = sizes.head_width, sizes.context
    if not two_bases:
        rotary = read_rotary(config, width, context=context)
        return rotary, rotary
    nested = config.section("rope_parameters")
    if not nested.values:  # as first published: a scaling law is for full layers only
        wide = read_rotary(config, width, context=context, base=1e6)
        return wide, Rotary(config.number("rope_local_base_freq", 1e4, positive=True), width)
    config.require(
        set(nested.values) <= {FULL, SLIDING},
        f"'rope_parameters' must be stated for {FULL} and {SLIDING}, not as one",
    )
    return (
        read_rotary(nested, width, context=context, base=1e6, section=FULL),
        read_rotary(nested, width, context=context, base=1e4, section=SLIDING),
    )


def rules(spec: Decoder) -> Sequence[Rule]:
    """Return the names in a safetensors file, and ours."""
    from_one = (Shift(1.0),)
    theirs, ours = "model.layers.{layer}", "layers.{layer}"
    pairs = {
        "post_attention_layernorm": "mixer_residual.after",
        "pre_feedforward_layernorm": "feed_forward_residual.before",
        "post_feedforward_layernorm": "feed_forward_residual.after",
    }
    own = [
        rule
        for name, place in pairs.items()
        if spec.layers[0].mixer_residual.after is not None  # in Gemma 1 the first means another
        for rule in norm_rules(f"{theirs}.{name}", f"{ours}.{place}", from_one)
    ]
    return trunk_rules(spec, *own, norms=from_one)


DIALECT = Dialect("gemma", read, rules, prefix="model.")
