"""gpt-oss (20B, 120B): attention sinks, alternating windows, clamped experts with biases.

OpenAI, 2025 (arXiv 2508.10925). The publisher stores experts in MXFP4: blocks of 32 numbers
beside a scale each, which the checkpoint room joins before these names apply.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from fathom.dialects.config import Config
from fathom.dialects.dialect import Dialect
from fathom.dialects.mixtures import LAYER, OURS, pre_norm, read_router
from fathom.dialects.rotary import read_rotary
from fathom.dialects.rules import Regroup, Reshape, Rule, Transpose, rename, split
from fathom.dialects.trunk import read_dimensions, read_reaches, trunk_rules
from fathom.spec.decoder import Decoder
from fathom.spec.experts import ClampedSwish, Experts
from fathom.spec.parts import Norm


def read(config: Config) -> Decoder:
    """Return the decoder that a configuration of this family states."""
    sizes = read_dimensions(config, context=131072)
    rotary = read_rotary(config, sizes.head_width, context=sizes.context, base=150000.0)
    bias = config.flag("attention_bias", True)
    attention = replace(sizes.attention(rotary), input_bias=bias, output_bias=bias, sinks=True)
    window = config.optional_integer("sliding_window")
    reaches = read_reaches(config, sizes.layers, window, lambda index: index % 2 == 0)
    config.choice("hidden_act", ("silu",), "silu")  # the experts' own function contains it
    experts = Experts(
        replace(read_router(config, sizes.width, renormalise=True), bias=True),
        inner=config.integer("intermediate_size"),
        activation=ClampedSwish(
            alpha=config.number("swiglu_alpha", 1.702),
            limit=config.number("swiglu_limit", 7.0, positive=True),
        ),
        bias=True,
    )
    norm = Norm(sizes.width, config.number("rms_norm_eps", 1e-5, positive=True))
    layers = (pre_norm(replace(attention, reach=reach), experts, norm) for reach in reaches)
    tied = config.flag("tie_word_embeddings", False)
    return sizes.decoder(layers, norm, tied=tied, rotary=rotary)


def rules(spec: Decoder) -> Sequence[Rule]:
    """Return the names in a safetensors file, and ours.

    The file holds gate and up as one map whose rows alternate, inputs first.
    """
    experts = spec.layers[0].feed_forward
    if not isinstance(experts, Experts):
        return ()
    count, inner, width = experts.router.experts, experts.inner, spec.width
    apart = Regroup((count, inner, 2), (0, 2, 1))
    unfold = Reshape((count, 2 * inner, width), (count * 2 * inner, width))
    fold = Reshape((count * 2 * inner, width), (count, 2 * inner, width))
    flat = Reshape((count, 2 * inner), (count * 2 * inner,))
    back = Reshape((count * 2 * inner,), (count, 2 * inner))
    theirs = f"{LAYER}.mlp"

    def halves(leaf: str) -> dict[str, int]:
        return {f"{OURS}.experts.gate.{leaf}": inner, f"{OURS}.experts.up.{leaf}": inner}

    both, down = f"{theirs}.experts.gate_up_proj", f"{theirs}.experts.down_proj"
    return trunk_rules(
        spec,
        rename(f"{LAYER}.self_attn.sinks", "layers.{layer}.mixer.sinks"),
        rename(f"{theirs}.router", f"{OURS}.router.scores"),
        split(both, halves("weight"), Transpose(), unfold, apart, fold, axis=1),
        split(f"{both}_bias", halves("bias"), flat, apart, back, axis=1),
        rename(down, f"{OURS}.experts.down.weight", Transpose()),
        rename(f"{down}_bias", f"{OURS}.experts.down.bias"),
    )


def gguf_rules(spec: Decoder) -> Sequence[Rule]:
    """GGUF names the second norm after the attention that it follows."""
    second = "layers.{layer}.feed_forward_residual.before"
    return (rename("blk.{layer}.post_attention_norm", second),)


DIALECT = Dialect("gpt-oss", read, rules, prefix="model.", gguf_rules=gguf_rules)
