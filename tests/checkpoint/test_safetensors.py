"""The safetensors header against the reference; bad files are in ``tests/hostile``."""

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
from fathom.checkpoint.limits import SAFETENSORS_HEADER
from fathom.checkpoint.safetensors import DTYPES, read_header
from fathom.checkpoint.safetensors_writer import write_safetensors
from fathom.checkpoint.tensors import read_tensor
from fathom.errors import ModelFileError
from hostile.tables.safetensors import built, entry


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
