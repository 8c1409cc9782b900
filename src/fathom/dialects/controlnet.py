"""Nets that steer a denoiser by a picture, as diffusers configures and names them: ControlNet.

Zhang et al., 2023 (arXiv 2302.05543).
"""

from __future__ import annotations

from collections.abc import Sequence

from fathom.dialects.config import Config
from fathom.dialects.dialect import Dialect
from fathom.dialects.pyramid import read_widths
from fathom.dialects.rules import Rule, rename
from fathom.dialects.unet import Blocks, descent_rules
from fathom.spec.unet import HINT, ControlNet, Hint


def read(config: Config) -> ControlNet:
    """Return the net that a configuration states."""
    config.require(
        not config.flag("global_pool_conditions", False),
        "'global_pool_conditions' is not supported",
    )
    blocks = Blocks(config)
    channels = config.integer("conditioning_channels", 3)
    widths = read_widths(config, "conditioning_embedding_out_channels", HINT)
    order = config.choice("controlnet_conditioning_channel_order", ("rgb", "bgr"), "rgb")
    return ControlNet(
        blocks.descent(),
        Hint(channels, blocks.widths[0], widths),
        blocks.texts[0],
        bgr=order == "bgr",
    )


def rules(spec: ControlNet) -> Sequence[Rule]:
    """Return the names in a safetensors file, and ours."""
    hint = "controlnet_cond_embedding"
    return (
        *descent_rules(spec.descent),
        rename(f"{hint}.conv_in", "hint.enter"),
        rename(f"{hint}.blocks.{{block}}", "hint.blocks.{block}"),
        rename(f"{hint}.conv_out", "hint.leave"),
        rename("controlnet_down_blocks.{point}", "left.{point}"),
        rename("controlnet_mid_block", "lowest"),
    )


DIALECT = Dialect("ControlNetModel", read, rules, weights="diffusion_pytorch_model")
