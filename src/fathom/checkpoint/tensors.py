"""Reading tensors out of the files that headers describe.

Files are memory-mapped, so a tensor of a native type costs no copy and block encodings are decoded
a chunk at a time: the peak is the result and one chunk. A model file must not be shortened while
it is mapped; its length is checked when it is opened.
"""

from __future__ import annotations

import mmap
import os
import sys
import weakref
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import torch
from torch import Tensor

from fathom.checkpoint import scaled
from fathom.checkpoint.contents import Contents, TensorInfo
from fathom.checkpoint.encodings import Encoding, encoding
from fathom.checkpoint.encodings.native import view
from fathom.errors import ModelFileError, NotFoundError, TensorMismatchError, nearest

__all__ = ["Reader", "read_raw", "read_tensor"]

# Decoded elements per step: 1 MiB of float32 stays in a core's cache between the few passes.
CHUNK_ELEMENTS = 1 << 18
PIECE = 1 << 22  # bytes that one thread reads at a time
CACHE_LINE = 64  # bytes
POPULATE_READ = 22  # MADV_POPULATE_READ of Linux 5.14, which Python's mmap does not name


class _Workers:
    """One thread for each core, for pieces of work that are done from end to end by one of them.

    Threads are started when there is work for two, and only once: that takes longer than a piece.
    """

    def __init__(self) -> None:
        self._count = torch.get_num_threads()
        self._pool: ThreadPoolExecutor | None = None

    def each(self, work: Callable[[int], None], starts: range) -> None:
        """Do a piece of work from each of many starts."""
        if min(self._count, len(starts)) < 2:
            for start in starts:
                work(start)
            return
        if self._pool is None:
            self._pool = ThreadPoolExecutor(
                self._count, initializer=torch.set_num_threads, initargs=(1,)
            )
        for _ in self._pool.map(work, starts):
            pass

    def close(self) -> None:
        """End the threads."""
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None


