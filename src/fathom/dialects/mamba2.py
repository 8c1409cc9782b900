"""Mamba 2, and Codestral Mamba: layers of a state space with one decay per head.

Dao & Gu, 2024 (arXiv 2405.21060).
"""

from __future__ import annotations

from collections.abc import Sequence

from fathom.dialects.config import Config
from fathom.dialects.dialect import Dialect
from fathom.dialects.mamba import OURS, convolution_rules, stack_of, stack_rules
from fathom.dialects.rules import NegativeLogarithm, Reshape, Rule, rename, split
from fathom.spec.decoder import Decoder
from fathom.spec.parts import Norm
from fathom.spec.state_space import Convolution, Mamba2


def read(config: Config) -> Decoder:
    """Return the decoder that a configuration of this family states."""
    width = config.integer("hidden_size")
    inner = width * config.integer("expand", 2)
    heads = config.integer("num_heads", 128)
    head_width = config.integer("head_dim", inner // heads)
    groups, state_width = config.integer("n_groups", 8), config.integer("state_size", 128)
    config.require(
        heads * head_width == inner,
        f"{heads} heads of {head_width} do not make up {inner} channels",
    )
    config.require(heads % groups == 0, f"{groups} groups cannot share {heads} heads evenly")
    mixer = Mamba2(
        width=width,
        heads=heads,
        head_width=head_width,
        groups=groups,
        state_width=state_width,
        convolution=Convolution(
            inner + 2 * groups * state_width,
            config.integer("conv_kernel", 4),
            config.flag("use_conv_bias", True),
            config.activation("hidden_act", "silu"),
        ),
        norm=Norm(inner, config.number("layer_norm_epsilon", 1e-5, positive=True), groups=groups),
        bias=config.flag("use_bias", False),
        time_step_limit=read_limit(config, "time_step_limit"),
    )
    return stack_of(mixer, config, tied=False)


def read_limit(config: Config, key: str) -> tuple[float, float | None]:
    """Return the least and greatest time step; files spell "no greatest" in two ways.

    Raises:
        ConfigError: for anything but two numbers in order.
    """
    values = config.items(key, (0.0, float("inf")))
    config.require(len(values) == 2, f"'{key}' must hold two numbers")
    if values[1] in (float("inf"), {"__float__": "Infinity"}):
        return Config({key: values[:1]}, config.where).numbers(key)[0], None
    low, high = config.numbers(key)
    config.require(low < high, f"'{key}' must be a number and a greater one")
    return low, high


def rules(spec: Decoder) -> Sequence[Rule]:
    """Return the names in a safetensors file, and ours."""
    mixer, theirs = spec.mixer(Mamba2), "backbone.layers.{layer}.mixer"
    return (
        split(f"{theirs}.in_proj", fused(mixer)),
        *convolution_rules(mixer.convolution, f"{theirs}.conv1d", OURS),
        rename(f"{theirs}.dt_bias", f"{OURS}.time_step_bias"),
        rename(f"{theirs}.A_log", f"{OURS}.decay"),
        rename(f"{theirs}.D", f"{OURS}.skip"),
        rename(f"{theirs}.norm", f"{OURS}.norm"),
        rename(f"{theirs}.out_proj", f"{OURS}.output"),
        *stack_rules(spec),
    )


def fused(mixer: Mamba2) -> dict[str, int]:
    """Return what one projection of theirs holds, in order, and how many rows of each."""
    shared = mixer.groups * mixer.state_width
    return {
        f"{OURS}.gate": mixer.inner,
        f"{OURS}.value": mixer.inner,
        f"{OURS}.write": shared,
        f"{OURS}.read": shared,
        f"{OURS}.time_step": mixer.heads,
    }


def gguf_rules(spec: Decoder) -> Sequence[Rule]:
    """GGUF keeps the decay itself, and gives vectors the shapes that ggml broadcasts."""
    mixer, theirs = spec.mixer(Mamba2), "blk.{layer}"
    heads, inner, groups = mixer.heads, mixer.inner, mixer.groups
    column = Reshape((heads, 1), (heads,))
    grouped = Reshape((groups, inner // groups), (inner,))
    return (
        split(f"{theirs}.ssm_in", fused(mixer)),
        rename(f"{theirs}.ssm_conv1d", f"{OURS}.convolution"),
        rename(f"{theirs}.ssm_dt.bias", f"{OURS}.time_step_bias"),
        rename(f"{theirs}.ssm_a", f"{OURS}.decay", column, NegativeLogarithm()),
        rename(f"{theirs}.ssm_d", f"{OURS}.skip", column),
        rename(f"{theirs}.ssm_norm.weight", f"{OURS}.norm.weight", grouped),
        rename(f"{theirs}.ssm_out", f"{OURS}.output"),
    )


DIALECT = Dialect("mamba2", read, rules, prefix="backbone.", gguf_rules=gguf_rules)
