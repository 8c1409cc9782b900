"""StyleGAN2, by the names of its authors' own program for PyTorch.

Karras et al., 2020 (arXiv 1912.04958 and 2006.06676). Tensors are those of ``G_ema.state_dict()``,
and the configuration is ``G_ema.init_kwargs`` with ``"model_type": "stylegan2"``; the authors
publish both within a pickle of their program's own objects, which nothing here runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from math import log2

from fathom.dialects.config import Config
from fathom.dialects.dialect import Dialect
from fathom.dialects.rules import Rule, drop, rename
from fathom.spec.generator import (
    FIRST,
    DrawingLevel,
    Generator,
    StyledColours,
    StyledConvolution,
    StyleMapping,
)
from fathom.spec.parts import Convolution, convolution

LARGEST = 1 << 12  # rows and columns
MOST_WIDE = 1 << 14
HALF = 0.5**0.5  # of a convolution whose result a residual joins


def read(config: Config) -> Generator:
    """Return the generator that a configuration states."""
    style = config.integer("w_dim", most=MOST_WIDE)
    side = config.integer("img_resolution", least=FIRST, most=LARGEST)
    config.require(log2(side).is_integer(), f"'img_resolution' is {side}, and no power of two")
    colours = config.integer("img_channels", 3, most=64)
    drawing = config.section("synthesis_kwargs")
    sides = [FIRST << number for number in range(int(log2(side // FIRST)) + 1)]
    widths = [_width(drawing, one) for one in sides]
    levels = [_level(drawing, (None, widths[0]), FIRST, style, colours, sides[-1])]
    for between, one in zip(pairwise(widths), sides[1:], strict=True):
        levels.append(_level(drawing, between, one, style, colours, sides[-1]))
    return Generator(_mapping(config, style), tuple(levels), colours)


def _width(config: Config, side: int) -> int:
    """Return the channels of a level."""
    base = config.integer("channel_base", 32768)
    config.require(base >= side, f"'channel_base' leaves no channels for {side} rows")
    return min(base // side, config.integer("channel_max", 512, most=MOST_WIDE))


def _mapping(config: Config, style: int) -> StyleMapping:
    kinds = config.integer("c_dim", 0, least=0, most=MOST_WIDE)
    latent = config.integer("z_dim", most=MOST_WIDE)
    config = config.section("mapping_kwargs")
    config.choice("activation", ("lrelu",), "lrelu")
    average = config.number("w_avg_beta", 0.998)
    return StyleMapping(
        latent=latent,
        width=style,
        depth=config.integer("num_layers", 8, most=1000),
        rate=config.number("lr_multiplier", 0.01, positive=True),
        inner=config.integer("layer_features", style, most=MOST_WIDE),
        kinds=kinds,
        told=config.integer("embed_features", style, most=MOST_WIDE) if kinds else 0,
        average=average > 0,
    )


def _level(
    config: Config, between: tuple[int | None, int], side: int, style: int, colours: int, last: int
) -> DrawingLevel:
    """Return a level; nothing comes in `between` where it is the first."""
    config.choice("activation", ("lrelu",), "lrelu")
    kind = config.choice("architecture", ("skip", "resnet", "orig"), "skip")
    taps, (before, width) = _taps(config), between
    bound = config.optional_number("conv_clamp", positive=True)
    noise = config.flag("use_noise", True)
    residual: Convolution | None = None
    gain, convolutions = 1.0, []
    if before is not None:
        convolutions.append(StyledConvolution(before, width, side, style, taps, noise, bound))
        if kind == "resnet":
            residual, gain = convolution(before, width, 1, bias=False), HALF
    convolutions.append(StyledConvolution(width, width, side, style, None, noise, bound, gain))
    says = kind == "skip" or side == last
    return DrawingLevel(
        taps=taps,
        convolutions=tuple(convolutions),
        colours=StyledColours(width, colours, side, style, bound) if says else None,
        residual=residual,
    )


def _taps(config: Config) -> tuple[float, ...]:
    """Return the filter along one axis; its sum is one."""
    taps = (
        config.numbers("resample_filter") if "resample_filter" in config else (1.0, 3.0, 3.0, 1.0)
    )
    config.require(
        2 <= len(taps) <= 64 and len(taps) % 2 == 0 and sum(taps) != 0.0,
        "'resample_filter' must be an even number of taps, whose sum is not zero",
    )
    return tuple(tap / sum(taps) for tap in taps)


def rules(spec: Generator) -> Sequence[Rule]:
    """Return the names of a state, and ours."""
    return tuple(_rules(spec))


def _rules(spec: Generator) -> Iterator[Rule]:
    yield rename("mapping.embed", "mapping.kinds")
    yield rename("mapping.fc{layer}", "mapping.maps.{layer}")
    yield rename("mapping.w_avg", "mapping.average")
    yield rename("synthesis.b4.const", "start")
    for number, level in enumerate(spec.levels):
        theirs, ours = f"synthesis.b{level.side}", f"levels.{number}"
        for place in range(len(level.convolutions)):
            first = 2 - len(level.convolutions)  # the first level has none that makes it finer
            yield from _convolution_rules(
                f"{theirs}.conv{first + place}", f"{ours}.convolutions.{place}"
            )
        yield from _styled_rules(f"{theirs}.torgb", f"{ours}.colours")
        yield rename(f"{theirs}.skip", f"{ours}.residual")
        yield drop(f"{theirs}.resample_filter")  # as the configuration has it
        for name in ("conv0", "conv1", "skip"):
            yield drop(f"{theirs}.{name}.resample_filter")


def _convolution_rules(theirs: str, ours: str) -> Iterator[Rule]:
    yield from _styled_rules(theirs, ours)
    yield rename(f"{theirs}.noise_const", f"{ours}.noise")
    yield rename(f"{theirs}.noise_strength", f"{ours}.strength")


def _styled_rules(theirs: str, ours: str) -> Iterator[Rule]:
    yield rename(f"{theirs}.affine", f"{ours}.scales")
    yield rename(theirs, f"{ours}.kernel")


DIALECT = Dialect("stylegan2", read, rules)
