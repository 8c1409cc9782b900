"""The GGUF header, versions 2 and 3: typed metadata, then a list of tensors, then their bytes.

The reader is bounded: a declared length is compared with what is left of the file before it is
believed. Nothing past the header is touched.
Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import replace
from math import prod
from pathlib import Path
from types import MappingProxyType

from fathom.checkpoint.contents import Contents, TensorInfo
from fathom.checkpoint.encodings import ENCODINGS
from fathom.checkpoint.gguf_values import Cursor
from fathom.checkpoint.limits import (
    GGUF_ALIGNMENT,
    GGUF_KEY,
    GGUF_KEYS,
    GGUF_RANK,
    GGUF_TENSOR_NAME,
    POSITION,
    SHARDS,
    TENSORS,
)
from fathom.checkpoint.safetensors import check_name
from fathom.errors import ModelFileError

__all__ = ["GGML_TYPES", "MAGIC", "read_header"]

MAGIC = b"GGUF"
VERSIONS = (2, 3)
DEFAULT_ALIGNMENT = 32

GGML_TYPES: Mapping[int, str] = MappingProxyType(
    {
        **{0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 6: "Q5_0", 7: "Q5_1", 8: "Q8_0"},
        **{10: "Q2_K", 11: "Q3_K", 12: "Q4_K", 13: "Q5_K", 14: "Q6_K", 15: "Q8_K"},
        **{16: "IQ2_XXS", 17: "IQ2_XS", 18: "IQ3_XXS", 19: "IQ1_S", 20: "IQ4_NL"},
        **{21: "IQ3_S", 22: "IQ2_S", 23: "IQ4_XS", 29: "IQ1_M"},
        **{24: "I8", 25: "I16", 26: "I32", 27: "I64", 28: "F64", 30: "BF16"},
        **{34: "TQ1_0", 35: "TQ2_0", 39: "MXFP4", 40: "NVFP4", 41: "Q1_0"},
    }
)
"""The number that a file gives to each encoding (``ggml_type`` in ggml.h)."""

_SPLIT = re.compile(r"(?P<stem>.+)-(?P<part>\d{5})-of-(?P<parts>\d{5})\.gguf")
_UINT32 = 4


def read_header(path: Path) -> Contents:
    """Read what a GGUF file holds; any part of a split file stands for all parts.

    Metadata values are int, float, bool, str or sequences of them. Shapes are row-major.

    Raises:
        ModelFileError: the file is cut short, or breaks a rule of the format.
    """
    first = _read_part(path)
    count = first.metadata.get("split.count", 1)
    if not isinstance(count, int) or count <= 1:
        return first
    return _join(path, count)


def _read_part(path: Path) -> Contents:
    with path.open("rb") as stream:
        size = os.fstat(stream.fileno()).st_size
        if size == 0:
            raise ModelFileError("E_TRUNCATED", "the file is empty; fetch it again", file=path)
        cursor = Cursor(stream, size, path)
        tensor_count, key_count = _read_counts(cursor)
        metadata = _read_metadata(cursor, key_count)
        alignment = _alignment(metadata, cursor.types, path)
        entries = [_read_tensor(cursor) for _ in range(tensor_count)]
        header_end = cursor.position
    start = _aligned(header_end, alignment)
    tensors = _place(entries, start, alignment, size, path)
    _check_end(tensors, header_end, alignment, size, path)
    return Contents("gguf", (path,), tensors, metadata)


def _read_counts(cursor: Cursor) -> tuple[int, int]:
    """Magic and version, then the numbers of tensors and of keys."""
    file = cursor.file
    magic = cursor.peek(4)
    if not MAGIC.startswith(magic):
        detail = "big-endian GGUF is not supported" if magic == b"FUGG" else "not a GGUF file"
        raise ModelFileError("E_MAGIC", f"{detail}; choose another file", file=file, offset=0)
    cursor.take(4)
    version = cursor.number("I")
    if version not in VERSIONS:
        swapped = version >> 24 in VERSIONS and version & 0xFFFF == 0
        what = "big-endian GGUF" if swapped else f"GGUF version {version}"
        detail = f"{what} is not supported; convert it to version 3 with llama.cpp"
        raise ModelFileError("E_VERSION", detail, file=file, offset=4)
    tensors, keys = cursor.number("Q"), cursor.number("Q")
    TENSORS.check(tensors, "too many tensors", file=file, offset=8)
    GGUF_KEYS.check(keys, "too many keys", file=file, offset=16)
    return tensors, keys


def _read_metadata(cursor: Cursor, count: int) -> dict[str, object]:
    metadata: dict[str, object] = {}
    for _ in range(count):
        at = cursor.position
        key = cursor.name(GGUF_KEY)
        if not key or key.startswith("GGUF.") or not key.isprintable():
            detail = f"a key is named {key[:80]!r}; names are printable and not reserved"
            raise ModelFileError("E_NAME", detail, file=cursor.file, offset=at)
        if key in metadata:
            detail = f"the key {key[:80]!r} occurs twice"
            raise ModelFileError("E_DUPLICATE", detail, file=cursor.file, offset=at)
        metadata[key] = cursor.typed_value(key)
    architecture = metadata.get("general.architecture", "")
    if not isinstance(architecture, str):
        detail = "general.architecture must be a string; convert the model again"
        raise ModelFileError("E_MISMATCH", detail, file=cursor.file)
    return metadata


def _alignment(metadata: Mapping[str, object], types: Mapping[str, int], path: Path) -> int:
    value = metadata.get("general.alignment", DEFAULT_ALIGNMENT)
    if not isinstance(value, int) or types.get("general.alignment", _UINT32) != _UINT32:
        detail = "general.alignment must be an unsigned 32-bit number"
        raise ModelFileError("E_ALIGN", detail, file=path)
    if value < 1 or value & (value - 1):
        detail = f"general.alignment is {value}; it must be a power of two"
        raise ModelFileError("E_ALIGN", detail, file=path)
    GGUF_ALIGNMENT.check(value, "general.alignment is too large", file=path)
    return value


def _read_tensor(cursor: Cursor) -> TensorInfo:
    """One entry of the list; its offset still counts from the start of the data."""
    file, at = cursor.file, cursor.position
    name = cursor.name(GGUF_TENSOR_NAME, code="E_NAME")
    check_name(name, file)
    rank = cursor.number("I")
    GGUF_RANK.check(rank, f"{name}: the rank is too high", file=file, code="E_SHAPE", offset=at)
    shape = tuple(cursor.number("Q") for _ in range(rank))[::-1]
    if any(extent > POSITION.most for extent in shape):
        detail = f"{name}: a dimension of {list(shape)} is negative"
        raise ModelFileError("E_SHAPE", detail, file=file, offset=at)
    number = cursor.number("I")
    if number not in GGML_TYPES:
        detail = f"{name}: unknown tensor type {number}; a newer version of fathom may know it"
        raise ModelFileError("E_DTYPE", detail, file=file, offset=at)
    kind = ENCODINGS[GGML_TYPES[number]]
    if prod(extent for extent in shape if extent) * kind.block_bytes > POSITION.most:
        detail = f"{name}: the number of elements of {list(shape)} overflows 63 bits"
        raise ModelFileError("E_OVERFLOW", detail, file=file, offset=at)
    if (shape[-1] if shape else 1) % kind.block_elements:
        detail = f"{name}: rows of {list(shape)} are not whole blocks of {kind.name}"
        raise ModelFileError("E_SHAPE", detail, file=file, offset=at)
    return TensorInfo(name, kind.name, shape, file, cursor.number("Q"), kind.size(shape))


def _place(
    entries: list[TensorInfo], start: int, alignment: int, size: int, path: Path
) -> dict[str, TensorInfo]:
    """Turn offsets into positions in the file and check that nothing overlaps or is hidden."""
    total = start + sum(_aligned(entry.size, alignment) for entry in entries)
    POSITION.check(total, "the tensors together overflow", file=path, code="E_OVERFLOW")
    tensors: dict[str, TensorInfo] = {}
    for entry in entries:
        if entry.name in tensors:
            detail = f"the tensor {entry.name} occurs twice"
            raise ModelFileError("E_DUPLICATE", detail, file=path)
        # An empty tensor may begin in padding that the end of the file leaves out.
        tensors[entry.name] = replace(entry, offset=min(start + entry.offset, size))
    expected = 0
    for entry in sorted(entries, key=lambda entry: (entry.offset, entry.size)):
        _check_offset(entry, expected, start, alignment, size, path)
        expected = max(expected, _aligned(entry.offset + entry.size, alignment))
    return tensors


def _check_offset(
    entry: TensorInfo, expected: int, start: int, alignment: int, size: int, path: Path
) -> None:
    at = start + entry.offset
    outside = at > size if entry.size else entry.offset > expected
    if entry.offset > POSITION.most or outside:
        detail = f"{entry.name}: its offset {entry.offset:,} is outside the file"
        raise ModelFileError("E_OFFSET", detail, file=path)
    if entry.offset % alignment:
        detail = f"{entry.name}: its offset {entry.offset:,} is not a multiple of {alignment}"
        raise ModelFileError("E_ALIGN", detail, file=path, offset=at)
    if entry.size and entry.offset < expected:
        detail = f"{entry.name} overlaps the tensor before it"
        raise ModelFileError("E_OVERLAP", detail, file=path, offset=at)
    if entry.size and entry.offset > expected:
        detail = f"{entry.offset - expected:,} bytes before {entry.name} belong to no tensor"
        raise ModelFileError("E_HOLE", detail, file=path, offset=start + expected)
    if at + entry.size > size and entry.size:
        detail = f"{entry.name} ends at {at + entry.size:,}, the file at {size:,}; fetch it again"
        raise ModelFileError("E_TRUNCATED", detail, file=path, offset=at)


def _check_end(
    tensors: Mapping[str, TensorInfo], header_end: int, alignment: int, size: int, path: Path
) -> None:
    filled = (tensor.offset + tensor.size for tensor in tensors.values() if tensor.size)
    end = _aligned(max(filled, default=header_end), alignment)
    if size > end:
        detail = f"{size - end:,} bytes after the last tensor belong to none"
        raise ModelFileError("E_TRAILING", detail, file=path, offset=end)


def _aligned(position: int, alignment: int) -> int:
    return -(-position // alignment) * alignment


def _join(path: Path, count: int) -> Contents:
    """Join the parts ``<stem>-00001-of-0000N.gguf`` that lie beside `path`."""
    match = _SPLIT.fullmatch(path.name)
    if match is None or int(match["parts"]) != count:
        detail = f"one of {count} parts; give it back its name <stem>-00001-of-{count:05}.gguf"
        raise ModelFileError("E_MISMATCH", detail, file=path)
    SHARDS.check(count, "too many parts", file=path)
    paths = [
        path.with_name(f"{match['stem']}-{part:05}-of-{count:05}.gguf")
        for part in range(1, count + 1)
    ]
    missing = [part.name for part in paths if not part.is_file()]
    if missing:
        detail = f"{len(missing)} of {count} parts are missing, the first {missing[0]}; fetch it"
        raise ModelFileError("E_MISMATCH", detail, file=path)
    parts = [_read_part(part) for part in paths]
    tensors: dict[str, TensorInfo] = {}
    for number, part in enumerate(parts):
        _check_part(part, number, parts[0], count)
        for name, tensor in part.tensors.items():
            if name in tensors:
                detail = f"the tensor {name} is in {tensors[name].file.name} too"
                raise ModelFileError("E_MISMATCH", detail, file=part.files[0])
            tensors[name] = tensor
    declared = parts[0].metadata.get("split.tensors.count", len(tensors))
    if declared != len(tensors):
        detail = f"the parts hold {len(tensors)} tensors, {declared} were declared"
        raise ModelFileError("E_MISMATCH", detail, file=path)
    return Contents("gguf", tuple(paths), tensors, parts[0].metadata)


def _check_part(part: Contents, number: int, first: Contents, count: int) -> None:
    """Each part says which it is, and parts of one model agree on what they share."""
    found = (part.metadata.get("split.no"), part.metadata.get("split.count"))
    if found != (number, count):
        detail = f"says it is part {found[0]} of {found[1]}, not {number} of {count}"
        raise ModelFileError("E_MISMATCH", detail, file=part.files[0])
    for key in ("general.architecture", "general.name", "split.tensors.count"):
        if key in part.metadata and part.metadata[key] != first.metadata.get(key):
            detail = f"{key} differs from that of {first.files[0].name}: not the same model"
            raise ModelFileError("E_MISMATCH", detail, file=part.files[0])
