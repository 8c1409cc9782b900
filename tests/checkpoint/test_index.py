"""Sharded checkpoints: index, folder and headers must agree, and stay in their folder."""

import json
import logging
from pathlib import Path

import pytest
import torch

from fathom.checkpoint.headers import read_headers
from fathom.checkpoint.index import read_index
from fathom.checkpoint.safetensors_writer import write_safetensors
from fathom.checkpoint.tensors import Reader
from fathom.errors import ModelFileError, NotFoundError

FIRST, SECOND = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
INDEX = "model.safetensors.index.json"


def sharded(folder: Path) -> Path:
    """Two shards with one tensor of 16 bytes each."""
    folder.mkdir(parents=True, exist_ok=True)
    write_safetensors(folder / FIRST, {"a": torch.arange(4.0)}, {"format": "pt"})
    write_safetensors(folder / SECOND, {"b": torch.arange(4.0) + 4})
    return write_index(folder, {"a": FIRST, "b": SECOND}, 32)


def write_index(folder: Path, weight_map: object, total: int = 32) -> Path:
    path = folder / INDEX
    path.write_text(json.dumps({"metadata": {"total_size": total}, "weight_map": weight_map}))
    return path


def code_of(path: Path) -> str:
    with pytest.raises(ModelFileError) as caught:
        read_headers(path)
    return caught.value.code


@pytest.mark.parametrize("opened", ["folder", "index"])
def test_shards_are_joined(opened: str, tmp_path: Path) -> None:
    index = sharded(tmp_path)
    contents = read_headers(tmp_path if opened == "folder" else index)
    assert contents.files == (tmp_path / FIRST, tmp_path / SECOND)
    assert contents.metadata == {"format": "pt"}
    assert contents.size == 32
    with Reader(contents) as reader:
        assert reader.tensor("a").tolist() == [0, 1, 2, 3]
        assert reader.tensor("b").tolist() == [4, 5, 6, 7]


@pytest.mark.parametrize(
    "name",
    [
        *("../x.safetensors", "/etc/x.safetensors", "C:\\x.safetensors", "\\\\host\\x.safetensors"),
        *("..\\x.safetensors", "sub/x.safetensors", "", ".", "..", "x.json", "a\0.safetensors"),
    ],
)
def test_a_shard_elsewhere_is_refused(name: str, tmp_path: Path) -> None:
    """CF-08"""
    sharded(tmp_path)
    write_index(tmp_path, {"a": FIRST, "b": name})
    assert code_of(tmp_path) == "E_PATH"


def test_a_pickle_in_the_index_is_refused(tmp_path: Path) -> None:
    """CF-09"""
    sharded(tmp_path)
    write_index(tmp_path, {"a": FIRST, "b": "x.bin"})
    assert code_of(tmp_path) == "E_UNSAFE_CODE"


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    """CF-10"""
    folder = tmp_path / "model"
    sharded(folder)
    outside = (folder / SECOND).rename(tmp_path / "outside.safetensors")
    (folder / SECOND).symlink_to(outside)
    assert code_of(folder) == "E_PATH"


def test_a_link_inside_the_folder_is_accepted(tmp_path: Path) -> None:
    sharded(tmp_path)
    (tmp_path / "blobs").mkdir()
    (tmp_path / SECOND).rename(tmp_path / "blobs" / "1234")
    (tmp_path / SECOND).symlink_to(Path("blobs") / "1234")
    assert len(read_headers(tmp_path).tensors) == 2


def test_the_links_of_the_hub_cache_are_accepted(tmp_path: Path) -> None:
    folder = tmp_path / "models--owner--name" / "snapshots" / "abc"
    sharded(folder)
    blobs = folder.parent.parent / "blobs"
    blobs.mkdir()
    for name in (FIRST, SECOND, INDEX):
        (folder / name).rename(blobs / f"digest-{name}")
        (folder / name).symlink_to(Path("../../blobs") / f"digest-{name}")
    assert len(read_headers(folder).tensors) == 2


def test_a_single_file_that_is_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    write_safetensors(tmp_path / "outside", {"a": torch.zeros(1)})
    (folder / "model.safetensors").symlink_to(tmp_path / "outside")
    assert code_of(folder) == "E_PATH"


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    """CF-11"""
    sharded(tmp_path)
    (tmp_path / SECOND).unlink()
    with pytest.raises(ModelFileError, match=rf"{SECOND}, which holds b.*E_MISMATCH"):
        read_headers(tmp_path)


def test_a_shard_that_the_index_does_not_name_is_refused(tmp_path: Path) -> None:
    sharded(tmp_path)
    write_index(tmp_path, {"a": FIRST}, 16)
    assert code_of(tmp_path) == "E_MISMATCH"
    (tmp_path / SECOND).rename(tmp_path / "other.safetensors")  # of no numbered set: harmless
    assert list(read_headers(tmp_path).tensors) == ["a"]


@pytest.mark.parametrize(
    ("in_first", "in_second", "weight_map"),
    [
        (["a", "b"], ["b"], {"a": FIRST, "b": SECOND}),
        (["a", "c"], ["b"], {"a": FIRST, "b": SECOND}),
        (["a"], ["b"], {"a": FIRST, "b": SECOND, "c": SECOND}),
        (["a"], ["b"], {"a": SECOND, "b": FIRST}),
    ],
    ids=["in two shards", "in no shard of the index", "in no shard", "exchanged"],
)
def test_index_and_headers_must_agree(
    in_first: list[str], in_second: list[str], weight_map: dict[str, str], tmp_path: Path
) -> None:
    write_safetensors(tmp_path / FIRST, {name: torch.zeros(1) for name in in_first})
    write_safetensors(tmp_path / SECOND, {name: torch.zeros(1) for name in in_second})
    write_index(tmp_path, weight_map)
    assert code_of(tmp_path) == "E_MISMATCH"


def test_a_wrong_total_is_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """CF-12"""
    sharded(tmp_path)
    with caplog.at_level(logging.WARNING):
        read_index(tmp_path / INDEX)
    assert not caplog.records
    write_index(tmp_path, {"a": FIRST, "b": SECOND}, 33)
    with caplog.at_level(logging.WARNING):
        read_index(tmp_path / INDEX)
    assert "total_size says 33 bytes, the tensors have 32" in caplog.text


@pytest.mark.parametrize(
    ("weight_map", "code"),
    [(None, "E_HEADER_SYNTAX"), ({"a": 1}, "E_HEADER_SYNTAX"), ({}, "E_MISMATCH")],
)
def test_an_index_without_a_map_is_refused(weight_map: object, code: str, tmp_path: Path) -> None:
    assert code_of(write_index(tmp_path, weight_map)) == code


def test_a_shard_without_its_index_asks_for_it(tmp_path: Path) -> None:
    sharded(tmp_path).unlink()
    with pytest.raises(ModelFileError, match="without their index"):
        read_headers(tmp_path)


def test_an_absent_index_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        read_index(tmp_path / INDEX)
