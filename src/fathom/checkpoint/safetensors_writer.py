"""Writing safetensors, one tensor at a time and all or nothing."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO

import torch
from torch import Tensor

from fathom.checkpoint.encodings import ENCODINGS
from fathom.checkpoint.safetensors import DTYPES
from fathom.errors import ModelFileError

__all__ = ["write_safetensors"]

_ALIGNMENT = 8  # bytes: where the data begins, so that no reader has to copy it


def write_safetensors(
    path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None
) -> None:
    """Write `tensors` to `path`, replacing a file that is there only when all is written.

    Tensors are ordered by falling alignment, as the reference writer does. A tensor that shares
    its memory with another is written in full.

    Raises:
        ModelFileError: ``E_DTYPE`` for a type that the format does not have.
        OSError: the disk is full or cannot be written; nothing is left behind.
    """
    ordered = sorted(tensors.items(), key=lambda item: (-item[1].element_size(), item[0]))
    header = _header(ordered, metadata or {}, path)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    partial = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(header)
            for _, tensor in ordered:
                _write(stream, tensor)
            stream.flush()
            os.fsync(stream.fileno())
        partial.chmod(0o666 & ~_umask())  # mkstemp makes files private
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


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


def _umask() -> int:
    """The umask can be read only by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
