"""Weights from a hub: a small one on this machine that can be gated, wrong, cut off or away."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from fathom.checkpoint import storage
from fathom.checkpoint.progress import QUIET
from fathom.checkpoint.sources import hub as weights
from fathom.checkpoint.sources import hub_cache
from fathom.checkpoint.sources.names import HubName, parse
from fathom.errors import FetchError, ModelFileError, NotFoundError
from waiting import wait_for

NAME = HubName("owner", "name")
WEIGHTS = os.urandom(200_000)
COMMIT = "1" * 40


@pytest.fixture
def filled(hub, hub_file: Callable[..., object]):
    """The hub with one ordinary repository, and one of GGUF files."""
    hub.repositories["owner/name"] = {
        "config.json": hub_file(b'{"model_type": "llama"}'),
        "tokenizer.json": hub_file(b"{}"),
        "model.safetensors": hub_file(WEIGHTS, large=True),
        "pytorch_model.bin": hub_file(b"pickle", large=True),
    }
    hub.repositories["owner/gguf"] = {
        "m-Q2_K.gguf": hub_file(b"two", large=True),
        "m-Q4_K_M.gguf": hub_file(b"four", large=True),
    }
    return hub


def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


def test_a_repository_is_fetched_once_and_pinned(filled, recorder) -> None:
    assert weights.find(NAME, QUIET) is None
    first = weights.fetch(NAME, recorder)
    assert (first.found, first.revision, first.kind) == ("downloaded", COMMIT, "hub")
    assert first.origin == f"hub:owner/name@{COMMIT}"
    assert sorted(path.name for path in first.path.iterdir()) == [
        "config.json",
        "model.safetensors",
        "tokenizer.json",
    ]
    assert first.size == sum(path.stat().st_size for path in first.path.iterdir())
    assert "fetching model.safetensors" in recorder.started()
    assert sum(count for what, count in recorder.events if what == "advance") >= len(WEIGHTS)

    asked = len(filled.requests)
    for name in (NAME, parse(first.origin)):  # what is printed can be opened again
        assert isinstance(name, HubName)
        weights.fetch(name, QUIET)
    assert weights.fetch(NAME, QUIET).path == first.path
    assert len(filled.requests) - asked <= 1  # the commit, spelt out, is listed once; no download
    assert filled.downloads() == 3


def test_the_newest_is_asked_for_and_nothing_is_downloaded_twice(filled) -> None:
    weights.fetch(NAME, QUIET)
    again = weights.fetch(NAME, QUIET, newest=True)
    assert again.found == "cache"
    assert filled.downloads() == 3


def test_a_file_an_encoding_and_a_choice(filled) -> None:
    chosen = weights.fetch(HubName("owner", "gguf"), QUIET)
    assert chosen.path.name == "m-Q4_K_M.gguf"
    assert "chosen among 2" in chosen.notes[0]
    assert chosen.origin == f"hub:owner/gguf@{COMMIT}:m-Q4_K_M.gguf"
    named = weights.fetch(HubName("owner", "gguf", None, "q2_k"), QUIET)
    assert named.path.read_bytes() == b"two"
    assert named.sha256 == filled.repositories["owner/gguf"]["m-Q2_K.gguf"].sha256


@pytest.mark.parametrize("file", ["model.safetensors", "config.json"])  # SHA-256, and git's hash
def test_wrong_bytes_are_refused_and_removed(filled, file: str) -> None:
    stated = filled.repositories["owner/name"][file]
    stated.served = bytes(reversed(stated.data))
    with pytest.raises(FetchError, match=f"{file} of owner/name does not have the hash"):
        weights.fetch(NAME, QUIET)
    assert weights.find(NAME, QUIET) is None
    assert not list(hub_cache.root().rglob(stated.etag))
    stated.served = None
    assert weights.fetch(NAME, QUIET).found == "downloaded"


def test_a_cut_connection_is_resumed_where_it_broke(
    filled, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 10_000)  # it resumes at whole chunks
    filled.repositories["owner/name"]["model.safetensors"].cuts = 1
    assert (weights.fetch(NAME, QUIET).path / "model.safetensors").read_bytes() == WEIGHTS
    assert filled.sent < 1.2 * len(WEIGHTS)


def test_a_connection_that_stays_cut_fails_and_looks_incomplete(
    filled, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled.repositories["owner/name"]["model.safetensors"].cuts = 1000
    with pytest.raises(FetchError, match="check the network"):
        weights.fetch(NAME, QUIET)
    assert weights.find(NAME, QUIET) is None
    _offline(monkeypatch)
    with pytest.raises(FetchError, match="HF_HUB_OFFLINE is set"):
        weights.fetch(NAME, QUIET)


def test_offline_works_from_the_cache_and_says_so_without_one(
    filled, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = weights.fetch(NAME, QUIET)
    _offline(monkeypatch)
    asked = len(filled.requests)
    assert weights.fetch(NAME, QUIET).path == first.path
    assert weights.fetch(NAME, QUIET, newest=True).path == first.path
    with pytest.raises(FetchError, match="HF_HUB_OFFLINE is set; unset it"):
        weights.fetch(HubName("owner", "gguf"), QUIET)
    assert len(filled.requests) == asked


def test_what_another_program_cached_is_used_and_checked(
    filled, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import hf_hub_download

    for file in ("config.json", "model.safetensors"):
        path = Path(hf_hub_download("owner/name", file))
    _offline(monkeypatch)
    found = weights.fetch(NAME, QUIET)
    assert found.path == path.parent
    assert "cached by another program" in found.notes[-1]
    path.resolve().write_bytes(b"damaged")
    with pytest.raises(FetchError, match="damaged in the cache"):
        weights.fetch(NAME, QUIET)


def test_half_a_model_of_another_program_is_not_a_model(
    filled, hub_file, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import hf_hub_download

    shard = "model-00001-of-00002.safetensors"
    filled.repositories["owner/name"][shard] = hub_file(b"half", large=True)
    for file in ("config.json", shard):
        hf_hub_download("owner/name", file)
    _offline(monkeypatch)
    with pytest.raises(FetchError, match="not in the hub's cache"):
        weights.fetch(NAME, QUIET)


def test_a_damaged_cache_is_repaired(filled) -> None:
    path = weights.fetch(NAME, QUIET).path / "model.safetensors"
    path.resolve().write_bytes(b"damaged")
    assert weights.find(NAME, QUIET) is None
    with pytest.raises(FetchError, match="deleted, fetch it again"):
        weights.fetch(NAME, QUIET)
    assert (weights.fetch(NAME, QUIET).path / "model.safetensors").read_bytes() == WEIGHTS


@pytest.mark.parametrize(
    ("name", "kind", "said"),
    [
        ("owner/missing", NotFoundError, "no model owner/missing"),
        ("owner/na--me", NotFoundError, "no model owner/na--me"),
        ("owner/name@dev", NotFoundError, "no revision dev"),
        ("owner/name:no.gguf", NotFoundError, "has no no.gguf"),
        ("owner/name:pytorch_model.bin", ModelFileError, "--allow-pickle"),
    ],
)
def test_what_the_hub_does_not_have(filled, name: str, kind: type[Exception], said: str) -> None:
    parsed = parse(name)
    assert isinstance(parsed, HubName)
    with pytest.raises(kind, match=said) as caught:
        weights.fetch(parsed, QUIET)
    assert "\n" not in str(caught.value)


def test_a_gated_repository_names_the_remedy(filled) -> None:
    filled.gated.add("owner/name")
    with pytest.raises(FetchError, match=r"is gated: accept its terms .* HF_TOKEN"):
        weights.fetch(NAME, QUIET)
    filled.gated.clear()
    assert weights.fetch(NAME, QUIET).found == "downloaded"


def test_a_hub_that_is_away_is_named(filled, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(FetchError, match="check the network and HF_ENDPOINT"):
        weights.fetch(NAME, QUIET)


def test_a_disk_too_small_is_named_before_a_byte_comes(
    filled, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "free_bytes", lambda _: 1000)
    with pytest.raises(FetchError, match=r"200,\d+ bytes needed and 1,000 free"):
        weights.fetch(NAME, QUIET)
    assert filled.downloads() == 0


CHILD = """
import resource, sys
from fathom.checkpoint.sources import hub
from fathom.checkpoint.sources.names import HubName
from fathom.checkpoint.progress import QUIET
from fathom.errors import FetchError
if {limit}:
    resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
