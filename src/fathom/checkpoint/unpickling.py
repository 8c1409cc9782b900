"""The tensors of a PyTorch pickle, by an unpickler that knows a dozen names and runs nothing.

A pickle is a program for a small machine. This machine can make dictionaries, lists, numbers and
texts, and note down which bytes of the file a tensor is said to be made of. Whether that is so is
checked afterwards, when nothing of the program runs any more. Any name outside `GLOBALS` ends it.
Format: torch/serialization.py; the older layout is its ``_legacy_save``.
"""

from __future__ import annotations

import io
import mmap
import pickle
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from fathom.checkpoint.limits import PICKLE_PROGRAM, POSITION, RANK
from fathom.errors import ModelFileError

__all__ = ["GLOBALS", "Source", "read_state"]

MAGIC = 0x1950A86A20F9469CFC6C  # what the older layout begins with
_PIECE = 8  # bytes of the length before each storage of the older layout
_DTYPES = {
    **{"FloatStorage": "float32", "DoubleStorage": "float64", "HalfStorage": "float16"},
    **{"BFloat16Storage": "bfloat16", "LongStorage": "int64", "IntStorage": "int32"},
    **{"ShortStorage": "int16", "CharStorage": "int8", "ByteStorage": "uint8"},
    **{"BoolStorage": "bool", "UntypedStorage": "uint8"},
}
_NEWER = ("float8_e4m3fn", "float8_e5m2", "float8_e8m0fnu", "uint16", "uint32", "uint64")


@dataclass(frozen=True)
class Stored:
    """A run of numbers of the file: by `key`, `elements` of them, of the type named `dtype`."""

    key: object
    dtype: object
    elements: object


@dataclass(frozen=True)
class Noted:
    """What the program says a tensor is; nothing of it is believed before `_tensor` has looked."""

    stored: object
    offset: object
    shape: object
    stride: object
    dtype: object = None


def _note(stored: object, offset: object, shape: object, stride: object, *_: object) -> Noted:
    return Noted(stored, offset, shape, stride)


def _note_newer(
    stored: object, offset: object, shape: object, stride: object, *more: object
) -> Noted:
    """``_rebuild_tensor_v3`` of types without a storage class: (grad, hooks, dtype, …)."""
    return Noted(stored, offset, shape, stride, more[2] if len(more) > 2 else None)


def _parameter(noted: object, *_: object) -> object:
    return noted


def _size(extents: object) -> object:
    return extents


GLOBALS: Mapping[tuple[str, str], object] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch", "Size"): _size,
    ("torch._utils", "_rebuild_tensor"): _note,
    ("torch._utils", "_rebuild_tensor_v2"): _note,
    ("torch._utils", "_rebuild_tensor_v3"): _note_newer,
    ("torch._utils", "_rebuild_parameter"): _parameter,
    **{("torch", name): dtype for name, dtype in _DTYPES.items()},
    ("torch.storage", "UntypedStorage"): "uint8",
    **{("torch", name): name for name in (*_NEWER, *_DTYPES.values())},
}
"""Every name that a pickle may say, and what it gets: never what the name stands for elsewhere."""


class _Machine(pickle.Unpickler):
    """An unpickler that looks names up in a table and storages up nowhere."""

    def find_class(self, module: str, name: str) -> object:
        found = GLOBALS.get((module, name))
        if found is None:
            detail = f"asks for {f'{module}.{name}'[:80]!r}, which is no part of a tensor"
            raise ModelFileError("E_UNSAFE_CODE", detail)
        return found

    def persistent_load(self, pid: object) -> Stored:
        match pid:
            case ("storage", dtype, key, _, elements, *rest) if not rest or rest == [None]:
                return Stored(key, dtype, elements)
        raise ModelFileError("E_HEADER_SYNTAX", f"names the storage {str(pid)[:80]!r}")


class Source:
    """The bytes of a PyTorch file: mapped, its directory read, no program run yet.

    Raises:
        ModelFileError: for an archive whose program is too long or absent.
    """

    def __init__(self, path: Path) -> None:
        with path.open("rb") as stream:
            self.data = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_COPY)
        self.archive = bytes(self.data[:4]) == b"PK\x03\x04"
        self._members: dict[str, tuple[int, int]] = {}
        if self.archive:
            self._read_directory(path)

    def _read_directory(self, path: Path) -> None:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                name, extra = struct.unpack_from("<HH", self.data, member.header_offset + 26)
                start = member.header_offset + 30 + name + extra
                inner = member.filename.partition("/")[2]
                self._members[inner] = (start, member.file_size)
        order = self.member("byteorder") if "byteorder" in self._members else b"little"
        if bytes(order) != b"little":
            raise ModelFileError("E_DTYPE", "numbers in big-endian order cannot be read")

    def member(self, name: str) -> memoryview:
        """The bytes of one member of the archive, without a copy."""
        try:
            start, size = self._members[name]
        except KeyError:
            raise ModelFileError("E_TRUNCATED", f"the member {name[:80]!r} is missing") from None
        if start + size > len(self.data):
            raise ModelFileError("E_TRUNCATED", f"the member {name[:80]!r} ends past the file")
        return memoryview(self.data)[start : start + size]


