"""A short causal convolution, each channel for itself, that continues where it was left."""

from __future__ import annotations

import torch
from torch import Tensor


def causal_convolution(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    before: Tensor,
    real: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Return ``y[t] = Σ_k weight[:, k] · x[t - kernel + 1 + k] + bias``, and the next `before`.

    `x` is (batch, length, channels), `weight` (channels, kernel), `before` (batch, kernel - 1,
    channels): the inputs that came before. `real` (batch, length) is False at padding, which is
    passed over wherever it stands; its results mean nothing.
    """
    if real is None:
        joined = torch.cat((before, x), dim=1)
        return _convolve(joined, weight, bias), joined[:, x.shape[1] :]
    order = real.logical_not().argsort(dim=1, stable=True)  # tokens first, padding behind
    joined = torch.cat((before, _rows(x, order)), dim=1)
    kept = torch.arange(before.shape[1], device=x.device)
    after = _rows(joined, real.sum(dim=1, keepdim=True) + kept)
    return _rows(_convolve(joined, weight, bias), order.argsort(dim=1)), after


def _convolve(joined: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """(batch, kernel - 1 + length, channels) → (batch, length, channels), tap by tap."""
    kernel = weight.shape[1]
    length = joined.shape[1] - kernel + 1
    result = joined[:, :length] * weight[:, 0]
    for tap in range(1, kernel):
        result = torch.addcmul(result, joined[:, tap : tap + length], weight[:, tap])
    return result if bias is None else result + bias


def _rows(x: Tensor, index: Tensor) -> Tensor:
    """(batch, length, channels) at `index` (batch, n) → (batch, n, channels)."""
    return x.gather(1, index[..., None].expand(-1, -1, x.shape[2]))
