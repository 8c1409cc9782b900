"""The safetensors header: eight bytes of length, a JSON object, then the tensors without gaps.

Stricter than the reference reader, which keeps the last of two equal names and accepts names and
ranks without bound. Nothing is allocated from a declared size and no tensor is read.
Format: https://github.com/huggingface/safetensors#format
"""

from __future__ import annotations

import logging
import struct
from collections.abc import Mapping
from itertools import pairwise
from math import prod
from pathlib import Path

from fathom.checkpoint.contents import Contents, TensorInfo
from fathom.checkpoint.documents import parse_json
from fathom.checkpoint.encodings import ENCODINGS
from fathom.checkpoint.limits import POSITION, RANK, SAFETENSORS_HEADER, TENSOR_NAME, TENSORS
from fathom.errors import ModelFileError, nearest

__all__ = ["DTYPES", "check_name", "read_header"]

logger = logging.getLogger(__name__)

DTYPES = (
    *("BOOL", "F4", "F6_E2M3", "F6_E3M2", "U8", "I8", "F8_E5M2", "F8_E4M3", "F8_E8M0"),
    *("F8_E4M3FNUZ", "F8_E5M2FNUZ", "I16", "U16", "F16", "BF16", "I32", "U32", "F32"),
    *("C64", "F64", "I64", "U64"),
)
"""Every dtype of the format; each is a key of `ENCODINGS`."""

_FIELDS = frozenset({"dtype", "shape", "data_offsets"})


def read_header(path: Path) -> Contents:
    """Read what a ``.safetensors`` file holds, from its header alone.

    Raises:
        ModelFileError: the file is cut short, or breaks a rule of the format.
    """
    with path.open("rb") as stream:
        size = stream.seek(0, 2)
        stream.seek(0)
        length = _header_length(stream.read(8), size, path)
        raw = stream.read(length)
    if len(raw) < length:
        raise ModelFileError("E_TRUNCATED", "the header is cut short; fetch it again", file=path)
    header = _parse(raw, path)
    metadata = _metadata(header.pop("__metadata__", {}), path)
    TENSORS.check(len(header), "too many tensors", file=path)
    start = 8 + length
    tensors = {name: _tensor(name, entry, start, path) for name, entry in header.items()}
    _check_layout(tensors, start, size, path)
    return Contents("safetensors", (path,), tensors, metadata)


def check_name(name: str, path: Path) -> None:
    """Refuse a tensor name that is empty, too long or holds what a terminal would obey.

    A name is a key and never a path, so ``../x`` is harmless.
    """
    TENSOR_NAME.check(len(name.encode()), "a tensor name is too long", file=path, code="E_NAME")
    if not name or not name.isprintable():
        detail = f"a tensor is named {name[:80]!r}; names are printable and not empty"
        raise ModelFileError("E_NAME", detail, file=path)


def _header_length(prefix: bytes, size: int, path: Path) -> int:
    if len(prefix) < 8:
        detail = f"{size} bytes are too few for a safetensors header; fetch the file again"
        raise ModelFileError("E_TRUNCATED", detail, file=path)
    (length,) = struct.unpack("<Q", prefix)
    SAFETENSORS_HEADER.check(length, "the header is too long", file=path, code="E_HEADER_SIZE")
    if 8 + length > size:
        detail = f"the header needs {8 + length:,} bytes, the file has {size:,}; fetch it again"
        raise ModelFileError("E_TRUNCATED", detail, file=path)
    return int(length)


def _parse(raw: bytes, path: Path) -> dict[str, object]:
    if not raw.startswith(b"{"):
        if not raw.lstrip(b" \t\r\n").startswith(b"{"):
            _refuse_start(raw, path)
        logger.warning("%s: the header should begin with '{'", path.name)
    return parse_json(raw, file=path)


def _refuse_start(raw: bytes, path: Path) -> None:
    parse_json(raw, file=path)  # names what is wrong where it can: not UTF-8, not an object
    raise ModelFileError("E_HEADER_SYNTAX", "the header is not a JSON object", file=path)


def _metadata(value: object, path: Path) -> Mapping[str, object]:
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        detail = "__metadata__ must map names to strings; save the file again"
        raise ModelFileError("E_HEADER_SYNTAX", detail, file=path)
    return value


