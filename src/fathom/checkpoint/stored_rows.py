"""Tensors as their files store them, forwards by naming rules without being decoded.

Most rules move whole rows: they rename, cut, join, stack and regroup. Such a tensor goes from the
file to where it is needed byte by byte, whatever its encoding. No torch is loaded for it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np

from fathom.checkpoint.contents import Contents, TensorInfo
from fathom.checkpoint.naming import Assignment
from fathom.checkpoint.rewriting import forwards
from fathom.dialects.rules import Join, Regroup, Reshape, Split, Stack, Step
from fathom.errors import ModelFileError, NotFoundError

if TYPE_CHECKING:
    from typing import Any, TypeAlias

    from numpy.typing import NDArray

    Array: TypeAlias = NDArray[Any]
    Bytes: TypeAlias = NDArray[np.uint8]
    Floats: TypeAlias = NDArray[np.float32]


@dataclass(frozen=True)
class StoredRows:
    """Rows of a parameter, in order: which rows of which tensors. All tensors have one encoding.

    `rows` count through the tensors, one after the other, in units of their last axis.
    """

    tensors: tuple[TensorInfo, ...]
    rows: NDArray[np.int64]  # in the shape of the parameter, without its last axis
    columns: int

    @property
    def encoding(self) -> str:
        return self.tensors[0].encoding

    @property
    def row_bytes(self) -> int:
        return self.tensors[0].size // prod(self.tensors[0].shape[:-1])


def stored_rows(contents: Contents, assignment: Assignment, name: str) -> StoredRows | None:
    """Return where the rows of one parameter lie, or None where a rule reaches into rows."""
    tensors = tuple(contents.tensors[each] for each in assignment.theirs)
    plain = all(each.scales is None and len(each.shape) > 1 for each in tensors)
    if not plain or len({(each.encoding, each.shape[-1]) for each in tensors}) != 1:
        return None
    columns = tensors[0].shape[-1]
    numbered, first = [], 0
    for each in tensors:
        count = each.elements // columns
        numbered.append(np.arange(first, first + count).reshape(*each.shape[:-1], 1))
        first += count
    steps = [_of_rows(step, columns) for step in assignment.steps]
    if any(step is None for step in steps):
        return None
    found = forwards([step for step in steps if step is not None], numbered)
    rows = found[assignment.ours.index(name)]
    return StoredRows(tensors, rows[..., 0], columns) if rows.shape[-1] == 1 else None


def _of_rows(step: Step, columns: int) -> Step | None:
    """Return what a step does to the numbers of rows, (…, 1), or None where it does more."""
    match step:
        case Stack() | Regroup():
            return step
        case Split(axis=axis) | Join(axis=axis):
            return step if axis >= 0 else None  # the last axis would show: it is one wide here
        case Reshape(theirs, ours) if theirs[-1] == ours[-1] == columns:
            return Reshape((*theirs[:-1], 1), (*ours[:-1], 1))
        case _:
            return None


@dataclass(frozen=True)
class Part:
    """Rows of one tensor, by their numbers in it, which are those from `begin` on of a matrix."""

    info: TensorInfo
    descriptor: int  # of the open file
    begin: int
    rows: NDArray[np.int64]


NUMBERS: Mapping[str, np.dtype[Any]] = {
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype("<u2"),
}


class StoredReader:
    """Bytes of a checkpoint's tensors, read and never mapped; threads may share a reader.

    Raises:
        NotFoundError: a file cannot be opened.
        ModelFileError: ``E_TRUNCATED`` if a file is shorter than its header said.
    """

    def __init__(self) -> None:
        self._descriptors: dict[Path, int] = {}
        self._stamps: dict[Path, tuple[int, int]] = {}  # as the files were when opened
        self._opening = Lock()

    def require_unchanged(self) -> None:
        """Refuse files that were written to since they were opened, with ``E_MISMATCH``."""
        for path, descriptor in self._descriptors.items():
            if _stamp(descriptor) != self._stamps[path]:
                detail = "was changed while it was read; open it again when it is complete"
                raise ModelFileError("E_MISMATCH", detail, file=path)

    def close(self) -> None:
        """Close the files."""
        while self._descriptors:
            os.close(self._descriptors.popitem()[1])

    def read(self, info: TensorInfo, begin: int, size: int) -> Bytes:
        """Return some bytes of a tensor."""
        data = np.empty(size, dtype=np.uint8)
        view, done = memoryview(data), 0  # type: ignore[arg-type]
        descriptor = self._open(info.file)
        while done < size:
            got = os.preadv(descriptor, [view[done:]], info.offset + begin + done)
            if got == 0:
                detail = "is shorter than its header promised; fetch it again"
                raise ModelFileError("E_TRUNCATED", detail, file=info.file)
            done += got
        return data

    def numbers(self, info: TensorInfo) -> Floats | None:
        """Return a tensor of plain floating-point numbers as float32; None for other encodings."""
        if info.encoding not in NUMBERS or info.scales is not None:
            return None
        data = self.read(info, 0, info.size)
        found: Array = data.view(NUMBERS[info.encoding]).reshape(info.shape)
        if info.encoding == "BF16":
            found = (found.astype(np.uint32) << 16).view(np.float32)
        numbers: Floats = found.astype(np.float32, copy=False)
        return numbers

    def parts(self, stored: StoredRows, rows: NDArray[np.int64]) -> Iterator[Part]:
        """Say where some of the rows lie, tensor after tensor, in open files."""
        firsts = np.cumsum([0, *(prod(each.shape[:-1]) for each in stored.tensors)])
        owners = np.searchsorted(firsts, rows, side="right") - 1
        cuts = [0, *(np.flatnonzero(np.diff(owners)) + 1), len(rows)]
        for begin, end in pairwise(cuts):
            if begin < end:
                info = stored.tensors[owners[begin]]
                own = rows[begin:end] - firsts[owners[begin]]
                yield Part(info, self._open(info.file), int(begin), own)

    def _open(self, path: Path) -> int:
        with self._opening:
            if path not in self._descriptors:
                try:
                    descriptor = os.open(path, os.O_RDONLY)
                except OSError as error:
                    detail = error.strerror or error
                    raise NotFoundError(f"{path}: cannot be read ({detail})") from None
                self._descriptors[path] = descriptor
                self._stamps[path] = _stamp(descriptor)
            return self._descriptors[path]


def _stamp(descriptor: int) -> tuple[int, int]:
    """Size and time of change of an open file."""
    stat = os.fstat(descriptor)
    return stat.st_size, stat.st_mtime_ns
