"""Root-mean-square norm and layer norm, in float32 whatever the type of the stream."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def rms_norm(x: Tensor, weight: Tensor | None, epsilon: float, groups: int = 1) -> Tensor:
    """``x / sqrt(mean(x²) + epsilon) · weight`` over the last axis (Zhang & Sennrich, 2019).

    With `groups`, the mean is taken over each of that many equal parts of the axis.
    """
    if groups > 1:
        parts = rms_norm(x.float().unflatten(-1, (groups, -1)), None, epsilon).flatten(-2)
        return (parts if weight is None else parts * weight).to(x.dtype)
    return functional.rms_norm(x.float(), x.shape[-1:], weight, epsilon).to(x.dtype)


def layer_norm(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, epsilon: float, groups: int = 1
) -> Tensor:
    """``(x - mean) / sqrt(variance + epsilon) · weight + bias`` (Ba et al., 2016).

    With `groups`, mean and variance are taken over each of that many equal parts of the axis.
    """
    if groups > 1:
        parts = layer_norm(x.float().unflatten(-1, (groups, -1)), None, None, epsilon).flatten(-2)
        parts = parts if weight is None else parts * weight
        return (parts if bias is None else parts + bias).to(x.dtype)
    return functional.layer_norm(x.float(), x.shape[-1:], weight, bias, epsilon).to(x.dtype)
