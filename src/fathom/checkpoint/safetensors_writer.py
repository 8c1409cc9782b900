"""Writing safetensors, one tensor at a time and all or nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO

import torch
from torch import Tensor

from fathom.checkpoint import storage
from fathom.checkpoint.encodings import ENCODINGS
from fathom.checkpoint.safetensors import DTYPES
from fathom.errors import ModelFileError

__all__ = ["write_safetensors", "write_stream"]

_ALIGNMENT = 8  # bytes: where the data begins, so that no reader has to copy it


def write_safetensors(
    path: Path,
    tensors: Mapping[str, Tensor],
    metadata: Mapping[str, str] | None = None,
    read: Callable[[str], Tensor] | None = None,
) -> None:
    """Write `tensors` to `path`, replacing a file that is there only when all is written.

    Tensors are ordered by falling alignment, as the reference writer does. A tensor that shares
    its memory with another is written in full. With `read`, which gives one tensor at a time,
    `tensors` may be outlines of the device ``meta``.

    Raises:
        ModelFileError: ``E_DTYPE`` for a type that the format does not have.
        OSError: the disk is full or cannot be written; nothing is left behind.
    """
    with storage.replacing(path) as stream:
        write_stream(stream, tensors, metadata, path, read)


def write_stream(
    stream: IO[bytes],
    tensors: Mapping[str, Tensor],
    metadata: Mapping[str, str] | None = None,
    path: Path = Path("model.safetensors"),
    read: Callable[[str], Tensor] | None = None,
) -> None:
    """Write a whole file of safetensors into an open stream; `path` is for errors only."""
    read = read or tensors.__getitem__
    ordered = sorted(tensors.items(), key=lambda item: (-item[1].element_size(), item[0]))
    stream.write(_header(ordered, metadata or {}, path))
    for name, _ in ordered:
        _write(stream, read(name))


def _header(ordered: list[tuple[str, Tensor]], metadata: Mapping[str, str], path: Path) -> bytes:
    entries: dict[str, object] = {"__metadata__": dict(metadata)} if metadata else {}
    offset = 0
    for name, tensor in ordered:
        size = tensor.numel() * tensor.element_size()
        entries[name] = {
            "dtype": _dtype_name(name, tensor, path),
            "shape": list(tensor.shape),
            "data_offsets": [offset, offset + size],
        }
        offset += size
    text = json.dumps(entries, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    return len(text).to_bytes(8, "little") + text


def _dtype_name(name: str, tensor: Tensor, path: Path) -> str:
    wanted = str(tensor.dtype).removeprefix("torch.")
    for dtype in DTYPES:
        if ENCODINGS[dtype].native == wanted:
            return dtype
    detail = f"{name}: safetensors has no type for torch.{wanted}; convert it first"
    raise ModelFileError("E_DTYPE", detail, file=path)


def _write(stream: IO[bytes], tensor: Tensor) -> None:
    if tensor.numel():
        data = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
        stream.write(data.numpy().data)
        storage.reached("tensor written")
