"""GPT-J: attention and feed-forward side by side under one norm, a part of each head rotated.

Wang & Komatsuzaki, 2021 ("GPT-J-6B: A 6 Billion Parameter Autoregressive Language Model").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from fathom.dialects import gpt2
from fathom.dialects.config import Config
from fathom.dialects.dialect import Dialect
from fathom.dialects.rules import Rule, drop, rename
from fathom.dialects.trunk import read_dimensions
from fathom.spec.decoder import Decoder, Layer, Residual
from fathom.spec.feed_forward import Mlp
from fathom.spec.parts import Norm
from fathom.spec.positions import Rotary


def read(config: Config) -> Decoder:
    """Return the decoder that a configuration of this family states."""
    config = config.spelled(gpt2.NAMES)
    sizes = read_dimensions(config)
    width = sizes.width
    config.require(config.flag("rotary", True), "'rotary' is false, and no published model says so")
    rotated = config.integer("rotary_dim", min(64, sizes.head_width), most=sizes.head_width)
    config.require(rotated % 2 == 0, f"'rotary_dim' {rotated} is odd; pairs need an even one")
    feed_forward = Mlp(
        width=width,
        inner=config.integer("intermediate_size", 4 * width),
        activation=config.activation("hidden_act", "gelu_new"),
    )
    norm = Norm(width, config.number("layer_norm_eps", 1e-5, positive=True), "layer", bias=True)
    layer = Layer(
        mixer=sizes.attention(Rotary(10000.0, rotated, interleaved=True)),
        mixer_residual=Residual(before=norm),
        feed_forward=feed_forward,
        parallel=True,
    )
    tied = config.flag("tie_word_embeddings", False)
    plain = sizes.decoder([layer] * sizes.layers, norm, tied=tied)
    return replace(plain, output=replace(plain.output, bias=True))


def trunk_rules(spec: Decoder, *own: Rule) -> tuple[Rule, ...]:
    """Return the names that GPT-J shares with CodeGen; the projections come as `own`."""
    theirs, ours = "transformer.h.{layer}", "layers.{layer}"
    tied = (rename("lm_head.bias", "output.bias"), drop("lm_head.weight"))
    return gpt2.trunk_rules(
        spec,
        *own,
        rename(f"{theirs}.attn.out_proj", f"{ours}.mixer.output"),
        rename(f"{theirs}.mlp.fc_in", f"{ours}.feed_forward.up"),
        rename(f"{theirs}.mlp.fc_out", f"{ours}.feed_forward.down"),
        drop(f"{theirs}.attn.causal_mask"),
        *(tied if spec.output.tied else ()),
    )


def rules(spec: Decoder) -> Sequence[Rule]:
    """Return the names in a safetensors file, and ours."""
    theirs, ours = "transformer.h.{layer}", "layers.{layer}"
    return trunk_rules(
        spec,
        rename(f"{theirs}.attn.q_proj", f"{ours}.mixer.query"),
        rename(f"{theirs}.attn.k_proj", f"{ours}.mixer.key"),
        rename(f"{theirs}.attn.v_proj", f"{ours}.mixer.value"),
    )


DIALECT = Dialect("gptj", read, rules, prefix="transformer.")
