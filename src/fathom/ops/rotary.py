"""Rotary position embedding (Su et al., 2021, arXiv 2104.09864)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def angles(frequencies: Tensor, positions: Tensor, factor: float = 1.0) -> tuple[Tensor, Tensor]:
    """Return cosine and sine, each (batch, 1, length, width / 2) float32, times `factor`.

    `frequencies` is (width / 2,) in radians per position, `positions` (batch, length).
    """
    turned = positions[:, None, :, None].to(torch.float32) * frequencies
    return turned.cos() * factor, turned.sin() * factor


def angles_of_places(
    frequencies: Tensor, places: Tensor, axes: Sequence[int], factor: float = 1.0
) -> tuple[Tensor, Tensor]:
    """Return cosine and sine as `angles`, where places (axes, batch, length) have several axes.

    `axes` says for each pair, (width / 2), which of them turns it.
    """
    standing = places[list(axes)].permute(1, 2, 0).to(torch.float32)  # (batch, length, width / 2)
    turned = (standing * frequencies)[:, None]
    return turned.cos() * factor, turned.sin() * factor


def rotate(x: Tensor, cosine: Tensor, sine: Tensor, *, interleaved: bool = False) -> Tensor:
    """Turn the first 2 × (width / 2) dimensions of each head; the rest pass through.

    `x` is (batch, heads, length, head_width). Pairs are (i, i + width/2), or (2i, 2i + 1) when
    `interleaved`. Computed in float32 and returned in the type of `x`.
    """
    width = 2 * cosine.shape[-1]
    turning, passing = x[..., :width].float(), x[..., width:]
    if interleaved:
        first, second = turning[..., 0::2], turning[..., 1::2]
    else:
        first, second = turning.chunk(2, dim=-1)
    turned = (first * cosine - second * sine, second * cosine + first * sine)
    joined = torch.stack(turned, dim=-1).flatten(-2) if interleaved else torch.cat(turned, dim=-1)
    joined = joined.to(x.dtype)
    return joined if passing.shape[-1] == 0 else torch.cat((joined, passing), dim=-1)
