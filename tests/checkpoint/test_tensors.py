"""Tensors from files: views where one is mapped, never more than a chunk besides the result."""

import os
import struct
import sys
from contextlib import closing
from pathlib import Path

import pytest
import torch

from fathom.checkpoint.contents import Contents, TensorInfo
from fathom.checkpoint.encodings import ENCODINGS
from fathom.checkpoint.safetensors import read_header
from fathom.checkpoint.safetensors_writer import write_safetensors
from fathom.checkpoint.sources.settled import is_settled
from fathom.checkpoint.tensors import CACHE_LINE, CHUNK_ELEMENTS, Reader, read_raw, read_tensor
from fathom.errors import ModelFileError, NotFoundError, TensorMismatchError


@pytest.fixture
def settled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose files may be mapped: Fathom's cache."""
    monkeypatch.setenv("FATHOM_CACHE", str(tmp_path))
    return tmp_path


def stored(folder: Path, encoding: str, shape: tuple[int, ...], raw: bytes) -> TensorInfo:
    path = folder / "data"
    path.write_bytes(b"\0" * 32 + raw)
    return TensorInfo("a", encoding, shape, path, 32, len(raw))


def test_an_aligned_tensor_is_a_view_that_cannot_change_the_file(settled: Path) -> None:
    path = settled / "model.safetensors"
    write_safetensors(path, {"a": torch.arange(1024.0)})
    before = path.read_bytes()
    with Reader(read_header(path)) as reader:
        tensor, raw = reader.tensor("a"), reader.raw("a")
        assert tensor.data_ptr() == raw.data_ptr()
        tensor.add_(1)
    assert tensor[5] == 6  # outlives the reader
    assert path.read_bytes() == before


def test_an_unaligned_tensor_is_copied(tmp_path: Path) -> None:
    """ST-36"""
    path = tmp_path / "data"
    path.write_bytes(b"\0" * 33 + struct.pack("<2f", 1.5, -2))
    info = TensorInfo("a", "F32", (2,), path, 33, 8)
    tensor = read_tensor(info)
    assert tensor.tolist() == [1.5, -2]
    assert tensor.data_ptr() % 4 == 0


def test_truth_values_are_normalised(tmp_path: Path) -> None:
    """ST-39"""
    tensor = read_tensor(stored(tmp_path, "BOOL", (3,), b"\0\1\2"))
    assert tensor.view(torch.uint8).tolist() == [0, 1, 1]


