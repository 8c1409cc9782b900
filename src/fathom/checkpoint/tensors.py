"""Reading tensors out of the files that headers describe.

A tensor of a native type in a file that is mapped costs no copy; any other is decoded a chunk at a
time: the peak is the result and a chunk for each core. Which files are mapped, and why not all,
says `checkpoint/stored.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Self

import torch
from torch import Tensor

from fathom.checkpoint import scaled
from fathom.checkpoint.contents import Contents, TensorInfo
from fathom.checkpoint.encodings import Encoding, encoding
from fathom.checkpoint.encodings.native import torch_dtype, view
from fathom.checkpoint.stored import Stored, StoredFile, Workers
from fathom.errors import TensorMismatchError, nearest

__all__ = ["Reader", "read_raw", "read_tensor"]

# Decoded elements per step: 1 MiB of float32 stays in a core's cache between the few passes.
CHUNK_ELEMENTS = 1 << 18
CACHE_LINE = 64  # bytes


class Reader:
    """Tensors of a checkpoint by name; each file is opened once and stays open while in use.

    Use as a context manager. A tensor may outlive the reader: it keeps a mapped file mapped.

    Raises, at the end:
        ModelFileError: ``E_MISMATCH`` if a file was written to meanwhile.
    """

    def __init__(self, contents: Contents) -> None:
        self.contents = contents
        self._needed = _lengths(contents.tensors.values())
        self._files: dict[Path, StoredFile] = {}
        self._workers = Workers()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                for file in self._files.values():
                    file.require_unchanged()
        finally:
            self.close()

    def close(self) -> None:
        """Close the files; a mapping ends with the last tensor that looks into it."""
        while self._files:
            self._files.popitem()[1].close()
        self._workers.close()

    def info(self, name: str) -> TensorInfo:
        """What the header says about a tensor, or a `TensorMismatchError` with near names."""
        try:
            return self.contents.tensors[name]
        except KeyError:
            suggestion = nearest(name, self.contents.tensors)
            raise TensorMismatchError(
                f"no tensor {name!r} in this checkpoint.{suggestion}"
            ) from None

    def tensor(self, name: str, dtype: torch.dtype | None = None) -> Tensor:
        """The tensor in the shape of its header, in `dtype` or as `read_tensor` says."""
        info = self.info(name)
        if info.scales is not None:
            scales = self._stored(info.scales.tensor).whole(self._workers)
            return scaled.decode(self.raw(name), scales, info, dtype)
        return _decode(self._stored(info), info, dtype, self._workers)

    def outline(self, name: str) -> Tensor:
        """A tensor without numbers (of the device ``meta``), in the shape and type of `tensor`."""
        info = self.info(name)
        native = encoding(info.encoding).native if info.scales is None else None
        dtype = torch_dtype(native) if native else torch.float32
        return torch.empty(info.shape, dtype=dtype, device="meta")

    def raw(self, name: str) -> Tensor:
        """The stored bytes as (size,) uint8."""
        return self._stored(self.info(name)).whole(self._workers)

    def maps(self, tensor: Tensor) -> bool:
        """Whether a tensor looks into a file rather than into memory of its own."""
        return self._place(tensor) is not None

    def kept(self, tensor: Tensor) -> Tensor:
        """Return a tensor to compute with, for as long as a model lives: looking into the file
        where that costs nothing later, else in memory of its own.

        float32 stays in the file; its pages are there at once, not at first use. 16-bit numbers
        do so on a cache line alone: elsewhere their products take a tenth longer (AVX-512 BF16).
        """
        place = self._place(tensor)
        if place is None or not tensor.is_contiguous():
            return tensor.clone(memory_format=torch.contiguous_format)
        file, offset = place
        if tensor.itemsize >= 4 or tensor.data_ptr() % CACHE_LINE == 0:
            return tensor if file.present(offset, tensor.nbytes) else tensor.clone()
        return file.read_tensor(offset, torch.empty_like(tensor), self._workers)

    def _place(self, tensor: Tensor) -> tuple[StoredFile, int] | None:
        """Return the file that a tensor looks into, and where in it the tensor begins."""
        for file in self._files.values():
            offset = file.find(tensor)
            if offset is not None:
                return file, offset
        return None

    def release(self, name: str) -> None:
        """Let the pages of a stored tensor go: it has been copied, and will be read afresh."""
        info = self.info(name)
        if info.file in self._files:
            # Whole pages only: its neighbours' first and last bytes stay.
            self._files[info.file].release(info.offset, info.size)

    def _stored(self, info: TensorInfo) -> Stored:
        if info.file not in self._files:
            self._files[info.file] = StoredFile(info.file, self._needed[info.file])
        return Stored(self._files[info.file], info.offset, info.size)


def read_tensor(info: TensorInfo, *, dtype: torch.dtype | None = None) -> Tensor:
    """Read one tensor in the shape of its header.

    Without `dtype`, numbers that torch holds come back in their own type, and share memory with
    the file where that is mapped and their address allows; block encodings come back as float32.
    Writing to the result never changes the file.

    Raises:
        ModelFileError: ``E_TRUNCATED`` if the file is shorter than its header said, ``E_DTYPE``
            if torch has no type for the encoding.
    """
    file = StoredFile(info.file, info.offset + info.size)
    with closing(file), closing(Workers()) as workers:
        return _decode(Stored(file, info.offset, info.size), info, dtype, workers)


def read_raw(info: TensorInfo) -> Tensor:
    """Read the stored bytes of one tensor as (size,) uint8."""
    file = StoredFile(info.file, info.offset + info.size)
    with closing(file), closing(Workers()) as workers:
        return Stored(file, info.offset, info.size).whole(workers)


def _lengths(tensors: Iterable[TensorInfo]) -> dict[Path, int]:
    """The least length of each file, in bytes."""
    lengths: dict[Path, int] = {}
    for tensor in tensors:
        for part in (tensor, tensor.scales.tensor) if tensor.scales else (tensor,):
            end = part.offset + part.size
            lengths[part.file] = max(end, lengths.get(part.file, 0))
    return lengths


def _decode(
    stored: Stored, info: TensorInfo, dtype: torch.dtype | None, workers: Workers
) -> Tensor:
    kind = encoding(info.encoding)
    if kind.native is not None and dtype in (None, torch_dtype(kind.native)):
        return view(stored.whole(workers), kind.native).reshape(info.shape)
    return _decode_chunks(stored, kind, info.shape, dtype or torch.float32, workers)


def _decode_chunks(
    stored: Stored, kind: Encoding, shape: tuple[int, ...], dtype: torch.dtype, workers: Workers
) -> Tensor:
    """Decode into a result of `dtype` that is allocated once.

    Chunks are decoded side by side, each by one thread from end to end: threads that share every
    small operation would wait for one another many times per chunk.
    """
    result = torch.empty(shape, dtype=dtype)
    flat = result.view(-1)
    step = max(CHUNK_ELEMENTS // kind.block_elements, 1) * kind.block_elements

    def decode(start: int) -> None:
        part = flat[start : start + step]
        at = start // kind.block_elements * kind.block_bytes
        raw = stored.part(at, kind.size(part.shape))
        if kind.native is not None:
            part.copy_(view(raw, kind.native))
        else:
            part.copy_(kind.decode(raw, part.shape))

    workers.each(decode, range(0, flat.numel(), step))
    return result
