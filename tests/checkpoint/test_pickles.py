"""Pickles: refused by default, and with permission never more than tensors."""

import io
import pickle
import stat
import zipfile
from pathlib import Path

import pytest
import torch

from fathom.checkpoint.headers import read_headers
from fathom.checkpoint.pickles import check_archive
from fathom.checkpoint.tensors import Reader
from fathom.errors import ModelFileError

TENSORS = {
    "weight": torch.arange(6.0).reshape(2, 3),
    "turned": torch.arange(6.0).reshape(2, 3).t(),
    "half": torch.ones(3, dtype=torch.bfloat16),
}


class Runs:
    """Unpickling this calls `function` with `arguments`."""

    def __init__(self, function: object, *arguments: object) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return self.function, self.arguments


def saved(value: object, path: Path) -> Path:
    torch.save(value, path)
    return path


def code_of(path: Path, *, allow_pickle: bool = True) -> str:
    with pytest.raises(ModelFileError) as caught:
        read_headers(path, allow_pickle=allow_pickle)
    assert "\n" not in str(caught.value)
    return caught.value.code


def test_a_pickle_is_refused_and_the_remedy_named(tmp_path: Path) -> None:
    """PK-01"""
    path = saved(TENSORS, tmp_path / "pytorch_model.bin")
    for place in (path, tmp_path):
        with pytest.raises(ModelFileError, match=r"safetensors.*--allow-pickle.*E_UNSAFE_CODE"):
            read_headers(place)


@pytest.mark.parametrize("wrap", ["plain", "state_dict", "legacy"])
def test_with_permission_its_tensors_are_read(wrap: str, tmp_path: Path) -> None:
    path = tmp_path / "pytorch_model.bin"
    value = {"state_dict": TENSORS, "epoch": 3} if wrap == "state_dict" else TENSORS
    torch.save(value, path, _use_new_zipfile_serialization=wrap != "legacy")
    before = path.read_bytes()
    contents = read_headers(tmp_path, allow_pickle=True)
    assert (contents.format, contents.files) == ("pickle", (path,))
    with Reader(contents) as reader:
        assert contents.tensors.keys() == TENSORS.keys()
        for name, tensor in TENSORS.items():
            assert torch.equal(reader.tensor(name), tensor)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["pytorch_model.bin"]


def test_shards_are_joined_and_a_missing_one_is_named(tmp_path: Path) -> None:
    for number, name in enumerate(("weight", "half"), start=1):
        saved({name: TENSORS[name]}, tmp_path / f"pytorch_model-0000{number}-of-00002.bin")
    assert read_headers(tmp_path, allow_pickle=True).tensors.keys() == {"weight", "half"}
    saved({"x": torch.ones(1)}, tmp_path / "pytorch_model-00002-of-00003.bin")
    assert code_of(tmp_path) == "E_MISMATCH"


def test_what_training_left_beside_is_no_model(tmp_path: Path) -> None:
    saved({"lr": 1}, tmp_path / "training_args.bin")
    saved({"lr": 1}, tmp_path / "optimizer.pt")
    saved(TENSORS, tmp_path / "model.pt")
    assert read_headers(tmp_path, allow_pickle=True).files == (tmp_path / "model.pt",)


PROGRAMS = {
    "PK-03 eval": lambda mark: Runs(eval, f"open({str(mark)!r}, 'w').close()"),
    "PK-04 import": lambda mark: Runs(__import__, "os"),
    "PK-08 partial": lambda mark: Runs(__import__("functools").partial, print),
    "PK-11 file": lambda mark: Runs(io.FileIO, str(mark), "w"),
    "PK-02 system": lambda mark: Runs(__import__("os").system, f"touch {mark}"),
}


