"""Tensors as the native kernels take them, and which they do not take."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from fathom.ops.native import native

if TYPE_CHECKING:
    from numpy.typing import NDArray


def array(tensor: Tensor) -> NDArray[Any]:
    """Return a tensor's memory as an array, bfloat16 as the bits of it."""
    tensor = tensor.detach()
    return (tensor.view(torch.uint16) if tensor.dtype == torch.bfloat16 else tensor).numpy()


def refuses_natively(*tensors: Tensor | None) -> str | None:
    """Return why no native kernel takes such tensors, the first being what passes, or None."""
    module = native()
    if isinstance(module, str):
        return module
    given = [tensor for tensor in tensors if tensor is not None]
    x = given[0]
    if x.device.type != "cpu":
        return f"the native kernels run on the processor, and this tensor is on {x.device.type}"
    if x.dtype not in (torch.float32, torch.bfloat16):
        return f"the native kernels compute in float32 and bfloat16, not in {x.dtype}"
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in given):
        return "the native kernels have no gradient"
    if not module.best()[0].startswith("avx"):
        return "the kernels for any processor are slower than PyTorch's"
    return None
