"""The GGUF header: the catalogue of bad files, each beside an accepted twin."""

import struct
from dataclasses import dataclass, field
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch

from fathom.checkpoint.encodings import ENCODINGS
from fathom.checkpoint.gguf import GGML_TYPES, read_header
from fathom.checkpoint.gguf_values import NUMBERS, VALUE_TYPES
from fathom.checkpoint.limits import GGUF_ARRAY, GGUF_STRING
from fathom.checkpoint.tensors import read_raw, read_tensor
from fathom.errors import ModelFileError

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

REFUSED = {
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
    "a hole": (two(64, data=96), "E_HOLE"),
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
    "empty": (b"", "E_TRUNCATED"),
    "tensor name control character": (one(tensor("a\n")), "E_NAME"),
}

ACCEPTED = {
    "GG-02 twin, version 2": File(version=2).build(),
    "GG-07 empty": File().build(),
    "GG-12 twin, alignment 64": key(u32("general.alignment", 64)),
    "GG-15 twin, 63 bytes": one(tensor("a" * 63)),
    "GG-16 twin, four dimensions": one(tensor("a", (8, 1, 1, 1))),
    "GG-18 zero dimension": one(tensor("a", (8, 0)), data=b""),
    "GG-25 twin, two tensors": two(32),
    "GG-27 alignment 1": one(
        tensor("a", (1,)), data=b"\0" * 4, keys=[u32("general.alignment", 1)], alignment=1
    ),
    "GG-32 no padding at the end": one(tensor("a", (7,)), data=b"\0" * 28),
    "GG-33 alignment 64": one(tensor("a"), keys=[u32("general.alignment", 64)], alignment=64),
    "GG-35 twin": key(pair("a", ARRAY, array(0, 3, b"\0" * 3))),
    "GG-37 twin, one level": key(pair("a", ARRAY, array(ARRAY, 1, array(0, 1, b"\0")))),
    "GG-42 twin, padded": one(tensor("a", (7,))),
    "GG-47 twin": one(tensor("a", (32,), kind=2), data=b"\0" * 18),
    "GG-48 scalar": one(tensor("a", ()), data=b"\0" * 4),
    "GG-49 twin": key(pair("a", ARRAY, array(7, 2, b"\0\1"))),
    "GG-55 twin": key(pair("general.architecture", STRING, text("llama"))),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_bad_file_is_refused_with_its_code(case: str, tmp_path: Path) -> None:
    content, code = REFUSED[case]
    path = tmp_path / "model.gguf"
    path.write_bytes(content)
    with pytest.raises(ModelFileError) as caught:
        read_header(path)
    assert caught.value.code == code, str(caught.value)
    assert caught.value.file == path
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("case", ACCEPTED)
def test_its_twin_is_accepted(case: str, tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(ACCEPTED[case])
    contents = read_header(path)
    assert contents.format == "gguf"
    for info in contents.tensors.values():
        assert read_tensor(info).shape == info.shape


def test_limits_hold_for_files_that_are_long_enough(tmp_path: Path) -> None:
    """GG-53: a sparse file has room for what it declares, so only the limit refuses it."""
    for start, declared in (
        (text("a") + struct.pack("<IQ", STRING, GGUF_STRING.most + 1), GGUF_STRING.most + 1),
        (text("a") + struct.pack("<IIQ", ARRAY, 0, GGUF_ARRAY.most + 1), GGUF_ARRAY.most + 1),
        (
            text("a") + struct.pack("<IIQQ", ARRAY, STRING, 1, 2**31),
            2**31,
        ),
    ):
        path = tmp_path / "model.gguf"
        with path.open("wb") as stream:
            stream.write(File(keys=[start]).build())
            stream.truncate(declared + 4096)
        with pytest.raises(ModelFileError, match="E_LIMIT"):
            read_header(path)


def test_a_header_cut_at_any_byte_is_refused(tmp_path: Path) -> None:
    keys = [
        pair("general.architecture", STRING, text("llama")),
        pair("t", ARRAY, array(STRING, 3, text("a") + text("é") + text(""))),
        pair("n", ARRAY, array(6, 2, struct.pack("<2f", 1, 2))),
        u32("general.alignment", 32),
    ]
    whole = File(keys=keys, tensors=[tensor("a"), tensor("b", offset=32)], data=b"\1" * 64).build()
    path = tmp_path / "model.gguf"
    path.write_bytes(whole)
    assert len(read_header(path).tensors) == 2
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(ModelFileError) as caught:
            read_header(path)
        assert caught.value.code in ("E_TRUNCATED", "E_OFFSET"), length


def test_every_bit_of_the_header_may_flip_without_another_kind_of_error(tmp_path: Path) -> None:
    keys = [pair("t", ARRAY, array(STRING, 2, text("a") + text("é"))), u32("n", 7)]
    whole = File(keys=keys, tensors=[tensor("a")], data=b"\1" * 32).build()
    path = tmp_path / "model.gguf"
    for bit in range(8 * len(whole)):
        changed = bytearray(whole)
        changed[bit // 8] ^= 1 << bit % 8
        path.write_bytes(changed)
        try:
            contents = read_header(path)
        except ModelFileError:
            continue
        for info in contents.tensors.values():
            assert info.offset + info.size <= len(whole)


def test_the_type_numbers_are_those_of_ggml() -> None:
    theirs = {kind.value: kind.name for kind in gguf.GGMLQuantizationType if kind.name != "Q8_1"}
    assert dict(GGML_TYPES) == theirs
    assert set(GGML_TYPES.values()) <= set(ENCODINGS)


def test_the_value_types_are_those_of_gguf() -> None:
    assert dict(VALUE_TYPES) == {kind.value: kind.name for kind in gguf.GGUFValueType}
    assert set(NUMBERS) == set(VALUE_TYPES.values()) - {"STRING", "ARRAY"}


def _write(path: Path, metadata: dict[str, tuple[str, object]], names: list[str]) -> None:
    """A file by the reference writer: (method without add_, value) for each key."""
    writer = gguf.GGUFWriter(path, "llama")
    for name, (method, value) in metadata.items():
        getattr(writer, f"add_{method}")(name, value)
    for name in names:
        kind = ENCODINGS[name]
        random = np.random.default_rng(len(name))
        raw = random.integers(0, 256, (3, 2 * kind.block_bytes), dtype=np.uint8)
        quantisation = gguf.GGMLQuantizationType[name]
        writer.add_tensor(name, raw, raw_dtype=quantisation)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


VALUES: dict[str, tuple[str, object]] = {
    "x.uint8": ("uint8", 255),
    "x.int8": ("int8", -128),
    "x.uint16": ("uint16", 65535),
    "x.int16": ("int16", -32768),
    "x.uint32": ("uint32", 2**32 - 1),
    "x.int32": ("int32", -(2**31)),
    "x.uint64": ("uint64", 2**64 - 1),
    "x.int64": ("int64", -(2**63)),
    "x.float32": ("float32", 0.5),
    "x.float64": ("float64", 0.1),
    "x.bool": ("bool", True),
    "x.string": ("string", "日本語 🙂"),
    "x.strings": ("array", ["a", "", "é"]),
    "x.integers": ("array", [1, -2, 3]),
    "x.floats": ("array", [0.5, 2.0]),
    "x.bools": ("array", [True, False]),
}


def test_values_of_the_reference_writer_come_back_as_python_values(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    _write(path, VALUES, ["F32"])
    metadata = read_header(path).metadata
    assert metadata["general.architecture"] == "llama"
    for name, (_, value) in VALUES.items():
        assert metadata[name] == value, name
        assert type(metadata[name]) is type(value), name


@pytest.mark.parametrize("name", sorted(GGML_TYPES.values()))
def test_tensors_of_the_reference_writer_are_found_where_it_put_them(
    name: str, tmp_path: Path
) -> None:
    path = tmp_path / "model.gguf"
    _write(path, {}, ["F32", name] if name != "F32" else ["F32"])
    info = read_header(path).tensors[name]
    kind = ENCODINGS[name]
    assert info.encoding == name
    assert info.shape == (3, 2 * kind.block_elements)
    (theirs,) = (item for item in gguf.GGUFReader(path).tensors if item.name == name)
    assert info.offset == theirs.data_offset
    assert read_raw(info).numpy().tobytes() == theirs.data.tobytes()
    decoded = read_tensor(info, dtype=torch.float32)
    raw = read_raw(info)
    expected = kind.decode(raw, info.shape)
    assert torch.equal(torch.nan_to_num(decoded), torch.nan_to_num(expected))


def _split(folder: Path, changes: dict[int, dict[str, object]] | None = None) -> list[Path]:
    """Three parts; `changes` overrides keys of a part."""
    paths = []
    for number in range(3):
        keys: dict[str, object] = {"split.no": number, "split.count": 3}
        if number == 0:
            keys |= {"general.architecture": "llama", "split.tensors.count": 3}
        keys |= (changes or {}).get(number, {})
        packed = [
            pair(name, STRING, text(value))
            if isinstance(value, str)
            else pair(name, 2, struct.pack("<H", value))
            for name, value in keys.items()
        ]
        path = folder / f"m-{number + 1:05}-of-00003.gguf"
        data = struct.pack("<8f", *[number] * 8)
        path.write_bytes(File(keys=packed, tensors=[tensor(f"t{number}")], data=data).build())
        paths.append(path)
    return paths


@pytest.mark.parametrize("part", range(3))
def test_any_part_of_a_split_file_stands_for_all(part: int, tmp_path: Path) -> None:
    paths = _split(tmp_path)
    contents = read_header(paths[part])
    assert contents.files == tuple(paths)
    assert contents.metadata["general.architecture"] == "llama"
    for number in range(3):
        info = contents.tensors[f"t{number}"]
        assert info.file == paths[number]
        assert read_tensor(info).tolist() == [number] * 8


@pytest.mark.parametrize(
    "changes",
    [
        {1: {"split.no": 0}},
        {1: {"split.count": 4}},
        {0: {"split.tensors.count": 4}},
        {2: {"general.architecture": "qwen2"}},
        {0: {"split.count": 65535}},
    ],
    ids=str,
)
def test_parts_that_do_not_belong_together_are_refused(
    changes: dict[int, dict[str, object]], tmp_path: Path
) -> None:
    paths = _split(tmp_path, changes)
    with pytest.raises(ModelFileError, match="E_MISMATCH"):
        read_header(paths[0])


def test_a_missing_or_renamed_part_is_named(tmp_path: Path) -> None:
    paths = _split(tmp_path)
    renamed = paths[2].rename(tmp_path / "other.gguf")
    with pytest.raises(ModelFileError, match=r"m-00003-of-00003.*E_MISMATCH"):
        read_header(paths[0])
    with pytest.raises(ModelFileError, match=r"one of 3 parts.*E_MISMATCH"):
        read_header(renamed)


def test_a_tensor_in_two_parts_is_refused(tmp_path: Path) -> None:
    paths = _split(tmp_path)
    content = paths[2].read_bytes().replace(text("t2"), text("t1"))
    paths[2].write_bytes(content)
    with pytest.raises(ModelFileError, match=r"t1.*E_MISMATCH"):
        read_header(paths[0])
