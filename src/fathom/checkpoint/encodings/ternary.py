"""ggml ternary encodings: each element is -d, 0 or d. Layouts from ggml-common.h."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
from torch import Tensor

from fathom.checkpoint.encodings.fields import half, planes


def tq1_0(blocks: Tensor) -> Tensor:
    """q:48 h:4 d:2; a byte of q is a fraction of 256 whose five digits to base three are elements.

    Bytes 0-31 and 32-47 of q give five runs of 32 and of 16; the four of h give four runs of 4.
    """
    digits = torch.cat(
        (_digits(blocks[:, 0:32], 5), _digits(blocks[:, 32:48], 5), _digits(blocks[:, 48:52], 4)),
        dim=1,
    )
    return half(blocks, 52) * digits


def _digits(packed: Tensor, count: int) -> Tensor:
    """(n, bytes) → (n, count · bytes) int8 of -1, 0, 1: the leading digits to base three."""
    powers = torch.tensor([1, 3, 9, 27, 81], dtype=torch.uint8, device=packed.device)[:count]
    rest = packed.unsqueeze(1) * powers.reshape(1, -1, 1)  # uint8: keeps the fraction
    return ((rest.to(torch.int16) * 3 >> 8).to(torch.int8) - 1).flatten(1)


def tq2_0(blocks: Tensor) -> Tensor:
    """q:64 d:2"""
    return half(blocks, 64) * (planes(blocks[:, 0:64], 2, 32).view(torch.int8) - 1)


DECODERS: Mapping[str, Callable[[Tensor], Tensor]] = MappingProxyType(
    {"TQ1_0": tq1_0, "TQ2_0": tq2_0}
)
