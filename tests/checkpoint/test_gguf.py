"""The GGUF header against the reference; bad files are in ``tests/hostile``."""

import struct
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch

from fathom.checkpoint.encodings import ENCODINGS
from fathom.checkpoint.gguf import GGML_TYPES, read_header
from fathom.checkpoint.gguf_values import NUMBERS, VALUE_TYPES, Texts
from fathom.checkpoint.limits import GGUF_ARRAY, GGUF_STRING
from fathom.checkpoint.tensors import read_raw, read_tensor
from fathom.errors import ModelFileError
from hostile.tables.gguf import ARRAY, STRING, File, array, pair, tensor, text, u32


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


@pytest.mark.parametrize("odd", ["ordinary", "", "a\0b", "\0", "é" * 200, "x" * 70_000])
def test_a_long_list_of_texts_is_one_and_reads_like_a_list(odd: str, tmp_path: Path) -> None:
    """Whatever one of them is; only where one holds the mark between them they stay apart."""
    texts = [f"Ġtext {index}" for index in range(10_000)]
    texts[5_000] = odd
    values = b"".join(text(each) for each in texts)
    path = tmp_path / "model.gguf"
    keys = [pair("t", ARRAY, array(STRING, len(texts), values)), u32("n", 7)]
    path.write_bytes(File(keys=keys).build())
    metadata = read_header(path).metadata
    found = metadata["t"]
    assert isinstance(found, list if "\0" in odd else Texts)
    assert found == texts
    assert found != texts[:-1]
    assert (len(found), found[5_000], found[-2:]) == (len(texts), odd, texts[-2:])
    assert metadata["n"] == 7


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
