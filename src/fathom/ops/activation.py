"""Activations by name: a closed table, so that a configuration can name nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional


def gelu_quick(x: Tensor) -> Tensor:
    """``x · sigmoid(1.702 x)``, the approximation of CLIP (Hendrycks & Gimpel, 2016)."""
    return x * torch.sigmoid(1.702 * x)


def relu_squared(x: Tensor) -> Tensor:
    """``max(x, 0)²`` (So et al., 2021, arXiv 2109.08668)."""
    return torch.square(functional.relu(x))


def identity(x: Tensor) -> Tensor:
    """``x``."""
    return x


ACTIVATIONS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "silu": functional.silu,
    "gelu": functional.gelu,
    "gelu_tanh": partial(functional.gelu, approximate="tanh"),
    "gelu_quick": gelu_quick,
    "relu": functional.relu,
    "relu_squared": relu_squared,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "identity": identity,
}
