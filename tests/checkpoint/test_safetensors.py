"""The safetensors header: the catalogue of bad files, each beside an accepted twin."""

import json
import struct
from pathlib import Path

import numpy as np
import pytest
import safetensors
import safetensors.torch
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fathom.checkpoint.encodings import ENCODINGS
from fathom.checkpoint.limits import RANK, SAFETENSORS_HEADER, TENSOR_NAME
from fathom.checkpoint.safetensors import DTYPES, read_header
from fathom.checkpoint.safetensors_writer import write_safetensors
from fathom.checkpoint.tensors import read_tensor
from fathom.errors import ModelFileError


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

REFUSED = {
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
    "a field is missing": (built({"a": {"dtype": "F32", "shape": [1]}}), "E_HEADER_SYNTAX"),
    "an entry is a number": (built({"a": 1}), "E_HEADER_SYNTAX"),
    "NaN": (file_bytes('{"a":NaN}'), "E_NONFINITE"),
    "empty tensor beyond the data": (
        built({"a": ONE, "b": entry(shape=[0], offsets=[8, 8])}, b"\0" * 4),
        "E_OFFSET",
    ),
}

ACCEPTED = {
    "nothing": built({}),
    "ST-04 twin, a long header": file_bytes("{}" + " " * 10_000),
    "ST-10 leading space": file_bytes(" {}"),
    "ST-11 twin, adjacent": built({"a": ONE, "b": entry(offsets=[4, 8])}, b"\0" * 8),
    "ST-17 twin": built({"a": entry(shape=[4], offsets=[0, 16])}, b"\0" * 16),
    "ST-24 twin": built({"__metadata__": {"a": "1", "b": "2"}}),
    "ST-29 extra field": built({"a": {**ONE, "note": 1}}, b"\0" * 4),
    "ST-32 twin, rank": built({"a": entry(shape=[1] * RANK.most)}, b"\0" * 4),
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
    "ST-38 twin, name": built({"a" * TENSOR_NAME.most: ONE}, b"\0" * 4),
    "ST-43 twin, a whole pair": file_bytes('{"__metadata__":{"a":"\\ud83d\\ude00"}}'),
    "scalar": built({"a": entry(shape=[])}, b"\0" * 4),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_bad_file_is_refused_with_its_code(case: str, tmp_path: Path) -> None:
    content, code = REFUSED[case]
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(ModelFileError) as caught:
        read_header(path)
    assert caught.value.code == code, str(caught.value)
    assert caught.value.file == path
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("case", ACCEPTED)
def test_its_twin_is_accepted(case: str, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(ACCEPTED[case])
    contents = read_header(path)
    assert contents.format == "safetensors"
    assert contents.size == sum(tensor.size for tensor in contents.tensors.values())


def test_the_header_limit_is_that_of_the_format(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    with path.open("wb") as stream:
        stream.write(struct.pack("<Q", SAFETENSORS_HEADER.most) + b"{}")
    with pytest.raises(ModelFileError, match="E_TRUNCATED"):  # within the limit, past the end
        read_header(path)


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_is_read_as_the_reference_reads_it(dtype: str, tmp_path: Path) -> None:
    kind = ENCODINGS[dtype]
    data = bytes(range(1, 1 + 8 * kind.block_bytes))
    shape = [2, 4 * kind.block_elements]
    path = tmp_path / "model.safetensors"
    path.write_bytes(built({"a": entry(dtype, shape, [0, len(data)])}, data))
    info = read_header(path).tensors["a"]
    assert (info.encoding, list(info.shape), info.size) == (dtype, shape, len(data))
    reference = dict(safetensors.deserialize(path.read_bytes()))["a"]
    assert reference["dtype"] == dtype
    assert list(reference["shape"]) == shape
    if kind.native is None or dtype == "BOOL":
        return
    ours = read_tensor(info)
    assert str(ours.dtype) == f"torch.{kind.native}"
    assert ours.reshape(-1).view(torch.uint8).numpy().tobytes() == data


def test_the_dtypes_are_those_of_the_reference_writer(tmp_path: Path) -> None:
    theirs = {name for name, dtype in safetensors.torch._TYPES.items() if dtype is not None}
    assert theirs <= set(DTYPES) <= set(ENCODINGS)


def test_the_reference_reads_what_we_write(tmp_path: Path) -> None:
    tensors = {
        "half": torch.randn(3, 5).half(),
        "wide": torch.randn(2, 2, dtype=torch.float64),
        "bytes": torch.arange(7, dtype=torch.uint8),
        "turned": torch.randn(4, 6).t(),
        "empty": torch.empty(0, 3),
        "scalar": torch.tensor(2.5, dtype=torch.bfloat16),
        "naïve 名": torch.tensor([True, False]),
    }
    path = tmp_path / "model.safetensors"
    write_safetensors(path, tensors, {"format": "pt"})
    theirs = safetensors.torch.load_file(path)
    ours = read_header(path)
    assert ours.metadata == {"format": "pt"}
    assert theirs.keys() == tensors.keys() == ours.tensors.keys()
    for name, tensor in tensors.items():
        assert torch.equal(theirs[name], tensor)
        assert torch.equal(read_tensor(ours.tensors[name]), tensor)
    assert [file.name for file in tmp_path.iterdir()] == ["model.safetensors"]


def test_a_type_without_a_name_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    with pytest.raises(ModelFileError, match="E_DTYPE"):
        write_safetensors(path, {"a": torch.zeros(1, dtype=torch.complex128)})
    assert list(tmp_path.iterdir()) == []


VALID = built(
    {"a": entry("F16", [2, 3], [0, 12]), "b": entry("I64", [2], [12, 28])}, bytes(range(28))
)


@pytest.mark.parametrize("length", range(len(VALID)))
def test_a_file_cut_at_any_byte_is_refused(length: int, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(VALID[:length])
    with pytest.raises(ModelFileError, match="E_TRUNCATED"):
        read_header(path)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(position=st.integers(0, len(VALID) - 1), bit=st.integers(0, 7))
def test_what_we_accept_of_a_flipped_bit_the_reference_accepts(
    position: int, bit: int, tmp_path: Path
) -> None:
    """Ours is the stricter reader: it never accepts what the reference refuses."""
    changed = bytearray(VALID)
    changed[position] ^= 1 << bit
    path = tmp_path / "model.safetensors"
    path.write_bytes(changed)
    try:
        ours = read_header(path)
    except ModelFileError:
        return
    theirs = dict(safetensors.deserialize(bytes(changed)))
    assert theirs.keys() == ours.tensors.keys()
    for name, info in ours.tensors.items():
        stored = bytes(changed[info.offset : info.offset + info.size])
        assert stored == bytes(theirs[name]["data"])


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_random_files_of_the_reference_writer_read_back(
    data: st.DataObject, tmp_path: Path
) -> None:
    kinds = st.sampled_from([np.float32, np.float16, np.int64, np.uint8, np.int16])
    shapes = st.lists(st.integers(0, 4), max_size=4)
    count = data.draw(st.integers(0, 5))
    arrays = {
        f"t{number}": (np.random.default_rng(number).normal(size=data.draw(shapes)) * 50).astype(
            data.draw(kinds)
        )
        for number in range(count)
    }
    path = tmp_path / "model.safetensors"
    safetensors.torch.save_file({k: torch.from_numpy(np.array(v)) for k, v in arrays.items()}, path)
    contents = read_header(path)
    assert contents.tensors.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(read_tensor(contents.tensors[name]).numpy(), array)