def read_state(source: Source) -> object:
    """Run the program and return what it describes, its tensors as real ones.

    Raises:
        ModelFileError: the program asks for more than tensors, or describes ones that are not
            in the file.
    """
    if source.archive:
        program = source.member("data.pkl")
        PICKLE_PROGRAM.check(len(program), "the program is too long", file=None)
        state = _Machine(io.BytesIO(program)).load()
        return _real(state, lambda stored: source.member(f"data/{stored.key}"))
    return _read_older(source)


def _read_older(source: Source) -> object:
    """Magic number, version, system, program, list of keys, then the storages one by one."""
    stream = io.BytesIO(memoryview(source.data))
    first = _Machine(stream).load()
    if first != MAGIC:
        return _real(first, _nowhere)
    for _ in range(2):
        _Machine(stream).load()
    state = _Machine(stream).load()
    keys = _Machine(stream).load()
    if not isinstance(keys, list) or len(keys) > len(source.data):
        raise ModelFileError("E_HEADER_SYNTAX", "has no list of storages")
    widths = {stored.key: _width(stored) for stored in _all_stored(state)}
    begins: dict[object, int] = {}
    at = stream.tell()
    for key in keys:
        if at + _PIECE > len(source.data) or key not in widths:
            raise ModelFileError("E_TRUNCATED", "its storages are cut short")
        (elements,) = struct.unpack_from("<q", source.data, at)
        begins[key] = at + _PIECE
        at = begins[key] + elements * widths[key]
        if elements < 0 or at > len(source.data):
            raise ModelFileError("E_TRUNCATED", "its storages are cut short")

    def bytes_of(stored: Stored) -> memoryview:
        if stored.key not in begins:
            raise ModelFileError("E_OFFSET", f"the storage {str(stored.key)[:40]!r} is missing")
        return memoryview(source.data)[begins[stored.key] :]

    return _real(state, bytes_of)


def _nowhere(stored: Stored) -> memoryview:
    raise ModelFileError("E_TRUNCATED", "its storages are missing")


def _all_stored(state: object) -> list[Stored]:
    """Every storage that a tensor of the state is made of."""
    if isinstance(state, Noted):
        return [state.stored] if isinstance(state.stored, Stored) else []
    if isinstance(state, Mapping):
        return [stored for value in state.values() for stored in _all_stored(value)]
    return []


def _real(state: object, bytes_of: Callable[[Stored], memoryview]) -> object:
    """The same state with tensors for what was noted down; only mappings are looked into."""
    if isinstance(state, Noted):
        return _tensor(state, bytes_of)
    if isinstance(state, Mapping):
        return {key: _real(value, bytes_of) for key, value in state.items()}
    return state


def _width(stored: Stored) -> int:
    """Bytes of one element."""
    if not isinstance(stored.dtype, str) or stored.dtype not in {*_DTYPES.values(), *_NEWER}:
        raise ModelFileError("E_DTYPE", f"a storage of {str(stored.dtype)[:40]!r} cannot be read")
    return int(getattr(torch, stored.dtype).itemsize)


def _tensor(noted: Noted, bytes_of: Callable[[Stored], memoryview]) -> Tensor:
    stored = noted.stored
    if not isinstance(stored, Stored):
        raise ModelFileError("E_HEADER_SYNTAX", "a tensor is made of no storage")
    width = _width(stored)
    shape, stride = _extents(noted.shape), _extents(noted.stride)
    (offset,), (elements,) = _extents([noted.offset]), _extents([stored.elements])
    name = noted.dtype if isinstance(noted.dtype, str) else str(stored.dtype)
    itemsize = _width(Stored(None, name, 0))
    if len(shape) != len(stride):
        raise ModelFileError("E_SHAPE", "a tensor has another number of strides than of dimensions")
    last = offset + sum((extent - 1) * step for extent, step in zip(shape, stride, strict=True))
    empty = 0 in shape
    raw = bytes_of(stored)
    if elements * width > len(raw) or (not empty and (last + 1) * itemsize > elements * width):
        raise ModelFileError("E_OFFSET", "a tensor reaches beyond the bytes of its storage")
    dtype = getattr(torch, name)
    if empty:
        return torch.empty(shape, dtype=dtype)
    whole = torch.frombuffer(raw[: elements * width], dtype=torch.uint8)
    usable = whole.numel() // itemsize * itemsize
    numbers = whole[:usable].clone() if whole.data_ptr() % itemsize else whole[:usable]
    return numbers.view(dtype).as_strided(shape, stride, offset)


def _extents(values: object) -> list[int]:
    """Whole numbers, none negative, or the reason why not."""
    if not isinstance(values, list | tuple) or not all(
        type(value) is int and 0 <= value <= POSITION.most for value in values
    ):
        raise ModelFileError("E_OFFSET", f"a size or place is {str(values)[:60]}")
    RANK.check(len(values), "the rank is too high", file=None)
    return list(values)
