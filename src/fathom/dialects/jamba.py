"""Jamba: mostly Mamba, every so often attention without positions; half the feed-forwards experts.

Lieber et al., 2024 (arXiv 2403.19887).
"""

from __future__ import annotations

from collections.abc import Sequence

from fathom.dialects.config import Config
from fathom.dialects.dialect import Dialect
from fathom.dialects.mamba import mixer_gguf_rules, mixer_rules, read_rank
from fathom.dialects.mixtures import expert_rules, pre_norm, read_router
from fathom.dialects.rules import Rule, rename
from fathom.dialects.trunk import read_dimensions, trunk_rules
from fathom.spec.decoder import Decoder, FeedForward
from fathom.spec.experts import Experts
from fathom.spec.feed_forward import GatedMlp
from fathom.spec.parts import Norm
from fathom.spec.state_space import Convolution, Mamba


def read(config: Config) -> Decoder:
    """Return the decoder that a configuration of this family states."""
    sizes = read_dimensions(config, context=262144)
    norm = Norm(sizes.width, config.number("rms_norm_eps", 1e-6, positive=True))
    attention, mamba = sizes.attention(), _mamba(config, sizes.width)
    inner, activation = config.integer("intermediate_size"), config.activation("hidden_act", "silu")
    dense = GatedMlp(sizes.width, inner, activation)
    sparse: FeedForward = dense
    if config.integer("num_experts", 16) > 1:
        router = read_router(config, sizes.width, counts=("num_experts",))
        sparse = Experts(router, inner, activation)
    attends = read_placement(config, "attn_layer", sizes.layers, period=8, offset=4)
    chooses = read_placement(config, "expert_layer", sizes.layers, period=2, offset=1)
    layers = [
        pre_norm(
            attention if index in attends else mamba, sparse if index in chooses else dense, norm
        )
        for index in range(sizes.layers)
    ]
    return sizes.decoder(layers, norm, tied=config.flag("tie_word_embeddings", False))


def _mamba(config: Config, width: int) -> Mamba:
    config.require(
        config.flag("mamba_inner_layernorms", True), "'mamba_inner_layernorms' must be true"
    )
    epsilon = config.number("rms_norm_eps", 1e-6, positive=True)
    inner = config.integer("mamba_expand", 2) * width
    state_width = config.integer("mamba_d_state", 16)
    rank = read_rank(config, "mamba_dt_rank", width)
    return Mamba(
        width=width,
        inner=inner,
        state_width=state_width,
        rank=rank,
        convolution=Convolution(
            inner,
            config.integer("mamba_d_conv", 4),
            config.flag("mamba_conv_bias", True),
            config.activation("hidden_act", "silu"),
        ),
        bias=config.flag("mamba_proj_bias", False),
        rank_norm=Norm(rank, epsilon),
        write_norm=Norm(state_width, epsilon),
        read_norm=Norm(state_width, epsilon),
    )


def read_placement(
    config: Config, what: str, layers: int, *, period: int, offset: int
) -> frozenset[int]:
    """Return the numbers of the layers that have something: each `period`th, from `offset` on.

    A GGUF file lists them instead, under `what` and an s.

    Raises:
        ConfigError: for an offset that no layer of a period has.
    """
    if f"{what}s" in config:
        return frozenset(int(number) for number in config.numbers(f"{what}s"))
    period = config.integer(f"{what}_period", period)
    offset = config.integer(f"{what}_offset", offset, least=0)
    config.require(
        offset < period, f"'{what}_offset' is {offset}, but must be below the period of {period}"
    )
    return frozenset(range(offset, layers, period))


def rules(spec: Decoder) -> Sequence[Rule]:
    """Return the names in a safetensors file, and ours.

    Attention and Mamba have parts of one name, so the rules of each Mamba bear its number.
    """
    theirs, ours = "model.layers.{layer}", "layers.{layer}"
    own = [
        *expert_rules(f"{theirs}.feed_forward", router="router"),
        rename(f"{theirs}.feed_forward.gate_proj", f"{ours}.feed_forward.gate"),
        rename(f"{theirs}.feed_forward.up_proj", f"{ours}.feed_forward.up"),
        rename(f"{theirs}.feed_forward.down_proj", f"{ours}.feed_forward.down"),
        rename(f"{theirs}.pre_ff_layernorm", f"{ours}.feed_forward_residual.before"),
        rename("model.final_layernorm", "norm"),
    ]
    for index, mixer in mambas(spec):
        own += mixer_rules(mixer, f"model.layers.{index}.mamba", f"layers.{index}.mixer")
    return trunk_rules(spec, *own)


def mambas(spec: Decoder) -> list[tuple[int, Mamba]]:
    """Return the layers that mix by a selective state space, with their numbers."""
    numbered = enumerate(layer.mixer for layer in spec.layers)
    return [(index, mixer) for index, mixer in numbered if isinstance(mixer, Mamba)]


def gguf_rules(spec: Decoder) -> Sequence[Rule]:
    """Return the names in a GGUF file, and ours; the rules of each Mamba bear its number."""
    return [
        rule
        for index, mixer in mambas(spec)
        for rule in mixer_gguf_rules(mixer, f"blk.{index}", f"layers.{index}.mixer")
    ]


DIALECT = Dialect("jamba", read, rules, prefix="model.", gguf_rules=gguf_rules)
