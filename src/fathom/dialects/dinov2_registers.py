"""DINOv2 with registers: tokens beside the patches that take what else would spoil them.

Darcet et al., 2023 (arXiv 2309.16588).
"""

from __future__ import annotations

from collections.abc import Sequence

from fathom.dialects.config import Config
from fathom.dialects.dialect import Dialect
from fathom.dialects.dinov2 import read_tower, rules_under
from fathom.dialects.rules import Rule
from fathom.spec.vision import PictureEncoder


def read(config: Config) -> PictureEncoder:
    """Return the tower, and its head where it labels."""
    return read_tower(config, config.integer("num_register_tokens", 4, most=1000))


def rules(spec: PictureEncoder) -> Sequence[Rule]:
    """Return the names in a safetensors file, and ours."""
    return rules_under("dinov2_with_registers", spec)


DIALECT = Dialect("dinov2_with_registers", read, rules, prefix="dinov2_with_registers.")