MAPPED = (torch.bfloat16,)  # read from a mapping; the other types from a file that may change


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", [name for name in ENCODINGS if ENCODINGS[name].decoder])
def test_decoding_in_chunks_is_decoding_at_once(
    name: str, dtype: torch.dtype, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if dtype in MAPPED:
        monkeypatch.setenv("FATHOM_CACHE", str(tmp_path))
    kind = ENCODINGS[name]
    rows = CHUNK_ELEMENTS // kind.block_elements + 3  # more than one chunk, the last one short
    generator = torch.Generator().manual_seed(len(name))
    raw = torch.randint(0, 256, (rows * kind.block_bytes,), dtype=torch.uint8, generator=generator)
    shape = (rows, kind.block_elements)
    info = stored(tmp_path, name, shape, raw.numpy().tobytes())
    tensor = read_tensor(info, dtype=dtype)
    expected = kind.decode(raw, shape).to(dtype)
    assert (tensor.shape, tensor.dtype) == (shape, dtype)
    assert torch.equal(tensor.nan_to_num(), expected.nan_to_num())
    assert torch.equal(read_raw(info), raw)


def test_a_native_tensor_is_converted_when_asked(tmp_path: Path) -> None:
    info = stored(tmp_path, "F16", (2,), struct.pack("<2e", 0.5, 3))
    assert read_tensor(info).dtype == torch.float16
    assert read_tensor(info, dtype=torch.float32).tolist() == [0.5, 3]


def test_an_empty_tensor_of_an_empty_file(tmp_path: Path) -> None:
    assert read_tensor(stored(tmp_path, "F32", (0, 4), b"")).shape == (0, 4)
    assert read_tensor(stored(tmp_path, "Q4_0", (0, 32), b"")).shape == (0, 32)


def test_a_file_shorter_than_its_header_said_is_refused_not_fatal(tmp_path: Path) -> None:
    """ST-44: reading past the end of a mapping would kill the process."""
    path = tmp_path / "model.safetensors"
    write_safetensors(path, {"a": torch.zeros(4096), "b": torch.zeros(4096)})
    contents = read_header(path)
    assert Reader(contents).tensor("a").shape == (4096,)
    with path.open("r+b") as stream:
        stream.truncate(path.stat().st_size - 1)
    for name in ("a", "b"):
        with Reader(contents) as reader, pytest.raises(ModelFileError, match="E_TRUNCATED"):
            reader.tensor(name)
    with pytest.raises(ModelFileError, match="E_TRUNCATED"):
        read_tensor(contents.tensors["b"])


def test_a_file_larger_than_memory_can_be_mapped(settled: Path) -> None:
    path = settled / "data"
    with path.open("wb") as stream:
        stream.truncate(1 << 42)
    info = TensorInfo("a", "F32", (1,), path, (1 << 42) - 4, 4)
    assert read_tensor(info).tolist() == [0]


def test_unknown_names_files_and_encodings(tmp_path: Path) -> None:
    info = stored(tmp_path, "F32", (1,), b"\0" * 4)
    contents = Contents("safetensors", (info.file,), {"layers.0.weight": info})
    with Reader(contents) as reader, pytest.raises(TensorMismatchError, match=r"layers\.0\.weight"):
        reader.tensor("layer.0.weight")
    with pytest.raises(ModelFileError, match="E_DTYPE"):
        read_tensor(TensorInfo("a", "Q9", (1,), info.file, 32, 4))
    info.file.unlink()
    with pytest.raises(NotFoundError):
        read_tensor(info)


def test_a_view_is_told_from_a_copy(settled: Path) -> None:
    path = settled / "model.safetensors"
    write_safetensors(path, {"a": torch.arange(1024.0), "b": torch.arange(8.0)})
    with Reader(read_header(path)) as reader:
        tensor = reader.tensor("a")
        assert reader.maps(tensor)
        assert reader.maps(tensor[1000:])
        assert not reader.maps(tensor.clone())
        assert not reader.maps(reader.tensor("a", torch.bfloat16))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_is_kept_of_a_file(settled: Path, dtype: torch.dtype) -> None:
    """float32 stays where it is; 16-bit numbers stay on a cache line alone."""
    path = settled / "model.safetensors"
    named = {"a": torch.arange(1024).to(dtype).reshape(32, 32), "b": torch.ones(6 << 20)}
    write_safetensors(path, {name: tensor.to(dtype) for name, tensor in named.items()})
    with Reader(read_header(path)) as reader:
        a = reader.tensor("a")
        for tensor in (a, a[3:7], a[5, 5], a.T, reader.tensor("b")):  # a.T is in no one piece
            kept = reader.kept(tensor)
            assert torch.equal(kept, tensor) and kept.is_contiguous()
            stays = dtype == torch.float32 or tensor.data_ptr() % CACHE_LINE == 0
            stays = stays and tensor.is_contiguous() and sys.platform == "linux"
            assert reader.maps(kept) == stays


@pytest.mark.parametrize("cut", ["a", "b", ""])
def test_what_may_change_is_read_and_never_mapped(cut: str, tmp_path: Path) -> None:
    """ST-44: whenever a file is shortened, the answer is an error, and what was read stays."""
    path = tmp_path / "model.safetensors"
    named = {name: torch.full((1 << 20,), 7.0) for name in ("a", "b")}
    write_safetensors(path, named)
    reader = Reader(read_header(path))
    read: dict[str, torch.Tensor] = {}
    for name in named:
        if name == cut:
            os.truncate(path, 100)
            with pytest.raises(ModelFileError, match=r"\[E_TRUNCATED\]"):
                reader.tensor(name)
            break
        read[name] = reader.tensor(name)
        assert not reader.maps(read[name])
    os.truncate(path, 0)
    assert all(torch.equal(tensor, named[name]) for name, tensor in read.items())
    reader.close()


def test_what_was_written_over_while_it_was_read_is_refused(tmp_path: Path) -> None:
    """F-12: half of one model and half of another would be neither, and give no error."""
    path = tmp_path / "model.safetensors"
    write_safetensors(path, {"a": torch.zeros(9)})
    with Reader(read_header(path)) as reader:
        reader.tensor("a")
        write_safetensors(path, {"a": torch.ones(9)})  # another file in its place is no harm
    with (
        pytest.raises(ModelFileError, match=r"changed while it was read.* \[E_MISMATCH\]"),
        Reader(read_header(path)) as reader,
    ):
        reader.tensor("a")
        with path.open("r+b") as stream:
            stream.write(stream.read())
        os.utime(path, ns=(0, 0))


@pytest.mark.parametrize(
    ("place", "mapped"),
    [("cache", True), ("hub/models--a--b/blobs", True), ("blobs", False), ("else", False)],
)
def test_files_are_mapped_where_nobody_changes_them(
    place: str, mapped: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FATHOM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    (tmp_path / place).mkdir(parents=True)
    (tmp_path / place / "file").write_bytes(b"")
    link = tmp_path / "link"
    link.symlink_to(tmp_path / place / "file")
    assert is_settled(tmp_path / place / "file") == is_settled(link) == mapped


def test_installed_packages_are_settled() -> None:
    assert is_settled(Path(torch.__file__))


def test_outlines_say_what_will_be_read(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    write_safetensors(
        path, {"a": torch.zeros(3, 5, dtype=torch.float16), "b": torch.ones(2).bool()}
    )
    with Reader(read_header(path)) as reader:
        for name in ("a", "b"):
            outline, tensor = reader.outline(name), reader.tensor(name)
            assert (outline.shape, outline.dtype) == (tensor.shape, tensor.dtype)
            assert outline.is_meta


def test_a_mapped_file_that_shrinks_while_it_is_copied(settled: Path) -> None:
    path = settled / "model.safetensors"
    write_safetensors(path, {"a": torch.ones(9, dtype=torch.bfloat16)})
    with closing(Reader(read_header(path))) as reader:
        tensor = reader.tensor("a")
        end = next(part for part in (tensor[7:], tensor[8:]) if part.data_ptr() % CACHE_LINE)
        assert torch.equal(reader.kept(end), torch.ones_like(end))
        os.truncate(path, path.stat().st_size - 1)
        with pytest.raises(ModelFileError, match="became shorter"):
            reader.kept(end)


def test_released_pages_are_read_again_and_neighbours_stay(settled: Path) -> None:
    """Copy-on-write changes are lost with the pages, which shows that they really went."""
    path = settled / "model.safetensors"
    write_safetensors(path, {"a": torch.zeros(4 * 4096), "b": torch.ones(3)})
    with Reader(read_header(path)) as reader:
        a, b = reader.tensor("a"), reader.tensor("b")
        a[2 * 4096] = b[0] = 7
        reader.release("a")
        assert a[2 * 4096] == 0
        assert b[0] == 7
        reader.release("b")  # less than a page: nothing to let go
        assert b[0] == 7