def _tensor(name: str, entry: object, start: int, path: Path) -> TensorInfo:
    check_name(name, path)
    if not isinstance(entry, dict) or not entry.keys() >= _FIELDS:
        detail = f"{name}: needs {', '.join(sorted(_FIELDS))}"
        raise ModelFileError("E_HEADER_SYNTAX", detail, file=path)
    if len(entry) > len(_FIELDS):
        logger.warning("%s: %s has fields that the format does not define", path.name, name)
    dtype = entry["dtype"]
    if not isinstance(dtype, str) or dtype not in DTYPES:
        detail = f"{name}: unknown dtype {str(dtype)[:40]!r}.{nearest(str(dtype)[:40], DTYPES)}"
        raise ModelFileError("E_DTYPE", detail, file=path)
    shape = _shape(name, entry["shape"], path)
    begin, end = _offsets(name, entry["data_offsets"], path)
    size = _size(name, dtype, shape, path)
    if end - begin != size:
        detail = f"{name}: {dtype} {list(shape)} takes {size:,} bytes, its offsets {end - begin:,}"
        raise ModelFileError("E_MISMATCH", detail, file=path)
    return TensorInfo(name, dtype, shape, path, start + begin, size)


def _shape(name: str, value: object, path: Path) -> tuple[int, ...]:
    if not isinstance(value, list) or not all(_is_count(extent) for extent in value):
        detail = f"{name}: shape must be a list of whole numbers, none negative"
        raise ModelFileError("E_SHAPE", detail, file=path)
    RANK.check(len(value), f"{name}: the rank is too high", file=path)
    return tuple(value)


def _offsets(name: str, value: object, path: Path) -> tuple[int, int]:
    match value:
        case [int(begin), int(end)] if _is_count(begin) and _is_count(end) and begin <= end:
            return begin, end
    detail = f"{name}: data_offsets must be a begin and an end not before it"
    raise ModelFileError("E_OFFSET", detail, file=path)


def _is_count(value: object) -> bool:
    return type(value) is int and value >= 0  # True is an int too, and no count


def _size(name: str, dtype: str, shape: tuple[int, ...], path: Path) -> int:
    kind = ENCODINGS[dtype]
    if prod(extent for extent in shape if extent) * kind.block_bytes > POSITION.most:
        detail = f"{name}: the number of elements of {list(shape)} overflows 63 bits"
        raise ModelFileError("E_OVERFLOW", detail, file=path)
    try:
        return kind.size(shape)
    except ModelFileError as error:
        raise ModelFileError(error.code, f"{name}: ends inside a byte", file=path) from None


def _check_layout(tensors: Mapping[str, TensorInfo], start: int, size: int, path: Path) -> None:
    """The tensors must cover the file from `start` to its end, each byte exactly once."""
    ordered = sorted(tensors.values(), key=lambda tensor: (tensor.offset, tensor.size))
    filled = [tensor for tensor in ordered if tensor.size]
    end = filled[-1].offset + filled[-1].size if filled else start
    for before, after in pairwise(filled):
        _check_adjacent(before.offset + before.size, after, path)
    if filled:
        _check_adjacent(start, filled[0], path)
    if ordered and ordered[-1].offset > end:  # an empty tensor beyond the data
        raise ModelFileError("E_OFFSET", f"{ordered[-1].name}: outside the data", file=path)
    if end > size:
        detail = f"the tensors need {end:,} bytes, the file has {size:,}; fetch it again"
        raise ModelFileError("E_TRUNCATED", detail, file=path)
    if end < size:
        detail = f"{size - end:,} bytes after the last tensor belong to none; fetch it again"
        raise ModelFileError("E_TRAILING", detail, file=path, offset=end)


def _check_adjacent(end: int, tensor: TensorInfo, path: Path) -> None:
    if tensor.offset < end:
        detail = f"{tensor.name} overlaps the tensor before it"
        raise ModelFileError("E_OVERLAP", detail, file=path, offset=tensor.offset)
    if tensor.offset > end:
        detail = f"{tensor.offset - end:,} bytes before {tensor.name} belong to no tensor"
        raise ModelFileError("E_HOLE", detail, file=path, offset=end)
