"""Whatever befalls a save, the old is whole or the new is: lines F-01 to F-14 of the catalogue."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from fathom.checkpoint import storage
from fathom.checkpoint.conversion import convert
from fathom.checkpoint.headers import read_headers
from fathom.checkpoint.safetensors_writer import write_safetensors
from fathom.checkpoint.saving import write_weights
from fathom.checkpoint.storage import new_folder, replacing
from fathom.checkpoint.tensors import Reader
from fathom.errors import ModelFileError, RequestError, WriteError
from fathom.inputs import trial
from hostile.benign import tensors, write_model
from hostile.case import Case, Verdict
from hostile.doors import first_token, new_tensors
from hostile.runner import Runner

OLD = {"a": torch.zeros(3)}


def _prepared(what: str, folder: Path) -> Path:
    path = folder / "place"
    if what == "folder":
        return write_model(path)
    path.mkdir()
    write_safetensors(path / "model.safetensors", OLD, {"version": "old"})
    return path


@pytest.mark.parametrize("what", ["file", "folder"])
def test_every_step_is_tried(what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _prepared(what, tmp_path)
    seen: list[str] = []
    monkeypatch.setattr(storage, "reached", seen.append)
    if what == "file":
        write_safetensors(path / "model.safetensors", new_tensors(), {"version": "new"})
    else:
        convert(read_headers(path), path, path / "saved")
    assert len(seen) == STEPS[what], seen
    assert {"file made", "tensor written", "file written", "file flushed"} <= set(seen)


STEPS = {"file": 6, "folder": 32}  # of the saves below
ACCIDENTS = [(what, step) for what, count in STEPS.items() for step in range(1, count + 1)]


def accident(runner: Runner, path: Path, what: str, step: int, how: str) -> Verdict:
    options = {"what": what, "step": step, "accident": how}
    return runner.attempt(Case("F-01", what, lambda _: path, options=options), "save", path)


@pytest.mark.parametrize("how", ["kill", "ENOSPC", "EIO"])
@pytest.mark.parametrize(("what", "step"), ACCIDENTS)
def test_old_or_new_is_whole_whatever_happens_when(
    what: str, step: int, how: str, runner: Runner, tmp_path: Path
) -> None:
    """F-01, F-02, F-04: killed, disk full or failing at every step."""
    path = _prepared(what, tmp_path)
    verdict = accident(runner, path, what, step, how)
    expected = ("signal", "") if how == "kill" else ("refused", "E_WRITE")
    assert (verdict.ending, verdict.code) == expected, verdict
    if what == "file":
        found = load_file(path / "model.safetensors")
        wanted = OLD if found.keys() == OLD.keys() else new_tensors()
        assert all(torch.equal(found[name], tensor) for name, tensor in wanted.items())
    elif (path / "saved").exists():
        found = load_file(path / "saved" / "model.safetensors")
        assert all(torch.equal(found[name], tensor) for name, tensor in tensors().items())
        assert (path / "saved" / "tokenizer.json").is_file()
    left = [each.name for each in path.rglob("*") if each.name.endswith(".partial")]
    assert how == "kill" or left == []


def test_what_a_dead_process_left_is_swept_away_once_it_is_old(tmp_path: Path) -> None:
    """F-08"""
    path = tmp_path / "model.safetensors"
    for name, age in (("old", 2 * 86_400), ("new", 60)):
        orphan = tmp_path / f".model.safetensors.{name}.partial"
        orphan.write_bytes(b"x")
        os.utime(orphan, (time.time() - age,) * 2)
    (tmp_path / ".other.safetensors.old.partial").write_bytes(b"x")
    os.utime(tmp_path / ".other.safetensors.old.partial", (0, 0))
    write_safetensors(path, OLD)
    assert sorted(each.name for each in tmp_path.iterdir()) == [
        ".model.safetensors.new.partial",
        ".other.safetensors.old.partial",
        "model.safetensors",
    ]


@pytest.mark.parametrize(("mask", "file", "folder"), [(0o022, 0o644, 0o755), (0o077, 0o600, 0o700)])
def test_modes_are_what_the_umask_says(mask: int, file: int, folder: int, tmp_path: Path) -> None:
    """F-09"""
    before = os.umask(mask)
    try:
        write_safetensors(tmp_path / "a", OLD)
        with new_folder(tmp_path / "b", 0) as partial:
            write_safetensors(partial / "model.safetensors", OLD)
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode & 0o777 == file
    assert (tmp_path / "b").stat().st_mode & 0o777 == folder


def test_more_than_the_disk_holds_is_refused_before_the_work(tmp_path: Path) -> None:
    """F-03"""
    with (
        pytest.raises(WriteError, match=r"is full, .* needed and .* free"),
        new_folder(tmp_path / "out", 1 << 60),
    ):
        pytest.fail("the work began")
    assert list(tmp_path.iterdir()) == []


def test_an_error_of_the_writer_ends_it_without_a_trace(tmp_path: Path) -> None:
    """F-05"""
    (tmp_path / "a").write_text("old")
    with pytest.raises(ZeroDivisionError), replacing(tmp_path / "a") as stream:
        stream.write(b"new")
        raise ZeroDivisionError
    with pytest.raises(ZeroDivisionError), new_folder(tmp_path / "b", 0):
        raise ZeroDivisionError
    assert [each.name for each in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_text() == "old"


def test_a_file_is_written_over_while_it_is_read(tmp_path: Path) -> None:
    """F-06"""
    path = tmp_path / "model.safetensors"
    write_safetensors(path, {"a": torch.arange(50_000.0)})
    with Reader(read_headers(path)) as reader:
        mapped = reader.tensor("a")
        write_safetensors(path, {"a": mapped, "b": mapped + 1})
        assert torch.equal(mapped, torch.arange(50_000.0))
    assert torch.equal(load_file(path)["b"], torch.arange(50_000.0) + 1)


def test_of_two_that_save_to_one_place_one_wins_whole(tmp_path: Path) -> None:
    """F-07"""
    with (
        pytest.raises(WriteError, match="another process"),
        new_folder(tmp_path / "out", 0) as loser,
    ):
        write_weights(loser, {"a": torch.zeros(1)})
        with new_folder(tmp_path / "out", 0) as winner:
            write_weights(winner, {"a": torch.ones(1)})
    assert load_file(tmp_path / "out" / "model.safetensors")["a"].item() == 1
    with pytest.raises(RequestError, match="exists already"), new_folder(tmp_path / "out", 0):
        pytest.fail("the work began")
    assert [each.name for each in tmp_path.iterdir()] == ["out"]


def test_a_place_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    """F-11"""
    (tmp_path / "file").write_text("")
    for target in (tmp_path / "file" / "out", tmp_path / ("x" * 300), Path("/proc/fathom")):
        with pytest.raises(WriteError, match="name a place that can be"), new_folder(target, 0):
            pytest.fail("the work began")


def test_a_source_that_changes_meanwhile_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F-12"""
    path = write_model(tmp_path / "model")
    contents = read_headers(path)

    def touched(step: str) -> None:
        if step == "tensor written":
            os.utime(path / "model.safetensors", (0, 0))

    monkeypatch.setattr(storage, "reached", touched)
    with pytest.raises(ModelFileError, match="changed while it was converted"):
        convert(contents, path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("what", ["file", "folder"])
def test_no_name_is_ever_ahead_of_its_bytes(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F-10: the power fails at any step. Names may have reached the disk; of bytes and of
    renamed entries only what was flushed has."""
    path = _prepared(what, tmp_path)
    disk = Disk(path)
    monkeypatch.setattr(os, "fsync", disk.flush)
    monkeypatch.setattr(storage, "reached", lambda _: disk.require_whole())
    if what == "file":
        write_safetensors(path / "model.safetensors", new_tensors(), {"version": "new"})
    else:
        convert(read_headers(path), path, path / "saved")
    disk.require_whole()
    assert disk.names[path] == {each.name for each in path.iterdir()}, "the rename is not on it"


class Disk:
    """What would be left after a power failure: bytes of each file as they were last flushed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.names: dict[Path, set[str]] = {}
        self.bytes = {each.stat().st_ino: each.read_bytes() for each in self._visible()}

    def flush(self, descriptor: int) -> None:
        place = Path(f"/proc/self/fd/{descriptor}").resolve()
        if place.is_dir():
            self.names[place] = {each.name for each in place.iterdir()}
        else:
            self.bytes[place.stat().st_ino] = place.read_bytes()

    def require_whole(self) -> None:
        """Every file under its final name has all its bytes on the disk."""
        for each in self._visible():
            assert self.bytes.get(each.stat().st_ino) == each.read_bytes(), each

    def _visible(self) -> list[Path]:
        found = (each for each in self.folder.rglob("*") if each.is_file())
        return [each for each in found if ".partial" not in str(each)]


def test_a_conversion_that_was_killed_is_the_same_when_it_is_done_again(
    runner: Runner, tmp_path: Path
) -> None:
    """F-13: it begins anew, over what the dead one left, and gives the same bytes."""
    path = _prepared("folder", tmp_path)
    convert(read_headers(path), path, tmp_path / "unbroken")
    assert accident(runner, path, "folder", 5, "kill").ending == "signal"
    assert list(path.glob(".saved.*.partial")) != []
    convert(read_headers(path), path, path / "saved")
    for each in (tmp_path / "unbroken").iterdir():
        assert (path / "saved" / each.name).read_bytes() == each.read_bytes()


def test_a_cache_that_cannot_be_used_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F-16, F-17: what the cache remembers saves time alone; damaged or gone, it is done again."""
    path = write_model(tmp_path / "model")
    cache = tmp_path / "cache"
    monkeypatch.setenv("FATHOM_CACHE", str(cache))
    expected = first_token(path)
    for record in (cache / "tokenizers").iterdir():
        record.write_bytes(b"\xff not what was written")
    trial._sound.clear()
    assert first_token(path) == expected
    shutil.rmtree(cache)
    cache.write_text("a file where the folder was")
    trial._sound.clear()
    assert first_token(path) == expected


def test_names_that_a_disk_confuses_are_told_apart(tmp_path: Path) -> None:
    """F-24: a tensor's name is never a file's, so no file system folds two into one."""
    many = {name: torch.full((2,), number) for number, name in enumerate(("ä", "a\u0308", "Ä"))}
    write_weights(tmp_path, many, shard_bytes=1)
    with Reader(read_headers(tmp_path)) as reader:
        assert all(torch.equal(reader.tensor(name), tensor) for name, tensor in many.items())


@pytest.mark.parametrize("value", [1.0, float("nan"), float("inf")])
def test_values_that_are_not_finite_are_told_of(
    value: float, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """ST-40: every format allows them, and what reads them all counts them."""
    weights = {"a": torch.tensor([value, 1.0, value]), "n": torch.arange(3)}
    write_safetensors(tmp_path / "model.safetensors", weights)
    convert(read_headers(tmp_path), tmp_path, tmp_path / "out")
    told = [] if value == 1 else ["a holds 2 values that are not finite"]
    assert [record.message for record in caplog.records] == told


def test_many_tensors_are_cut_into_shards_that_the_reference_opens(tmp_path: Path) -> None:
    many = {f"t{number}": torch.full((10,), float(number)) for number in range(7)}
    write_weights(tmp_path, many, shard_bytes=100)
    contents = read_headers(tmp_path)
    assert len(contents.files) == 4
    assert contents.size == 7 * 40
    for file in contents.files:
        for name, tensor in load_file(file).items():
            assert torch.equal(tensor, many[name])
