"""safetensors: lines ST-01 to ST-44 of the catalogue. A line here is a file and its code."""

from __future__ import annotations

import json
import struct

from fathom.checkpoint.limits import RANK, TENSOR_NAME
from hostile.benign import write_model
from hostile.case import Case
from hostile.tables.rows import cases


def file_bytes(header: str | bytes, data: bytes = b"") -> bytes:
    text = header.encode() if isinstance(header, str) else header
    return struct.pack("<Q", len(text)) + text + data


def entry(dtype: object = "F32", shape: object = (1,), offsets: object = (0, 4)) -> dict:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


def built(entries: object, data: bytes = b"") -> bytes:
    return file_bytes(json.dumps(entries), data)


def named(*pairs: tuple[str, object]) -> str:
    """A JSON object whose keys may repeat."""
    return "{" + ",".join(f"{json.dumps(key)}:{json.dumps(value)}" for key, value in pairs) + "}"


ONE = entry()
SIX = entry("I64", [6], [0, 48])

REFUSED: dict[str, tuple[bytes, str]] = {
    "ST-01 empty": (b"", "E_TRUNCATED"),
    "ST-02 seven bytes": (b"\0" * 7, "E_TRUNCATED"),
    "ST-03 header past the end": (struct.pack("<Q", 100) + b"{}", "E_TRUNCATED"),
    "ST-04 header too large": (struct.pack("<Q", 100_000_001), "E_HEADER_SIZE"),
    "ST-05 header of 2^64-1": (b"\xff" * 8, "E_HEADER_SIZE"),
    "ST-06 not UTF-8": (file_bytes(b"\xff"), "E_HEADER_ENCODING"),
    "ST-07 not JSON": (file_bytes("{"), "E_HEADER_SYNTAX"),
    "ST-08 a list": (file_bytes("[]"), "E_HEADER_SYNTAX"),
    "ST-09 zeros after": (file_bytes("{}\0\0"), "E_HEADER_SYNTAX"),
    "ST-11 same range": (built({"a": ONE, "b": ONE}, b"\0" * 4), "E_OVERLAP"),
    "ST-12 one byte": (
        built({"a": ONE, "b": entry(offsets=[3, 7])}, b"\0" * 7),
        "E_OVERLAP",
    ),
    "ST-13 hole": (built({"a": ONE, "b": entry(offsets=[5, 9])}, b"\0" * 9), "E_HOLE"),
    "ST-14 hole before": (built({"a": entry(offsets=[1, 5])}, b"\0" * 5), "E_HOLE"),
    "ST-15 trailing": (built({"a": ONE}, b"\0" * 4 + b"PK\3\4"), "E_TRAILING"),
    "ST-15 trailing after nothing": (built({}, b"PK\3\4"), "E_TRAILING"),
    "ST-16 one byte short": (built({"a": ONE}, b"\0" * 3), "E_TRUNCATED"),
    "ST-17 size": (built({"a": entry(shape=[4])}, b"\0" * 4), "E_MISMATCH"),
    "ST-18 overflow": (built({"a": entry(shape=[2, 2**64 - 2])}, b"\0" * 4), "E_OVERFLOW"),
    "ST-19 byte overflow": (built({"a": entry("I32", [2, 2**63 - 1])}, b"\0" * 4), "E_OVERFLOW"),
    "ST-20 wraps to sixteen": (
        built({"a": entry(shape=[4194305, 4194305, 211106198978564], offsets=[0, 16])}, b"\0" * 16),
        "E_OVERFLOW",
    ),
    "ST-21 name twice": (
        file_bytes(named(("a", ONE), ("a", entry(offsets=[4, 8]))), b"\0" * 8),
        "E_DUPLICATE",
    ),
    "ST-22 name twice, same range": (
        file_bytes(named(("a", ONE), ("a", ONE)), b"\0" * 4),
        "E_DUPLICATE",
    ),
    "ST-23 metadata twice": (
        file_bytes(named(("__metadata__", {}), ("__metadata__", {}))),
        "E_DUPLICATE",
    ),
    "ST-24 metadata key twice": (
        file_bytes('{"__metadata__":{"a":"1","a":"2"}}'),
        "E_DUPLICATE",
    ),
    "ST-25 field twice": (
        file_bytes('{"a":{"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]}}'),
        "E_DUPLICATE",
    ),
    "ST-26 metadata number": (built({"__metadata__": {"a": 1}}), "E_HEADER_SYNTAX"),
    "ST-27 metadata object": (built({"__metadata__": {"a": {}}}), "E_HEADER_SYNTAX"),
    "ST-28 dtype": (built({"a": entry("Q9")}, b"\0" * 4), "E_DTYPE"),
    "ST-28 dtype of GGUF": (built({"a": entry("Q4_0", [32], [0, 18])}, b"\0" * 18), "E_DTYPE"),
    "ST-28 dtype no string": (built({"a": entry(4)}, b"\0" * 4), "E_DTYPE"),
    "ST-30 negative": (built({"a": entry(shape=[-1])}, b"\0" * 4), "E_SHAPE"),
    "ST-30 fraction": (built({"a": entry(shape=[1.0])}, b"\0" * 4), "E_SHAPE"),
    "ST-30 truth": (built({"a": entry(shape=[True])}, b"\0" * 4), "E_SHAPE"),
    "ST-31 negative": (built({"a": entry(offsets=[-1, 3])}, b"\0" * 4), "E_OFFSET"),
    "ST-31 backwards": (built({"a": entry(offsets=[4, 0])}, b"\0" * 4), "E_OFFSET"),
    "ST-31 three": (built({"a": entry(offsets=[0, 4, 8])}, b"\0" * 8), "E_OFFSET"),
    "ST-31 truth": (built({"a": entry("U8", [1], [False, True])}, b"\0"), "E_OFFSET"),
    "ST-32 rank": (built({"a": entry(shape=[1] * 10_000)}, b"\0" * 4), "E_LIMIT"),
    "ST-37 half a byte": (built({"a": entry("F4", [1], [0, 1])}, b"\0"), "E_SHAPE"),
    "ST-38 control character": (built({"a\0b": ONE}, b"\0" * 4), "E_NAME"),
    "ST-38 empty name": (built({"": ONE}, b"\0" * 4), "E_NAME"),
    "ST-38 long name": (built({"a" * (1 << 20): ONE}, b"\0" * 4), "E_NAME"),
    "ST-41 nested": (file_bytes("{" + '"a":[' * 1 + "[" * 100_000), "E_DEPTH"),
    "ST-41 nested, closed": (
        file_bytes('{"a":' + "[" * 100 + "]" * 100 + "}"),
        "E_DEPTH",
    ),
    "ST-42 digits": (
        file_bytes('{"a":{"dtype":"F32","shape":[' + "9" * 5000 + '],"data_offsets":[0,4]}}'),
        "E_HEADER_SYNTAX",
    ),
    "ST-43 surrogate": (
        file_bytes('{"\\ud800":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}', b"\0" * 4),
        "E_HEADER_ENCODING",
    ),
    "ST-30 a field is missing": (built({"a": {"dtype": "F32", "shape": [1]}}), "E_HEADER_SYNTAX"),
    "ST-30 an entry is a number": (built({"a": 1}), "E_HEADER_SYNTAX"),
    "ST-30 NaN": (file_bytes('{"a":NaN}'), "E_NONFINITE"),
    "ST-31 empty tensor beyond the data": (
        built({"a": ONE, "b": entry(shape=[0], offsets=[8, 8])}, b"\0" * 4),
        "E_OFFSET",
    ),
}

