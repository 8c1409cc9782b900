"""Mamba, Falcon-Mamba: layers of a selective state space and nothing else.

Mamba: Gu & Dao, 2023 (arXiv 2312.00752); Falcon-Mamba: Zuo et al., 2024 (arXiv 2410.05355), which
norms time step, write and read without weights.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from fathom.dialects.config import Config
from fathom.dialects.dialect import Dialect
from fathom.dialects.rules import NegativeLogarithm, Reshape, Rule, drop, rename, split
from fathom.spec.decoder import Decoder, Embedding, Layer, Output, Residual
from fathom.spec.parts import Norm
from fathom.spec.state_space import Convolution, Mamba, Mamba2

# A recurrence has no last position, and no publisher states one; ggml's converters write this.
UNBOUNDED = 2**20


def read(config: Config) -> Decoder:
    """Return the decoder that a configuration of this family states."""
    width = config.integer("hidden_size")
    inner = config.integer("intermediate_size", width * config.integer("expand", 2))
    state_width, rank = config.integer("state_size", 16), read_rank(config, "time_step_rank", width)
    # GGUF's key for Falcon-Mamba, which it writes as a Mamba
    normed = config.text("model_type") == "falcon_mamba" or config.flag("ssm_dt_b_c_rms", False)
    epsilon = config.number("mixer_rms_eps", 1e-6, positive=True)
    norms = [Norm(w, epsilon, weight=False) if normed else None for w in (rank, state_width)]
    mixer = Mamba(
        width=width,
        inner=inner,
        state_width=state_width,
        rank=rank,
        convolution=Convolution(
            inner,
            config.integer("conv_kernel", 4),
            config.flag("use_conv_bias", True),
            config.activation("hidden_act", "silu"),
        ),
        bias=config.flag("use_bias", False),
        rank_norm=norms[0],
        write_norm=norms[1],
        read_norm=norms[1],
    )
    return stack_of(mixer, config, tied=True)


def read_rank(config: Config, key: str, width: int) -> int:
    """Return how many numbers a time step is made from: stated, or a sixteenth of the width."""
    if config.values.get(key, "auto") == "auto":
        return math.ceil(width / 16)
    return config.integer(key)


def stack_of(mixer: Mamba | Mamba2, config: Config, *, tied: bool) -> Decoder:
    """Return a decoder whose layers all are this mixer, without a feed-forward."""
    config.require(
        config.flag("rms_norm", True), "'rms_norm' must be true; layer norms are unknown"
    )
    norm = Norm(mixer.width, config.number("layer_norm_epsilon", 1e-5, positive=True))
    vocabulary = config.integer("vocab_size")
    exact = config.flag("residual_in_fp32", True)
    layer = Layer(mixer, Residual(before=norm, exact=exact), None)
    return Decoder(
        context=UNBOUNDED,
        embedding=Embedding(vocabulary, mixer.width),
        layers=(layer,) * config.integer("num_hidden_layers", most=10_000),
        norm=norm,
        output=Output(mixer.width, vocabulary, tied=config.flag("tie_word_embeddings", tied)),
    )


OURS = "layers.{layer}.mixer"


def rules(spec: Decoder) -> Sequence[Rule]:
    """Return the names in a safetensors file, and ours."""
    theirs = "backbone.layers.{layer}.mixer"
    return (*mixer_rules(spec.mixer(Mamba), theirs, OURS), *stack_rules(spec))


def stack_rules(spec: Decoder) -> Sequence[Rule]:
    """Return the names around the mixers, which Mamba 1 and 2 share."""
    return (
        rename("backbone.embeddings", "embedding.tokens"),
        rename("backbone.embedding", "embedding.tokens"),  # in the authors' own files
        rename("backbone.layers.{layer}.norm", "layers.{layer}.mixer_residual.before"),
        rename("backbone.norm_f", "norm"),
        drop("lm_head") if spec.output.tied else rename("lm_head", "output.head"),
    )


def mixer_rules(mixer: Mamba, theirs: str, ours: str) -> Sequence[Rule]:
    """Return the names of a mixer, below `theirs` and below `ours`."""
    return (
        *fused_rules(mixer, f"{theirs}.in_proj", f"{theirs}.x_proj", ours),
        *convolution_rules(mixer.convolution, f"{theirs}.conv1d", ours),
        rename(f"{theirs}.dt_proj.weight", f"{ours}.time_step.weight"),
        rename(f"{theirs}.dt_proj.bias", f"{ours}.time_step_bias"),
        rename(f"{theirs}.A_log", f"{ours}.decay"),
        rename(f"{theirs}.D", f"{ours}.skip"),
        rename(f"{theirs}.dt_layernorm", f"{ours}.rank_norm"),
        rename(f"{theirs}.b_layernorm", f"{ours}.write_norm"),
        rename(f"{theirs}.c_layernorm", f"{ours}.read_norm"),
        rename(f"{theirs}.out_proj", f"{ours}.output"),
    )


def fused_rules(mixer: Mamba, into: str, chosen: str, ours: str) -> Sequence[Rule]:
    """Return how the two fused projections are cut, given their names."""
    inner, state = mixer.inner, mixer.state_width
    return (
        split(into, {f"{ours}.value": inner, f"{ours}.gate": inner}),
        split(chosen, {f"{ours}.rank": mixer.rank, f"{ours}.write": state, f"{ours}.read": state}),
    )


def convolution_rules(convolution: Convolution, theirs: str, ours: str) -> Sequence[Rule]:
    """Return the rules for a convolution, whose weight has an axis of one in files."""
    channels, kernel = convolution.channels, convolution.kernel
    seen = Reshape((channels, 1, kernel), (channels, kernel))
    return (
        rename(f"{theirs}.weight", f"{ours}.convolution.weight", seen),
        rename(f"{theirs}.bias", f"{ours}.convolution.bias"),
    )


def gguf_rules(spec: Decoder) -> Sequence[Rule]:
    """Return the names in a GGUF file, and ours."""
    return mixer_gguf_rules(spec.mixer(Mamba), "blk.{layer}", OURS)


def mixer_gguf_rules(mixer: Mamba, theirs: str, ours: str) -> Sequence[Rule]:
    """Return GGUF's names of a mixer; it keeps the decay itself, not its logarithm."""
    return (
        *fused_rules(mixer, f"{theirs}.ssm_in", f"{theirs}.ssm_x", ours),
        rename(f"{theirs}.ssm_conv1d", f"{ours}.convolution"),
        rename(f"{theirs}.ssm_dt.weight", f"{ours}.time_step.weight"),
        rename(f"{theirs}.ssm_dt.bias", f"{ours}.time_step_bias"),
        rename(f"{theirs}.ssm_a", f"{ours}.decay", NegativeLogarithm()),
        rename(f"{theirs}.ssm_d", f"{ours}.skip"),
        rename(f"{theirs}.ssm_dt_norm", f"{ours}.rank_norm"),
        rename(f"{theirs}.ssm_b_norm", f"{ours}.write_norm"),
        rename(f"{theirs}.ssm_c_norm", f"{ours}.read_norm"),
        rename(f"{theirs}.ssm_out", f"{ours}.output"),
    )


DIALECT = Dialect("mamba", read, rules, prefix="backbone.", gguf_rules=gguf_rules)