class Reader:
    """Tensors of a checkpoint by name; each file is mapped once and stays mapped while in use.

    Use as a context manager. A tensor may outlive the reader: it keeps its file mapped.
    """

    def __init__(self, contents: Contents) -> None:
        self.contents = contents
        self._needed = _lengths(contents.tensors.values())
        self._maps: dict[Path, mmap.mmap] = {}
        self._descriptors: dict[Path, int] = {}
        self._workers = _Workers()
        weakref.finalize(self, _close, self._descriptors)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Forget the mappings; each ends with the last tensor that looks into it."""
        self._maps.clear()
        _close(self._descriptors)
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
            return scaled.decode(self._raw(info), self._raw(info.scales.tensor), info, dtype)
        return _decode(self._raw(info), info, dtype, self._workers)

    def raw(self, name: str) -> Tensor:
        """The stored bytes as (size,) uint8, without a copy."""
        return self._raw(self.info(name))

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
        path, offset = place
        if tensor.itemsize >= 4 or tensor.data_ptr() % CACHE_LINE == 0:
            return tensor if self._present(path, offset, tensor.nbytes) else tensor.clone()
        return self._read(path, offset, tensor)

    def _present(self, path: Path, offset: int, size: int) -> bool:
        """Bring pages of a mapping into memory; False where this system cannot do so."""
        start = offset // mmap.PAGESIZE * mmap.PAGESIZE
        try:
            self._maps[path].madvise(POPULATE_READ, start, offset + size - start)
        except (AttributeError, OSError, ValueError):  # Windows, macOS, Linux before 5.14
            return False
        return sys.platform == "linux"

    def _read(self, path: Path, offset: int, tensor: Tensor) -> Tensor:
        """Read what a tensor looks at from the file, on every core.

        That is quicker than to copy it from pages, each of which has to be mapped first.
        """
        if not hasattr(os, "preadv"):
            return tensor.clone()
        result = torch.empty_like(tensor)
        target = memoryview(result.view(-1).view(torch.uint8).numpy())  # type: ignore[arg-type]
        descriptor = self._descriptors[path]

        def read(start: int) -> None:
            part = target[start : start + PIECE]
            done = 0
            while done < len(part):
                got = os.preadv(descriptor, [part[done:]], offset + start + done)
                if got == 0:
                    detail = "became shorter while it was read; fetch it again"
                    raise ModelFileError("E_TRUNCATED", detail, file=path)
                done += got

        self._workers.each(read, range(0, len(target), PIECE))
        return result

    def _place(self, tensor: Tensor) -> tuple[Path, int] | None:
        """Return the file that a tensor looks into, and where in it the tensor begins."""
        address = tensor.data_ptr()
        for path, mapping in self._maps.items():
            offset = address - _bytes_at(mapping).data_ptr()
            if 0 <= offset < len(mapping):
                return path, offset
        return None

    def release(self, name: str) -> None:
        """Let the pages of a stored tensor go: it has been copied, and will be read afresh."""
        info = self.info(name)
        mapping = self._maps.get(info.file)
        if mapping is None or not hasattr(mmap, "MADV_DONTNEED"):
            return
        # Whole pages only: its neighbours' first and last bytes stay.
        start = -(-info.offset // mmap.PAGESIZE) * mmap.PAGESIZE
        length = (info.offset + info.size) // mmap.PAGESIZE * mmap.PAGESIZE - start
        if length > 0:
            mapping.madvise(mmap.MADV_DONTNEED, start, length)

    def _raw(self, info: TensorInfo) -> Tensor:
        if info.file not in self._maps:
            with _open(info.file, self._needed[info.file]) as stream:
                self._maps[info.file] = _map(stream, info.file)
                self._descriptors[info.file] = os.dup(stream.fileno())
        return _bytes(self._maps[info.file], info)


def read_tensor(info: TensorInfo, *, dtype: torch.dtype | None = None) -> Tensor:
    """Read one tensor in the shape of its header.

    Without `dtype`, numbers that torch holds come back in their own type and share memory with
    the file where their address allows; block encodings come back as float32. Writing to the
    result never changes the file.

    Raises:
        ModelFileError: ``E_TRUNCATED`` if the file is shorter than its header said, ``E_DTYPE``
            if torch has no type for the encoding.
    """
    with closing(_Workers()) as workers:
        return _decode(read_raw(info), info, dtype, workers)


def read_raw(info: TensorInfo) -> Tensor:
    """Read the stored bytes of one tensor as (size,) uint8, without a copy."""
    with _open(info.file, info.offset + info.size) as stream:
        return _bytes(_map(stream, info.file), info)


def _lengths(tensors: Iterable[TensorInfo]) -> dict[Path, int]:
    """The least length of each file, in bytes."""
    lengths: dict[Path, int] = {}
    for tensor in tensors:
        for part in (tensor, tensor.scales.tensor) if tensor.scales else (tensor,):
            end = part.offset + part.size
            lengths[part.file] = max(end, lengths.get(part.file, 0))
    return lengths


def _close(descriptors: dict[Path, int]) -> None:
    while descriptors:
        os.close(descriptors.popitem()[1])


def _open(path: Path, needed: int) -> BinaryIO:
    """Open a file that is to hold so many bytes at least."""
    try:
        stream = path.open("rb")
    except OSError as error:
        raise _unreadable(path, error) from None
    size = os.fstat(stream.fileno()).st_size
    if size < needed:
        stream.close()
        detail = f"has {size:,} bytes, its header promised {needed:,}; fetch it again"
        raise ModelFileError("E_TRUNCATED", detail, file=path)
    return stream


def _map(stream: BinaryIO, path: Path) -> mmap.mmap:
    """Map a file copy-on-write: writable for torch's sake, and the file never changes."""
    try:
        if sys.platform != "linux":
            return mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_COPY)
        # NORESERVE: without it Linux refuses to map a file larger than memory copy-on-write.
        flags = mmap.MAP_PRIVATE | getattr(mmap, "MAP_NORESERVE", 0x4000)
        return mmap.mmap(stream.fileno(), 0, flags, mmap.PROT_READ | mmap.PROT_WRITE)
    except OSError as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: OSError) -> NotFoundError:
    return NotFoundError(f"{path}: cannot be read ({error.strerror or error})")


def _bytes_at(mapping: mmap.mmap) -> Tensor:
    return torch.frombuffer(mapping, dtype=torch.uint8, count=1)


def _bytes(mapping: mmap.mmap, info: TensorInfo) -> Tensor:
    if info.size == 0:
        return torch.empty(0, dtype=torch.uint8)
    return torch.frombuffer(mapping, dtype=torch.uint8, count=info.size, offset=info.offset)


def _decode(raw: Tensor, info: TensorInfo, dtype: torch.dtype | None, workers: _Workers) -> Tensor:
    kind = encoding(info.encoding)
    if kind.native is not None:
        values = view(raw, kind.native).reshape(info.shape)
        if dtype is None or dtype == values.dtype:
            return values
        return _converted(values, dtype, workers)
    return _decode_blocks(raw, kind, info.shape, dtype or torch.float32, workers)


def _converted(values: Tensor, dtype: torch.dtype, workers: _Workers) -> Tensor:
    """Return numbers in another type."""
    result = torch.empty(values.shape, dtype=dtype)
    source, target = values.view(-1), result.view(-1)

    def convert(start: int) -> None:
        part = slice(start, start + CHUNK_ELEMENTS)
        target[part].copy_(source[part])

    workers.each(convert, range(0, target.numel(), CHUNK_ELEMENTS))
    return result


def _decode_blocks(
    raw: Tensor, kind: Encoding, shape: tuple[int, ...], dtype: torch.dtype, workers: _Workers
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
        part.copy_(kind.decode(raw[at : at + kind.size(part.shape)], part.shape))

    workers.each(decode, range(0, flat.numel(), step))
    return result
