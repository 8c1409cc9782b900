"""Numbers that torch holds as they are."""

from __future__ import annotations

import torch

from fathom.errors import ModelFileError


def view(raw: torch.Tensor, dtype_name: str) -> torch.Tensor:
    """See (bytes,) uint8 as (elements,) of a torch type, without a copy where that is possible.

    Bytes at an unaligned address are copied. Truth values are copied too, so that a stored 2
    becomes True instead of undefined behaviour.
    """
    if dtype_name == "bool":
        return raw != 0
    dtype = torch_dtype(dtype_name)
    if raw.data_ptr() % dtype.itemsize or raw.storage_offset() % dtype.itemsize:
        raw = raw.clone()
    return raw.view(dtype)


def torch_dtype(name: str) -> torch.dtype:
    """Return ``torch.<name>``, or raise ``E_DTYPE`` where this torch is too old to have it."""
    dtype = getattr(torch, name, None)
    if not isinstance(dtype, torch.dtype):
        detail = f"torch {torch.__version__} has no type {name}; install a newer torch"
        raise ModelFileError("E_DTYPE", detail)
    return dtype
