"""Fixed waves that tell a token where it stands (Vaswani et al., 2017, arXiv 1706.03762)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

LONGEST = 10_000.0  # the longest wave is this many times as long as the shortest


def waves(positions: Tensor, width: int) -> Tensor:
    """Return sines, then cosines: (batch, length) → (batch, length, width) float32.

    Wave i of each half turns by ``position / LONGEST ** (2 i / width)``. An odd `width` has one
    sine more than cosines. Angles are float64, as in the tables that publishers trained with.
    """
    exponents = torch.arange(0, width, 2, dtype=torch.float64, device=positions.device) / width
    angles = positions[..., None].to(torch.float64) / LONGEST**exponents
    cosines = angles[..., : width // 2].cos()
    return torch.cat((angles.sin(), cosines), dim=-1).float()


def spanning_waves(positions: Tensor, width: int) -> Tensor:
    """Return sines, then cosines: (length,) → (length, width) float32.

    The longest wave is `LONGEST` times as long as the shortest, with both among them: wave i of n
    turns by ``position / LONGEST ** (i / (n - 1))``.
    """
    exponents = torch.linspace(0, 1, width // 2, dtype=torch.float64, device=positions.device)
    angles = positions[:, None].to(torch.float64) / LONGEST**exponents
    return torch.cat((angles.sin(), angles.cos()), dim=-1).float()


def paired_waves(turns: Tensor, width: int, longest: float) -> Tensor:
    """Return each wave's sine and cosine side by side: (…) → (…, width) in float32.

    Wave i makes ``turns / longest ** (2 i / width)`` whole turns.
    """
    exponents = torch.arange(0, width, 2, dtype=torch.float32, device=turns.device) / width
    angles = turns.float()[..., None] * (2 * math.pi) / longest**exponents
    return torch.stack((angles.sin(), angles.cos()), dim=-1).flatten(-2)[..., :width]
