"""The autoencoder of latent diffusion, as diffusers configures and names it: AutoencoderKL.

Rombach et al., 2021 (arXiv 2112.10752).
"""

from __future__ import annotations

from collections.abc import Sequence

from fathom.dialects.config import Config
from fathom.dialects.dialect import Dialect
from fathom.dialects.pyramid import read_widths, residual_rules
from fathom.dialects.rules import Rule, rename
from fathom.spec.attention import Attention
from fathom.spec.autoencoder import Autoencoder, PlaneDecoder, PlaneEncoder
from fathom.spec.feed_forward import Activation
from fathom.spec.parts import GroupNorm, convolution
from fathom.spec.pyramid import (
    Doubling,
    Halving,
    Level,
    Middle,
    PlaneAttention,
    ResidualBlock,
)

EPSILON = 1e-6


def read(config: Config) -> Autoencoder:
    """Return the autoencoder that a configuration states."""
    widths = read_widths(config, "block_out_channels", default=(64,))
    groups = config.integer("norm_num_groups", 32)
    config.require(
        all(width % groups == 0 for width in widths),
        f"'norm_num_groups' is {groups}, which must divide each of 'block_out_channels'",
    )
    for key, kind in (("down", "DownEncoderBlock2D"), ("up", "UpDecoderBlock2D")):
        stated = config.items(f"{key}_block_types", (kind,) * len(widths))
        config.require(
            stated == [kind] * len(widths),
            f"'{key}_block_types' must be one {kind} for each of 'block_out_channels'",
        )
    latents, channels = config.integer("latent_channels", 4), config.integer("in_channels", 3)
    config.require(
        config.integer("out_channels", 3) == channels, "'out_channels' is not 'in_channels'"
    )
    moments = 2 * latents
    mean, deviation = _statistics(config, latents)
    return Autoencoder(
        channels=channels,
        latents=latents,
        factor=2 ** (len(widths) - 1),
        size=_size(config),
        encoder=_encoder(config, widths, channels, moments),
        decoder=_decoder(config, widths, channels, latents),
        after=convolution(moments, moments, 1) if config.flag("use_quant_conv", True) else None,
        before=convolution(latents, latents, 1)
        if config.flag("use_post_quant_conv", True)
        else None,
        variational=True,
        scale=config.number("scaling_factor", 0.18215, positive=True),
        shift=config.number("shift_factor", 0.0),
        mean=mean,
        deviation=deviation,
    )


def _size(config: Config) -> int:
    stated = config.values.get("sample_size")
    if isinstance(stated, list):
        return Config({"sample_size": max(stated, default=0)}, config.where).integer("sample_size")
    return config.integer("sample_size", 32)


def _statistics(config: Config, latents: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the mean and deviation of each channel; empty where none are stated."""
    if "latents_mean" not in config or "latents_std" not in config:
        return (), ()
    mean, deviation = config.numbers("latents_mean"), config.numbers("latents_std")
    config.require(
        len(mean) == len(deviation) == latents,
        "'latents_mean' and 'latents_std' need a number for each latent channel",
    )
    return mean, deviation


class _Blocks:
    """What all blocks of one configuration share."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.groups = config.integer("norm_num_groups", 32)
        self.activation: Activation = config.activation("act_fn", "silu")
        self.count = config.integer("layers_per_block", 1, most=1000)

    def block(self, inputs: int, outputs: int) -> ResidualBlock:
        return ResidualBlock(inputs, outputs, self.groups, EPSILON, self.activation)

    def level(self, inputs: int, outputs: int, count: int) -> tuple[ResidualBlock, ...]:
        return (self.block(inputs, outputs), *(self.block(outputs, outputs),) * (count - 1))

    def norm(self, width: int) -> GroupNorm:
        return GroupNorm(width, self.groups, EPSILON)

    def middle(self, width: int) -> Middle:
        attention = Attention(width, 1, 1, width, causal=False, input_bias=True, output_bias=True)
        attends = self.config.flag("mid_block_add_attention", True)
        looked = PlaneAttention(self.norm(width), attention) if attends else None
        return Middle(self.block(width, width), looked, self.block(width, width))


def _encoder(config: Config, widths: tuple[int, ...], channels: int, moments: int) -> PlaneEncoder:
    blocks, last = _Blocks(config), widths[-1]
    pairs = zip((widths[0], *widths), widths, strict=False)
    levels = [
        Level(
            blocks.level(before, width, blocks.count),
            Halving(width, width, uneven=True) if index < len(widths) - 1 else None,
        )
        for index, (before, width) in enumerate(pairs)
    ]
    return PlaneEncoder(
        convolution(channels, widths[0]),
        tuple(levels),
        blocks.middle(last),
        blocks.norm(last),
        convolution(last, moments),
    )


def _decoder(config: Config, widths: tuple[int, ...], channels: int, latents: int) -> PlaneDecoder:
    blocks, rising = _Blocks(config), widths[::-1]
    pairs = zip((rising[0], *rising), rising, strict=False)
    levels = [
        Level(
            blocks.level(before, width, blocks.count + 1),
            Doubling(width, width) if index < len(widths) - 1 else None,
        )
        for index, (before, width) in enumerate(pairs)
    ]
    return PlaneDecoder(
        convolution(latents, rising[0]),
        blocks.middle(rising[0]),
        tuple(levels),
        blocks.norm(rising[-1]),
        convolution(rising[-1], channels),
    )


def rules(spec: Autoencoder) -> Sequence[Rule]:
    """Return the names in a safetensors file, and ours."""
    return (
        rename("quant_conv", "after"),
        rename("post_quant_conv", "before"),
        *_half_rules("encoder", "down_blocks.{level}", "downsamplers"),
        *_half_rules("decoder", "up_blocks.{level}", "upsamplers"),
    )


def _half_rules(half: str, level: str, changes: str) -> Sequence[Rule]:
    middle = f"{half}.mid_block"
    return (
        rename(f"{half}.conv_in", f"{half}.enter"),
        *residual_rules(
            f"{half}.{level}.resnets.{{block}}", f"{half}.levels.{{level}}.blocks.{{block}}"
        ),
        rename(f"{half}.{level}.{changes}.0.conv", f"{half}.levels.{{level}}.change.convolution"),
        *residual_rules(f"{middle}.resnets.0", f"{half}.middle.first"),
        *residual_rules(f"{middle}.resnets.1", f"{half}.middle.second"),
        *_attention_rules(f"{middle}.attentions.0", f"{half}.middle.attention"),
        rename(f"{half}.conv_norm_out", f"{half}.norm"),
        rename(f"{half}.conv_out", f"{half}.leave"),
    )


def _attention_rules(theirs: str, ours: str) -> Sequence[Rule]:
    """The names of today, then those of older files."""
    spellings = (
        {"query": "to_q", "key": "to_k", "value": "to_v", "output": "to_out.0"},
        {"query": "query", "key": "key", "value": "value", "output": "proj_attn"},
    )
    return (
        rename(f"{theirs}.group_norm", f"{ours}.norm"),
        *(
            rename(f"{theirs}.{name}", f"{ours}.attention.{own}")
            for spelling in spellings
            for own, name in spelling.items()
        ),
    )


DIALECT = Dialect("AutoencoderKL", read, rules, weights="diffusion_pytorch_model")
