"""A cache of its own for every test, wheels made to order, and a small hub on this machine."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from waiting import LONGEST

COMMIT = "1" * 40


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "fathom-cache"
    monkeypatch.setenv("FATHOM_CACHE", str(folder))
    return folder


class Recorder:
    """A progress that keeps what it is told."""

    def __init__(self) -> None:
        self.events: list[tuple[str, object]] = []
        self.open = 0

    def start(self, total: int | None, what: str) -> None:
        assert self.open == 0, "one piece of work at a time"
        self.open += 1
        self.events.append((what, total))

    def advance(self, count: int) -> None:
        assert self.open == 1
        self.events.append(("advance", count))

    def done(self) -> None:
        assert self.open == 1
        self.open -= 1

    def started(self) -> list[str]:
        return [str(what) for what, _ in self.events if what != "advance"]


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    progress = Recorder()
    yield progress
    assert progress.open == 0, "work was started and never ended"


def _hash_entry(data: bytes, algorithm: str = "sha256") -> str:
    digest = base64.urlsafe_b64encode(hashlib.new(algorithm, data).digest()).decode().rstrip("=")
    return f"{algorithm}={digest},{len(data)}"


def _make_wheel(
    folder: Path,
    files: Mapping[str, bytes],
    *,
    project: str = "tiny_model",
    version: str = "1.0",
    record: Mapping[str, str | None] | None = None,
) -> Path:
    """A wheel of `files`; `record` overrides the RECORD entry of a file, or leaves it out."""
    info = f"{project}-{version}.dist-info"
    members = {
        **files,
        f"{info}/METADATA": (
            f"Metadata-Version: 2.1\nName: {project}\nVersion: {version}\n".encode()
        ),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    entries: dict[str, str | None] = {name: _hash_entry(data) for name, data in members.items()}
    entries.update(record or {})
    lines = [f"{name},{entry}" for name, entry in entries.items() if entry is not None]
    folder.mkdir(parents=True, exist_ok=True)
    wheel = folder / f"{project}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
        archive.writestr(f"{info}/RECORD", "\n".join([*lines, f"{info}/RECORD,,"]) + "\n")
    return wheel


@pytest.fixture
def make_wheel() -> Callable[..., Path]:
    return _make_wheel


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip takes packages from, and from nowhere else."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    return folder


@dataclass
class HubFile:
    data: bytes
    large: bool = False  # kept by LFS, so stated with its SHA-256
    cuts: int = 0  # how many answers break off half way
    stall: bool = False  # never sends the second half
    served: bytes | None = None  # what is really sent, where that differs

    @property
    def git(self) -> str:
        return hashlib.sha1(b"blob %d\0" % len(self.data) + self.data).hexdigest()

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    @property
    def etag(self) -> str:
        return self.sha256 if self.large else self.git


@dataclass
class FakeHub:
    """Repositories that a test fills in, and the requests that came for them."""

    repositories: dict[str, dict[str, HubFile]] = field(default_factory=dict)
    gated: set[str] = field(default_factory=set)
    requests: list[str] = field(default_factory=list)
    sent: int = 0  # bytes of file content
    endpoint: str = ""

    def downloads(self) -> int:
        return sum(
            request.startswith("GET") and "/resolve/" in request for request in self.requests
        )


class HubServer(ThreadingHTTPServer):
    """Serves `hub`; answers that stall are let go once it is `finished`."""

    daemon_threads = True

    def __init__(self, hub: FakeHub) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.hub = hub
        self.finished = threading.Event()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: HubServer

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, body: bool) -> None:
        self.server.hub.requests.append(f"{self.command} {self.path}")
        parts = self.path.partition("?")[0].strip("/").split("/")
        if parts[:2] == ["api", "models"]:
            self._listing("/".join(parts[2:4]), parts[5] if len(parts) > 5 else "main")
        elif len(parts) > 4 and parts[2] == "resolve":
            self._file("/".join(parts[:2]), "/".join(parts[4:]), body)
        else:
            self._refuse(404, "EntryNotFound")

    def _refuse(self, status: int, code: str) -> None:
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _listing(self, repository: str, revision: str) -> None:
        files = self.server.hub.repositories.get(repository)
        if files is None:
            return self._refuse(404, "RepoNotFound")
        if revision not in ("main", COMMIT):
            return self._refuse(404, "RevisionNotFound")
        siblings: list[dict[str, object]] = []
        for name, file in files.items():
            row: dict[str, object] = {"rfilename": name, "size": len(file.data)}
            row["blobId"] = file.git
            if file.large:
                row["lfs"] = {"sha256": file.sha256, "size": len(file.data), "pointerSize": 134}
            siblings.append(row)
        answer = json.dumps({"id": repository, "sha": COMMIT, "siblings": siblings}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def _file(self, repository: str, name: str, body: bool) -> None:
        if repository in self.server.hub.gated:
            return self._refuse(403, "GatedRepo")
        file = self.server.hub.repositories.get(repository, {}).get(name)
        if file is None:
            return self._refuse(404, "EntryNotFound")
        data = file.data if file.served is None else file.served
        first = 0
        if (wanted := self.headers.get("Range")) and body:
            first = int(wanted.removeprefix("bytes=").split("-")[0])
        self.send_response(206 if first else 200)
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", f'"{file.etag}"')
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(data) - first))
        if first:
            self.send_header("Content-Range", f"bytes {first}-{len(data) - 1}/{len(data)}")
        self.end_headers()
        if body:
            self._send(file, data[first:])

    def _send(self, file: HubFile, data: bytes) -> None:
        if file.cuts > 0 or file.stall:
            file.cuts -= 1
            data = data[: len(data) // 2]
            self.close_connection = True
        self.wfile.write(data)
        self.wfile.flush()
        self.server.hub.sent += len(data)
        if file.stall:
            self.server.finished.wait(LONGEST)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """A hub at 127.0.0.1 and an empty cache of the hub library."""
    from huggingface_hub import constants, file_download

    state = FakeHub()
    server = HubServer(state)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    state.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    monkeypatch.setattr(constants, "ENDPOINT", state.endpoint)
    monkeypatch.setattr(
        constants,
        "HUGGINGFACE_CO_URL_TEMPLATE",
        state.endpoint + "/{repo_id}/resolve/{revision}/{filename}",
    )
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub-cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(file_download.time, "sleep", lambda _: None)  # between its retries
    for name in ("HF_TOKEN", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    yield state
    server.finished.set()
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def hub_file() -> type[HubFile]:
    return HubFile
