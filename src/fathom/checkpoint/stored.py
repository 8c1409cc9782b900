"""The bytes of open files of weights, so that no other program can turn them into a crash.

Where a mapped file becomes shorter, looking at what is gone ends the process with SIGBUS, which
Python cannot catch. So only files are mapped that nobody shortens (`sources/settled.py`); every
other file is read, and one that became shorter is an error like others.
"""

from __future__ import annotations

import mmap
import os
import sys
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor

from fathom.checkpoint.sources.settled import is_settled
from fathom.errors import ModelFileError, NotFoundError

__all__ = ["Stored", "StoredFile", "Workers"]

PIECE = 1 << 22  # bytes that one thread reads at a time
POPULATE_READ = 22  # MADV_POPULATE_READ of Linux 5.14, which Python's mmap does not name


class Workers:
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


class StoredFile:
    """An open file of weights: mapped where that is safe, else read.

    Raises:
        NotFoundError: it cannot be opened.
        ModelFileError: ``E_TRUNCATED`` if it is shorter than `needed` bytes.
    """

    def __init__(self, path: Path, needed: int) -> None:
        self.path = path
        with _open(path, needed) as stream:
            self._stamp = _stamp(stream.fileno())
            # Windows lets nobody shorten a mapped file, and has no positioned reads.
            mapped = not hasattr(os, "preadv") or is_settled(path)
            self.mapping = _map(stream, path) if mapped else None
            self._descriptor = os.dup(stream.fileno())
        self._close = weakref.finalize(self, os.close, self._descriptor)

    def close(self) -> None:
        """Close the file. A mapping ends with the last tensor that looks into it."""
        self.mapping = None
        self._close()

    def require_unchanged(self) -> None:
        """Refuse a file that was written to since it was opened, with ``E_MISMATCH``."""
        if _stamp(self._descriptor) != self._stamp:
            detail = "was changed while it was read; open it again when it is complete"
            raise ModelFileError("E_MISMATCH", detail, file=self.path)

    def read(self, offset: int, target: memoryview) -> None:
        """Fill `target` from `offset` on, in this thread."""
        done = 0
        while done < len(target):
            got = os.preadv(self._descriptor, [target[done:]], offset + done)
            if got == 0:
                detail = "became shorter while it was read; fetch it again"
                raise ModelFileError("E_TRUNCATED", detail, file=self.path)
            done += got

    def read_tensor(self, offset: int, target: Tensor, workers: Workers) -> Tensor:
        """Fill `target`, which lies in one piece, from `offset` on, on every core.

        That is quicker than to copy from a mapping, whose pages have to be mapped one by one.
        """
        view = _bytes_of(target)
        starts = range(0, len(view), PIECE)
        workers.each(lambda at: self.read(offset + at, view[at : at + PIECE]), starts)
        return target

    def find(self, tensor: Tensor) -> int | None:
        """Return where in this file a tensor begins that looks into its mapping, or None."""
        if self.mapping is None:
            return None
        start = torch.frombuffer(self.mapping, dtype=torch.uint8, count=1)
        offset = tensor.data_ptr() - start.data_ptr()
        return offset if 0 <= offset < len(self.mapping) else None

    def present(self, offset: int, size: int) -> bool:
        """Bring pages of the mapping into memory; False where this system cannot do so."""
        if self.mapping is None or sys.platform != "linux":
            return False
        start = offset // mmap.PAGESIZE * mmap.PAGESIZE
        try:
            self.mapping.madvise(POPULATE_READ, start, offset + size - start)
        except (OSError, ValueError):  # Linux before 5.14
            return False
        return True

    def release(self, offset: int, size: int) -> None:
        """Let the whole pages of the mapping go that lie within these bytes."""
        if self.mapping is None or not hasattr(mmap, "MADV_DONTNEED"):
            return
        start = -(-offset // mmap.PAGESIZE) * mmap.PAGESIZE
        length = (offset + size) // mmap.PAGESIZE * mmap.PAGESIZE - start
        if length > 0:
            self.mapping.madvise(mmap.MADV_DONTNEED, start, length)


@dataclass(frozen=True)
class Stored:
    """The bytes of one tensor: `size` of them from `offset` of a file."""

    file: StoredFile
    offset: int
    size: int

    def whole(self, workers: Workers) -> Tensor:
        """All bytes as (size,) uint8: a view of the mapping, or read on every core."""
        if self.file.mapping is not None:
            return self.part(0, self.size)
        return self.file.read_tensor(
            self.offset, torch.empty(self.size, dtype=torch.uint8), workers
        )

    def part(self, begin: int, size: int) -> Tensor:
        """Some of the bytes as (size,) uint8: a view of the mapping, or read in this thread."""
        at = self.offset + begin
        if size == 0 or self.file.mapping is None:
            result = torch.empty(size, dtype=torch.uint8)
            self.file.read(at, _bytes_of(result))
            return result
        return torch.frombuffer(self.file.mapping, dtype=torch.uint8, count=size, offset=at)


def _bytes_of(tensor: Tensor) -> memoryview:
    return memoryview(tensor.view(-1).view(torch.uint8).numpy())  # type: ignore[arg-type]


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


def _stamp(descriptor: int) -> tuple[int, int]:
    """Size and time of change of an open file."""
    stat = os.fstat(descriptor)
    return stat.st_size, stat.st_mtime_ns


def _unreadable(path: Path, error: OSError) -> NotFoundError:
    return NotFoundError(f"{path}: cannot be read ({error.strerror or error})")
