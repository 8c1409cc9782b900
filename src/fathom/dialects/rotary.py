"""Rotary embeddings as publishers spell them: one reader for every dialect.

Two spellings are in use: ``rope_theta`` beside ``rope_scaling``, and one ``rope_parameters``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from fathom.dialects.config import Config
from fathom.spec.positions import (
    Axes,
    DynamicScaling,
    GivenScaling,
    LinearScaling,
    Llama3Scaling,
    LongRopeScaling,
    Rotary,
    RotaryScaling,
    YarnScaling,
)


def read_rotary(
    config: Config,
    head_width: int,
    *,
    context: int,
    base: float = 10000.0,
    section: str = "rope_parameters",
    fraction: float = 1.0,
    interleaved: bool = False,
) -> Rotary:
    """Return the rotary embedding that a configuration states.

    `base` and `fraction` of the head apply where the configuration does not state its own.

    Raises:
        ConfigError: for an unknown scaling law, or one that lacks its numbers.
    """
    parameters = config.section(section)
    scaling = parameters if parameters.values else config.section("rope_scaling")
    base = parameters.number("rope_theta", config.number("rope_theta", base), positive=True)
    fraction = parameters.number(
        "partial_rotary_factor", config.number("partial_rotary_factor", fraction)
    )
    config.require(0 < fraction <= 1, "'partial_rotary_factor' must lie between 0 and 1")
    # A few publishers, and GGUF, state the dimensions instead of their fraction.
    width = config.integer("rotary_dim", int(head_width * fraction), most=head_width)
    config.require(width % 2 == 0, f"a rotary width of {width} is odd; pairs need an even one")
    law = _read_scaling(scaling, config, context)
    _require_factors(law, width, scaling)
    return Rotary(base, width, interleaved, law, _read_axes(scaling, width))


def _read_axes(scaling: Config, width: int) -> Axes | None:
    """Return how many pairs each axis of a place turns, where places have several."""
    if "mrope_section" not in scaling:
        return None
    listed = scaling.items("mrope_section")
    named = Config({f"mrope_section[{n}]": count for n, count in enumerate(listed)}, scaling.where)
    sections = tuple(named.integer(key) for key in named.values)
    scaling.require(
        len(sections) == 3 and sum(sections) == width // 2,
        f"'mrope_section' must share {width // 2} pairs among 3 axes, not {list(sections)}",
    )
    return Axes(sections, woven=scaling.flag("mrope_interleaved", False))


def _require_factors(law: RotaryScaling | None, width: int, scaling: Config) -> None:
    """Refuse a law whose factors are not one per pair of dimensions."""
    match law:
        case LongRopeScaling(short, long):
            stated = [len(short), len(long)]
        case GivenScaling(factors):
            stated = [len(factors)]
        case _:
            return
    for count in stated:
        scaling.require(
            count == width // 2, f"{count} factors cannot scale {width // 2} pairs of dimensions"
        )


def stretched(context: int, rotary: Rotary) -> int:
    """Return the positions that a model takes once its scaling law has stretched its own.

    The dynamic law counts from the original context, and so may YaRN, where a user switched it
    on without touching the rest of the file; the others state the stretched one.
    """
    match rotary.scaling:
        case DynamicScaling(factor):
            return int(context * factor)
        case YarnScaling(factor, original):
            return max(context, int(original * factor))
        case _:
            return context


def _read_scaling(scaling: Config, config: Config, context: int) -> RotaryScaling | None:
    kind = scaling.text("rope_type", scaling.text("type", "default"))
    law = _LAWS[scaling.choice("rope_type" if "rope_type" in scaling else "type", _LAWS, kind)]
    return None if law is None else law(scaling, config, context)


def _original(scaling: Config, config: Config, context: int) -> int:
    """Return the length before scaling; Phi-3 states it at the top of the file."""
    key = "original_max_position_embeddings"
    return scaling.integer(key, config.integer(key, context))


def _linear(scaling: Config, config: Config, context: int) -> RotaryScaling:
    return LinearScaling(scaling.number("factor", positive=True))


def _dynamic(scaling: Config, config: Config, context: int) -> RotaryScaling:
    return DynamicScaling(scaling.number("factor", positive=True), original=context)


def _llama3(scaling: Config, config: Config, context: int) -> RotaryScaling:
    return Llama3Scaling(
        factor=scaling.number("factor", positive=True),
        low_frequency=scaling.number("low_freq_factor", positive=True),
        high_frequency=scaling.number("high_freq_factor", positive=True),
        original=_original(scaling, config, context),
    )


def _yarn(scaling: Config, config: Config, context: int) -> RotaryScaling:
    original = _original(scaling, config, context)
    factor = scaling.number("factor", context / original, positive=True)
    return YarnScaling(
        factor=factor,
        original=original,
        attention=scaling.number("attention_factor", _yarn_attention(scaling, factor)),
        beta_fast=scaling.number("beta_fast", 32.0, positive=True),
        beta_slow=scaling.number("beta_slow", 1.0, positive=True),
        truncate=scaling.flag("truncate", True),
    )


def _yarn_attention(scaling: Config, factor: float) -> float:
    """Return the paper's factor, or DeepSeek's quotient of two of them where it states both."""

    def magnitude(weight: float) -> float:
        return 0.1 * weight * math.log(factor) + 1.0 if factor > 1 else 1.0

    above, below = scaling.number("mscale", 0.0), scaling.number("mscale_all_dim", 0.0)
    return magnitude(above) / magnitude(below) if above and below else magnitude(1.0)


def _longrope(scaling: Config, config: Config, context: int) -> RotaryScaling:
    original = _original(scaling, config, context)
    factor = scaling.number("factor", context / original, positive=True)
    spread = math.sqrt(1 + math.log(factor) / math.log(original)) if factor > 1 else 1.0
    return LongRopeScaling(
        short=scaling.numbers("short_factor"),
        long=scaling.numbers("long_factor"),
        original=original,
        attention=scaling.number("attention_factor", spread),
    )


def _given(scaling: Config, config: Config, context: int) -> RotaryScaling:
    return GivenScaling(scaling.numbers("factors"))


_LAWS: Mapping[str, Callable[[Config, Config, int], RotaryScaling] | None] = {
    "default": None,
    "none": None,
    "mrope": None,  # one dimension of text positions: three equal ones
    "linear": _linear,
    "dynamic": _dynamic,
    "llama3": _llama3,
    "yarn": _yarn,
    "longrope": _longrope,
    "su": _longrope,  # its first name, in Phi-3's early files
    "given": _given,  # the factors that a GGUF file carries as a tensor
}
