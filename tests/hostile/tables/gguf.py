"""GGUF headers: lines GG-01 to GG-57 of the catalogue. A line here is a file and its code."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from hostile.tables.rows import cases

U32, STRING, ARRAY = 4, 8, 9


def text(value: str | bytes, length: int | None = None) -> bytes:
    raw = value.encode() if isinstance(value, str) else value
    return struct.pack("<Q", len(raw) if length is None else length) + raw


def pair(key: str | bytes, kind: int, value: bytes) -> bytes:
    return text(key) + struct.pack("<I", kind) + value


def u32(key: str, value: int) -> bytes:
    return pair(key, U32, struct.pack("<I", value))


def array(kind: int, count: int, values: bytes = b"") -> bytes:
    return struct.pack("<IQ", kind, count) + values


def tensor(
    name: str,
    shape: tuple[int, ...] = (8,),
    kind: int = 0,
    offset: int = 0,
    rank: int | None = None,
) -> bytes:
    """One entry; `shape` as the file has it, innermost first."""
    count = len(shape) if rank is None else rank
    packed = struct.pack(f"<I{len(shape)}QIQ", count, *shape, kind, offset)
    return text(name) + packed


@dataclass
class File:
    magic: bytes = b"GGUF"
    version: int = 3
    keys: list[bytes] = field(default_factory=list)
    tensors: list[bytes] = field(default_factory=list)
    data: bytes = b""
    alignment: int = 32
    key_count: int | None = None
    tensor_count: int | None = None

    def build(self) -> bytes:
        keys = len(self.keys) if self.key_count is None else self.key_count
        tensors = len(self.tensors) if self.tensor_count is None else self.tensor_count
        head = self.magic + struct.pack("<IQQ", self.version, tensors, keys)
        head += b"".join(self.keys) + b"".join(self.tensors)
        if self.data:
            head += b"\0" * (-len(head) % self.alignment)
        return head + self.data


def one(entry: bytes, data: bytes = b"\0" * 32, **more: object) -> bytes:
    return File(tensors=[entry], data=data, **more).build()  # type: ignore[arg-type]


def key(*keys: bytes) -> bytes:
    return File(keys=list(keys)).build()


def two(second_offset: int, data: int = 64, second: str = "b") -> bytes:
    entries = [tensor("a"), tensor(second, offset=second_offset)]
    return File(tensors=entries, data=b"\0" * data).build()


NESTED = array(ARRAY, 1) * 5000 + array(0, 0)
BIG = (2**62 - 16,)

REFUSED: dict[str, tuple[bytes, str]] = {
    "GG-01 magic": (File(magic=b"GGML").build(), "E_MAGIC"),
    "GG-02 version 0": (File(version=0).build(), "E_VERSION"),
    "GG-03 version 1": (File(version=1).build(), "E_VERSION"),
    "GG-04 version 4": (File(version=4).build(), "E_VERSION"),
    "GG-05 keys": (File(key_count=2**64 - 1).build(), "E_LIMIT"),
    "GG-06 tensors": (File(tensor_count=2**64 - 1).build(), "E_LIMIT"),
    "GG-08 key size": (key(text("a", 2**64 - 1)), "E_LIMIT"),
    "GG-09 empty key": (key(u32("", 1)), "E_NAME"),
    "GG-10 value type": (key(pair("a", 13, b"\0" * 8)), "E_DTYPE"),
    "GG-10 element type": (key(pair("a", ARRAY, array(13, 1, b"\0" * 8))), "E_DTYPE"),
    "GG-11 key twice": (key(u32("a", 1), u32("a", 1)), "E_DUPLICATE"),
    "GG-12 alignment 13": (key(u32("general.alignment", 13)), "E_ALIGN"),
    "GG-13 alignment of another type": (
        key(pair("general.alignment", 5, struct.pack("<i", 32))),
        "E_ALIGN",
    ),
    "GG-13 alignment a string": (key(pair("general.alignment", STRING, text("32"))), "E_ALIGN"),
    "GG-15 tensor name": (one(tensor("a" * 64)), "E_NAME"),
    "GG-16 five dimensions": (one(tensor("a", (8, 1, 1, 1, 1))), "E_SHAPE"),
    "GG-17 negative": (one(tensor("a", (2**64 - 1,))), "E_SHAPE"),
    "GG-19 too many elements": (one(tensor("a", (2**32, 2**32))), "E_OVERFLOW"),
    "GG-20 too many bytes": (one(tensor("a", (2**62,))), "E_OVERFLOW"),
    "GG-21 type 999": (one(tensor("a", kind=999)), "E_DTYPE"),
    "GG-21 removed type 4": (one(tensor("a", kind=4)), "E_DTYPE"),
    "GG-21 Q8_1, never stored": (one(tensor("a", (32,), kind=9)), "E_DTYPE"),
    "GG-22 offset 2^64-1": (one(tensor("a", offset=2**64 - 1)), "E_OFFSET"),
    "GG-23 name twice": (two(32, second="a"), "E_DUPLICATE"),
    "GG-25 unaligned": (two(33, data=65), "E_ALIGN"),
    "GG-28 one byte short": (one(tensor("a"), data=b"\0" * 31), "E_TRUNCATED"),
    "GG-31 sum overflows": (
        File(tensors=[tensor("a", BIG, 1), tensor("b", BIG, 1)], data=b"\0" * 32).build(),
        "E_OVERFLOW",
    ),
    "GG-34 string of 2^40": (key(pair("a", STRING, text("abc", 2**40))), "E_TRUNCATED"),
    "GG-35 array of 2^63": (key(pair("a", ARRAY, array(0, 2**63))), "E_TRUNCATED"),
    "GG-36 array of three million": (
        key(pair("a", ARRAY, array(STRING, 3_000_000, b"\0" * 8))),
        "E_TRUNCATED",
    ),
    "GG-37 nested arrays": (key(pair("a", ARRAY, NESTED)), "E_DEPTH"),
    "GG-38 offset wraps": (one(tensor("a", offset=2**64 - 64)), "E_OFFSET"),
    "GG-39 offset past the end": (one(tensor("a", offset=64)), "E_OFFSET"),
    "GG-39 empty and past the end": (one(tensor("a", (0,), offset=64), data=b""), "E_OFFSET"),
    "GG-41 same offset": (two(0, data=32), "E_OVERLAP"),
    "GG-41 a hole": (two(64, data=96), "E_HOLE"),
    "GG-42 trailing": (one(tensor("a"), data=b"\0" * 33), "E_TRAILING"),
    "GG-42 trailing after no tensor": (File(data=b"\0" * 33).build(), "E_TRAILING"),
    "GG-43 alignment 0": (key(u32("general.alignment", 0)), "E_ALIGN"),
    "GG-44 alignment 2^31": (key(u32("general.alignment", 2**31)), "E_LIMIT"),
    "GG-45 wraps to 0": (one(tensor("a", (2**33, 2**31))), "E_OVERFLOW"),
    "GG-46 wraps to little": (one(tensor("a", (2**32 + 1, 2**32 + 1, 4))), "E_OVERFLOW"),
    "GG-47 row of 31": (one(tensor("a", (31,), kind=2)), "E_SHAPE"),
    "GG-47 rows of 16": (one(tensor("a", (16, 2), kind=2), data=b"\0" * 18), "E_SHAPE"),
    "GG-48 rank": (one(tensor("a", (8,), rank=2**32 - 1)), "E_SHAPE"),
    "GG-49 truth value 2": (key(pair("a", 7, b"\2")), "E_MISMATCH"),
    "GG-49 truth value 2 in an array": (key(pair("a", ARRAY, array(7, 2, b"\1\2"))), "E_MISMATCH"),
    "GG-50 key not UTF-8": (key(pair(b"\xff", U32, b"\0" * 4)), "E_HEADER_ENCODING"),
    "GG-50 value not UTF-8": (key(pair("a", STRING, text(b"\xff"))), "E_HEADER_ENCODING"),
    "GG-50 element not UTF-8": (
        key(pair("a", ARRAY, array(STRING, 2, text("a") + text(b"\xff")))),
        "E_HEADER_ENCODING",
    ),
    "GG-51 reserved key": (key(u32("GGUF.version", 3)), "E_NAME"),
    "GG-55 architecture a list": (
        key(pair("general.architecture", ARRAY, array(STRING, 1, text("llama")))),
        "E_MISMATCH",
    ),
    "GG-57 FUGG": (File(magic=b"FUGG").build(), "E_MAGIC"),
    "GG-57 big-endian": (b"GGUF" + struct.pack(">IQQ", 3, 0, 0), "E_VERSION"),
    "GG-28 empty": (b"", "E_TRUNCATED"),
    "GG-15 control character": (one(tensor("a\n")), "E_NAME"),
}

ACCEPTED: dict[str, bytes] = {
    "GG-02 twin": File(version=2).build(),
    "GG-07 empty": File().build(),
    "GG-12 twin": key(u32("general.alignment", 64)),
    "GG-15 twin": one(tensor("a" * 63)),
    "GG-16 twin": one(tensor("a", (8, 1, 1, 1))),
    "GG-18 zero dimension": one(tensor("a", (8, 0)), data=b""),
    "GG-25 twin": two(32),
    "GG-27 alignment 1": one(
        tensor("a", (1,)), data=b"\0" * 4, keys=[u32("general.alignment", 1)], alignment=1
    ),
    "GG-32 no padding at the end": one(tensor("a", (7,)), data=b"\0" * 28),
    "GG-33 alignment 64": one(tensor("a"), keys=[u32("general.alignment", 64)], alignment=64),
    "GG-35 twin": key(pair("a", ARRAY, array(0, 3, b"\0" * 3))),
    "GG-37 twin": key(pair("a", ARRAY, array(ARRAY, 1, array(0, 1, b"\0")))),
    "GG-42 twin": one(tensor("a", (7,))),
    "GG-47 twin": one(tensor("a", (32,), kind=2), data=b"\0" * 18),
    "GG-48 scalar": one(tensor("a", ()), data=b"\0" * 4),
    "GG-49 twin": key(pair("a", ARRAY, array(7, 2, b"\0\1"))),
    "GG-55 twin": key(pair("general.architecture", STRING, text("llama"))),
}

CASES = cases("model.gguf", REFUSED, ACCEPTED, twin=one(tensor("a")))