try:
    print(hub.fetch(HubName("owner", "name"), QUIET).found)
except FetchError as error:
    print("FetchError", error)
"""


def _child(endpoint: str, limit: int = 0) -> subprocess.Popen[str]:
    environment = {
        **os.environ,
        "HF_ENDPOINT": endpoint,
        "HF_HUB_CACHE": str(hub_cache.root()),
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }
    return subprocess.Popen(
        [sys.executable, "-c", CHILD.format(limit=limit)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_two_processes_download_once(filled) -> None:
    with _child(filled.endpoint) as one, _child(filled.endpoint) as two:
        answers = sorted([one.communicate()[0].strip(), two.communicate()[0].strip()])
    assert answers == ["cache", "downloaded"]
    assert filled.downloads() == 3


def test_a_full_disk_is_a_clear_error(filled) -> None:
    with _child(filled.endpoint, limit=100_000) as child:
        out, err = child.communicate()
    assert out.startswith("FetchError model.safetensors"), err
    assert "200,000 bytes needed" in out
    assert weights.find(NAME, QUIET) is None


def test_a_killed_fetch_leaves_nothing_that_looks_complete(
    filled, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = filled.repositories["owner/name"]["model.safetensors"]
    file.stall = True
    with _child(filled.endpoint) as child:
        wait_for(lambda: filled.sent >= len(WEIGHTS) // 2 or child.poll() is not None)
        assert child.poll() is None
        os.kill(child.pid, signal.SIGKILL)
    assert weights.find(NAME, QUIET) is None
    with monkeypatch.context() as offline:
        _offline(offline)
        with pytest.raises(FetchError, match="not in the hub's cache"):
            weights.fetch(NAME, QUIET)
    file.stall = False
    assert (weights.fetch(NAME, QUIET).path / "model.safetensors").read_bytes() == WEIGHTS
