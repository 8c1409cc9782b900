"""Mamba 2, and Codestral Mamba: layers of a state space with one decay per head.

Dao & Gu, 2024 (arXiv 2405.21060).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fathom.dialects.config import Config
from fathom.dialects.dialect import Dialect
from fathom.dialects.mamba import convolution_rule, stack_of, stack_rules
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
    return (*mixer_rules(mixer, theirs), *stack_rules(spec))


def mixer_rules(mixer: Mamba2, theirs: str) -> Sequence[Rule]:
    """Return the names of one mixer, below `theirs`, and ours."""
    ours = "layers.{layer}.mixer"
    return (
        split(f"{theirs}.in_proj", fused(mixer)),
        convolution_rule(mixer.convolution, f"{theirs}.conv1d.weight"),
        rename(f"{theirs}.conv1d.bias", f"{ours}.convolution.bias"),
        rename(f"{theirs}.dt_bias", f"{ours}.time_step_bias"),
        rename(f"{theirs}.A_log", f"{ours}.decay"),
        rename(f"{theirs}.D", f"{ours}.skip"),
        rename(f"{theirs}.norm", f"{ours}.norm"),
        rename(f"{theirs}.out_proj", f"{ours}.output"),
    )


def fused(mixer: Mamba2) -> dict[str, int]:
    """Return what one projection of theirs holds, in order, and how many rows of each."""
    shared = mixer.groups * mixer.state_width
    rows: Mapping[str, int] = {
        "gate": mixer.inner,
        "value": mixer.inner,
        "write": shared,
        "read": shared,
        "time_step": mixer.heads,
    }
    return {f"layers.{{layer}}.mixer.{name}": count for name, count in rows.items()}


def gguf_rules(spec: Decoder) -> Sequence[Rule]:
    """GGUF keeps the decay itself, and gives vectors the shapes that ggml broadcasts."""
    mixer, ours = spec.mixer(Mamba2), "layers.{layer}.mixer"
    heads, inner, groups = mixer.heads, mixer.inner, mixer.groups
    column = Reshape((heads, 1), (heads,))
    return (
        split("blk.{layer}.ssm_in", fused(mixer)),
        rename("blk.{layer}.ssm_a", f"{ours}.decay", column, NegativeLogarithm()),
        rename("blk.{layer}.ssm_d", f"{ours}.skip", column),
        rename(
            "blk.{layer}.ssm_norm.weight",
            f"{ours}.norm.weight",
            Reshape((groups, inner // groups), (inner,)),
        ),
    )


DIALECT = Dialect("mamba2", read, rules, prefix="backbone.", gguf_rules=gguf_rules)