@pytest.mark.slow
@pytest.mark.parametrize("container", ["torch", "bare"])
@pytest.mark.parametrize("case", PROGRAMS)
def test_a_program_is_refused_and_does_not_run(case: str, container: str, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    value = {"weight": PROGRAMS[case](mark)}
    path = tmp_path / "model.bin"
    if container == "torch":
        saved(value, path)
    else:
        path.write_bytes(pickle.dumps(value, protocol=2))
    assert code_of(path) == "E_UNSAFE_CODE"
    assert not mark.exists()  # PK-31: no second try without the restriction


def test_more_than_the_file_can_hold_is_refused(tmp_path: Path) -> None:
    """A stride of zero: four bytes that unfold into a terabyte."""
    path = saved({"a": torch.zeros(1).expand(1 << 38)}, tmp_path / "model.bin")
    assert code_of(path) == "E_LIMIT"


def test_a_sparse_tensor_is_refused(tmp_path: Path) -> None:
    """PK-29"""
    path = saved({"a": torch.eye(3).to_sparse()}, tmp_path / "model.bin")
    assert code_of(path) in ("E_DTYPE", "E_UNSAFE_CODE")


@pytest.mark.slow
@pytest.mark.parametrize("value", [{"a": 1}, [torch.ones(1)], {}], ids=repr)
def test_without_named_tensors_there_is_no_model(value: object, tmp_path: Path) -> None:
    assert code_of(saved(value, tmp_path / "model.bin")) == "E_MISMATCH"


def archive(path: Path, members: list[tuple[str | zipfile.ZipInfo, bytes]]) -> Path:
    with zipfile.ZipFile(path, "w") as output:
        for name, content in members:
            output.writestr(name, content)
    return path


def link() -> zipfile.ZipInfo:
    info = zipfile.ZipInfo("m/data/0")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


PROGRAM = ("m/data.pkl", pickle.dumps({}, protocol=2))
ARCHIVES = {
    "PK-22 parent": ([PROGRAM, ("../../evil", b"")], "E_PATH"),
    "PK-22 absolute": ([PROGRAM, ("/evil", b"")], "E_PATH"),
    "PK-22 backslash": ([PROGRAM, ("..\\evil", b"")], "E_PATH"),
    "PK-22 link": ([PROGRAM, (link(), b"/etc")], "E_PATH"),
    "PK-21 another program": ([PROGRAM, ("n/data.pkl", b"")], "E_DUPLICATE"),
    "PK-34 TorchScript": ([PROGRAM, ("m/constants.pkl", b"")], "E_UNSAFE_CODE"),
    "PK-34 code": ([PROGRAM, ("m/code/a.py", b"")], "E_UNSAFE_CODE"),
    "PK-25 another archive": ([("word/document.xml", b"")], "E_MAGIC"),
}


@pytest.mark.parametrize("case", ARCHIVES)
def test_a_suspicious_archive_is_refused(case: str, tmp_path: Path) -> None:
    members, code = ARCHIVES[case]
    assert code_of(archive(tmp_path / "model.bin", members)) == code


def test_its_twin_is_accepted(tmp_path: Path) -> None:
    check_archive(archive(tmp_path / "model.bin", [PROGRAM, ("m/data/0", b"")]))


def test_one_member_twice_is_refused(tmp_path: Path) -> None:
    """PK-21"""
    with pytest.warns(UserWarning, match="Duplicate name"):
        path = archive(tmp_path / "model.bin", [PROGRAM, PROGRAM])
    assert code_of(path) == "E_DUPLICATE"


def test_a_compressed_member_is_refused(tmp_path: Path) -> None:
    """PK-23"""
    path = tmp_path / "model.bin"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as output:
        output.writestr("m/data.pkl", bytes(1 << 20))
    assert code_of(path) == "E_LIMIT"


def test_a_damaged_archive_is_refused(tmp_path: Path) -> None:
    """PK-20"""
    path = saved(TENSORS, tmp_path / "model.bin")
    content = path.read_bytes()
    at = content.index(b"weight")
    path.write_bytes(content[:at] + b"WEIGHT" + content[at + 6 :])  # another checksum
    assert code_of(path) == "E_HEADER_SYNTAX"
    path.write_bytes(content[: len(content) // 2])
    assert code_of(path) == "E_HEADER_SYNTAX"


@pytest.mark.slow
@pytest.mark.parametrize("length", [2, 20, 100])
def test_a_truncated_bare_pickle_is_refused(length: int, tmp_path: Path) -> None:
    """PK-35"""
    path = tmp_path / "model.bin"
    path.write_bytes(pickle.dumps(list(range(100)), protocol=2)[:length])
    assert code_of(path) in ("E_TRUNCATED", "E_HEADER_SYNTAX", "E_UNSAFE_CODE")