ACCEPTED: dict[str, bytes] = {
    "ST-07 nothing": built({}),
    "ST-04 twin": file_bytes("{}" + " " * 10_000),
    "ST-10 leading space": file_bytes(" {}"),
    "ST-11 twin": built({"a": ONE, "b": entry(offsets=[4, 8])}, b"\0" * 8),
    "ST-17 twin": built({"a": entry(shape=[4], offsets=[0, 16])}, b"\0" * 16),
    "ST-24 twin": built({"__metadata__": {"a": "1", "b": "2"}}),
    "ST-29 extra field": built({"a": {**ONE, "note": 1}}, b"\0" * 4),
    "ST-32 twin": built({"a": entry(shape=[1] * RANK.most)}, b"\0" * 4),
    "ST-33 empty tensors": built({f"t{i}": entry(shape=[0], offsets=[0, 0]) for i in range(2000)}),
    "ST-34 empty tensor at an offset in use": built(
        {"a": ONE, "b": entry(shape=[0], offsets=[0, 0])}, b"\0" * 4
    ),
    "ST-35 empty and huge": built({"a": entry(shape=[0, 2**40], offsets=[0, 0])}),
    "ST-36 odd address": built(
        {"a": entry("U8", [1], [0, 1]), "b": entry(offsets=[1, 5])}, b"\0" * 5
    ),
    "ST-37 twin": built({"a": entry("F4", [2], [0, 1])}, b"\0"),
    "ST-38 a name is no path": built({"../../x": ONE}, b"\0" * 4),
    "ST-38 twin": built({"a" * TENSOR_NAME.most: ONE}, b"\0" * 4),
    "ST-43 twin": file_bytes('{"__metadata__":{"a":"\\ud83d\\ude00"}}'),
    "ST-30 scalar": built({"a": entry(shape=[])}, b"\0" * 4),
}

CASES = cases("model.safetensors", REFUSED, ACCEPTED, twin=built({"a": ONE}, b"\0" * 4))
CASES.append(Case("ST-44", "shortened under a running model", write_model, doors=("shortened",)))
