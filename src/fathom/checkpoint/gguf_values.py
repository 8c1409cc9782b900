"""The values of a GGUF header, read one after another from a file.

Nothing is mapped: a file that becomes shorter meanwhile is an error and no crash.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO, overload

from fathom.checkpoint.limits import (
    GGUF_ARRAY,
    GGUF_ARRAY_DEPTH,
    GGUF_HEADER,
    GGUF_STRING,
    Limit,
)
from fathom.errors import ModelFileError

__all__ = ["NUMBERS", "VALUE_TYPES", "Cursor", "Texts"]

VALUE_TYPES: Mapping[int, str] = MappingProxyType(
    {
        **{0: "UINT8", 1: "INT8", 2: "UINT16", 3: "INT16", 4: "UINT32", 5: "INT32"},
        **{6: "FLOAT32", 7: "BOOL", 8: "STRING", 9: "ARRAY"},
        **{10: "UINT64", 11: "INT64", 12: "FLOAT64"},
    }
)
"""The number that a file gives to each type of value (``gguf_metadata_value_type``)."""

NUMBERS: Mapping[str, str] = MappingProxyType(
    {
        **{"UINT8": "B", "INT8": "b", "UINT16": "H", "INT16": "h", "UINT32": "I", "INT32": "i"},
        **{"FLOAT32": "f", "BOOL": "B", "UINT64": "Q", "INT64": "q", "FLOAT64": "d"},
    }
)
"""The `struct` code of each type that has a fixed size."""

_FIRST = 1 << 20  # bytes that are read to begin with
_LENGTH = 8  # bytes before a string that say how long it is, the lowest first
_SHORT = 256  # bytes from which a length takes more than its first byte
_NOTHING_MORE = bytes(_LENGTH - 1)
_SMALLEST = {"STRING": 8, "ARRAY": 12}  # bytes: an empty string; a type, a count and no elements


_MARK = "\0"  # between texts in one
_TOGETHER = 4096  # texts of a long list that become one at a time


class Texts(Sequence[str]):
    """A long list of texts, such as a vocabulary, as one; none of them holds a U+0000.

    A hundred thousand objects would lie between what is made after them, and leave it scattered
    over memory that cannot be given back once they go.
    """

    __slots__ = ("_joined", "_length")

    def __init__(self, joined: str, length: int) -> None:
        self._joined = joined
        self._length = length

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[str]:
        return iter(self._joined.split(_MARK))

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        return self._joined.split(_MARK)[index]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]  # as of a list


class Cursor:
    """A position in a header that never moves past its end.

    Attributes:
        position: bytes from the start of the file.
        types: the type number of each key read by `typed_value`.
    """

    def __init__(self, stream: BinaryIO, size: int, file: Path) -> None:
        self.data = bytearray()  # what was read so far, from the start of the file
        self.file = file
        self.size = size
        self.position = 0
        self.types: dict[str, int] = {}
        self._stream = stream

    def peek(self, count: int) -> bytes:
        end = min(self.position + count, self.size)
        self._fill(end)
        return bytes(self.data[self.position : end])

    def take(self, count: int) -> int:
        """Step over `count` bytes and return where they begin, or raise ``E_TRUNCATED``."""
        at = self._reserve(count)
        self._fill(self.position)
        return at

    def _fill(self, end: int) -> None:
        """Read on until `end`, which is within the file, and a good deal beyond."""
        if end <= len(self.data):
            return
        wanted = max(end, min(2 * len(self.data) + _FIRST, self.size)) - len(self.data)
        self.data += self._stream.read(wanted)
        if end > len(self.data):
            detail = "became shorter while it was read; fetch it again"
            raise ModelFileError("E_TRUNCATED", detail, file=self.file, offset=len(self.data))

    def _reserve(self, count: int) -> int:
        """Step over `count` bytes that need not be read yet."""
        at = self.position
        if count > self.size - at:
            detail = f"needs {count:,} bytes more, {self.size - at:,} are left; fetch it again"
            raise ModelFileError("E_TRUNCATED", detail, file=self.file, offset=at)
        self.position = at + count
        GGUF_HEADER.check(self.position, "the header is too long", file=self.file)
        return at

    def number(self, code: str) -> int:
        """One little-endian whole number, by its `struct` code."""
        layout = struct.Struct("<" + code)
        (value,) = layout.unpack_from(self.data, self.take(layout.size))
        return int(value)

    def string(self) -> str:
        """A length and as many bytes of UTF-8."""
        length = self.number("Q")
        at = self._reserve(length)
        GGUF_STRING.check(length, "a string is too long", file=self.file, offset=at)
        self._fill(self.position)
        return self._text(at, at + length)

    def name(self, limit: Limit, *, code: str = "E_LIMIT") -> str:
        """A string that names something: its length is held against `limit` first."""
        length = self.number("Q")
        limit.check(length, "a name is too long", file=self.file, code=code, offset=self.position)
        at = self.take(length)
        return self._text(at, at + length)

    def typed_value(self, key: str) -> object:
        """A type and a value of that type."""
        number = self.number("I")
        self.types[key] = number
        return self._value(number, key, depth=0)

    def _value(self, number: int, key: str, depth: int) -> object:
        kind = self._kind(number, key)
        if kind == "STRING":
            return self.string()
        if kind == "ARRAY":
            return self._array(key, depth + 1)
        return self._numbers(kind, 1, key)[0]

    def _kind(self, number: int, key: str) -> str:
        kind = VALUE_TYPES.get(number)
        if kind is None:
            detail = f"{key}: unknown value type {number}; convert the model again"
            raise ModelFileError("E_DTYPE", detail, file=self.file, offset=self.position)
        return kind

    def _array(self, key: str, depth: int) -> Sequence[object]:
        GGUF_ARRAY_DEPTH.check(depth, f"{key}: nested too deep", file=self.file, code="E_DEPTH")
        number, count = self.number("I"), self.number("Q")
        kind = self._kind(number, key)
        smallest = _SMALLEST.get(kind) or struct.calcsize("<" + NUMBERS[kind])
        if count * smallest > self.size - self.position:
            detail = f"{key}: an array of {count:,} exceeds the file; fetch it again"
            raise ModelFileError("E_TRUNCATED", detail, file=self.file, offset=self.position)
        GGUF_ARRAY.check(count, f"{key}: the array is too long", file=self.file)
        if kind == "STRING":
            return self._strings(count)
        if kind == "ARRAY":
            return [self._array(key, depth + 1) for _ in range(count)]
        return self._numbers(kind, count, key)

    def _numbers(self, kind: str, count: int, key: str) -> list[object]:
        layout = struct.Struct(f"<{count}{NUMBERS[kind]}")
        values = layout.unpack_from(self.data, self.take(layout.size))
        if kind != "BOOL":
            return list(values)
        if any(value > 1 for value in values):
            detail = f"{key}: a truth value is neither 0 nor 1"
            raise ModelFileError("E_MISMATCH", detail, file=self.file, offset=self.position)
        return [bool(value) for value in values]

    def _strings(self, count: int) -> Sequence[object]:
        """Texts in a row; a long list of them is made one a few thousand at a time."""
        if count <= _TOGETHER:
            return self._listed(count)
        begin, joined = self.position, []
        for left in range(count, 0, -_TOGETHER):
            texts = self._listed(min(left, _TOGETHER))
            joined.append(_MARK.join(texts))
            if joined[-1].count(_MARK) >= len(texts):  # one of them holds the mark itself
                self.position = begin
                return self._listed(count)
        return Texts(_MARK.join(joined), count)

    def _listed(self, count: int) -> list[str]:
        """Strings in a row: the loop that reads vocabularies, so it calls as little as it can."""
        found: list[str] = []
        while len(found) < count:
            found.append(self.string())  # which reads a good deal more, or says what is wrong
            self.position = _short_strings(self.data, self.position, count, found)
        return found

    def _text(self, start: int, end: int) -> str:
        try:
            return str(self.data[start:end], "utf-8")
        except UnicodeDecodeError:
            detail = "a string is not valid UTF-8; convert the model again"
            raise ModelFileError(
                "E_HEADER_ENCODING", detail, file=self.file, offset=start
            ) from None


def _short_strings(data: bytearray, position: int, count: int, found: list[str]) -> int:
    """Append strings from a position on until there are `count`; return where the next begins.

    Stops before one that is not short, or no UTF-8, or not all there: who looks closer can tell.
    """
    last, add = len(data) - _SHORT - _LENGTH, found.append
    for _ in range(count - len(found)):
        start = position + _LENGTH
        if position > last or data[position + 1 : start] != _NOTHING_MORE:
            break
        end = start + data[position]
        try:
            add(data[start:end].decode())
        except UnicodeDecodeError:
            break
        position = end
    return position
