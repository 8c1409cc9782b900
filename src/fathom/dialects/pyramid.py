"""How diffusers spells the parts that its networks of planes share."""

from __future__ import annotations

from collections.abc import Sequence

from fathom.dialects.config import Config
from fathom.dialects.rules import Rule, rename

MOST_LEVELS = 16  # a picture of 65,536 pixels a side is one position after as many halvings


def read_widths(config: Config, key: str, default: Sequence[int]) -> tuple[int, ...]:
    """Return the channels of each level, from the finest to the coarsest."""
    stated = config.items(key, default)
    config.require(0 < len(stated) <= MOST_LEVELS, f"'{key}' needs 1 to {MOST_LEVELS} numbers")
    return tuple(Config({key: each}, config.where).integer(key) for each in stated)


def residual_rules(theirs: str, ours: str) -> Sequence[Rule]:
    """Return the names of a residual block."""
    return (
        rename(f"{theirs}.norm1", f"{ours}.enter_norm"),
        rename(f"{theirs}.conv1", f"{ours}.enter"),
        rename(f"{theirs}.time_emb_proj", f"{ours}.time"),
        rename(f"{theirs}.norm2", f"{ours}.leave_norm"),
        rename(f"{theirs}.conv2", f"{ours}.leave"),
        rename(f"{theirs}.conv_shortcut", f"{ours}.shortcut"),
    )
