"""The whole program, from its first line to its last: how it ends, and what it keeps."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from fathom.serving.process import SECRETS, environment
from serving.conftest import long_answer
from waiting import LONGEST, wait_for

SOURCE = Path(__file__).resolve().parents[2] / "src" / "fathom" / "serving"
CANARY = "canary-41d7-secret"


@contextmanager
def program(*words: str, **environ: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Start `fathom serve` as a user would and yield it with its address."""
    command = [sys.executable, "-m", "fathom.cli.main", "serve", *words, "--port", "0", "--json"]
    with subprocess.Popen(
        command,
        env={**os.environ, **environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            said = json.loads(process.stdout.readline())
            wait_for(lambda: _answers(said["url"]))
            yield process, said["url"]
        finally:
            process.kill()


def asked(url: str) -> httpx.Response:
    """Return what an address says, however long it takes; to read certificates takes long."""
    return httpx.get(url, timeout=LONGEST, trust_env=False, verify=False)


def _answers(url: str) -> bool:
    try:
        return asked(f"{url}/health").status_code == 200
    except httpx.TransportError:
        return False


@pytest.mark.slow
def test_told_to_end_it_finishes_what_it_has(tiny_chat: Path, tmp_path: Path) -> None:
    """F-63, L-15, S-06: new asks are refused meanwhile; nobody hangs, nothing is left behind."""
    with program(str(tiny_chat), "--log", FATHOM_DATA=str(tmp_path), MY_API_TOKEN=CANARY) as (
        process,
        url,
    ):
        body = {"model": str(tiny_chat), **long_answer(900)}
        chat = f"{url}/v1/chat/completions"
        httpx.post(chat, json={**body, "max_tokens": 1}, timeout=LONGEST).raise_for_status()
        children = psutil.Process(process.pid).children(recursive=True)
        workers = [each for each in children if "fathom.serving.worker" in each.cmdline()]
        assert workers and CANARY not in str([each.environ() for each in workers])
        announced = list((tmp_path / "servers").iterdir())
        assert [oct(file.stat().st_mode & 0o777) for file in announced] == ["0o600"]
        found: list[httpx.Response] = []
        asking = threading.Thread(
            target=lambda: found.append(httpx.post(chat, json=body, timeout=LONGEST))
        )
        asking.start()
        wait_for(lambda: asked(f"{url}/v1/status").json()["requests"] == 1)
        process.send_signal(signal.SIGTERM)
        wait_for(lambda: asked(f"{url}/health").status_code == 503)
        refused = httpx.post(chat, json=body, timeout=LONGEST, verify=False)
        assert refused.status_code == 503 and refused.headers["retry-after"]
        asking.join(LONGEST)
        assert found[0].json()["usage"]["completion_tokens"] == 900
        assert process.wait(LONGEST) == 0
        assert not psutil.wait_procs(workers, LONGEST)[1]
        assert not list((tmp_path / "servers").iterdir())
        assert process.stderr is not None
        log = process.stderr.read()
        assert "hello" not in log and CANARY not in log and "Traceback" not in log


@pytest.mark.slow
def test_told_twice_it_ends_at_once(tiny_chat: Path, tmp_path: Path) -> None:
    """F-63."""
    with program(str(tiny_chat), FATHOM_DATA=str(tmp_path)) as (process, url):
        body = {"model": str(tiny_chat), **long_answer(1000, n=8)}
        asking = threading.Thread(target=_ask_in_vain, args=(url, body))
        asking.start()
        wait_for(lambda: asked(f"{url}/v1/status").json()["requests"] == 1)
        process.send_signal(signal.SIGTERM)
        wait_for(lambda: asked(f"{url}/health").status_code == 503)
        process.send_signal(signal.SIGTERM)
        process.wait(LONGEST)
        asking.join(LONGEST)
        assert not asking.is_alive()


def _ask_in_vain(url: str, body: object) -> None:
    try:
        httpx.post(f"{url}/v1/chat/completions", json=body, timeout=LONGEST)
    except httpx.TransportError:
        return


def test_a_worker_is_given_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """S-06."""
    for word in SECRETS:
        monkeypatch.setenv(f"MY_{word}_A", CANARY)
    monkeypatch.setenv("FATHOM_API_KEY", CANARY)
    assert CANARY not in environment().values()
    assert environment()["PATH"] == os.environ["PATH"]


# D-13, U-12: what no file of the server may hold. `asking.py` asks a server of this user's own.
FORBIDDEN = (
    r"(?<![.\w])(eval|exec|compile)\(",
    r"\bimport (pickle|marshal|shelve|requests|httpx|aiohttp)\b",
    r"shell\s*=\s*True",
    r"verify\s*=\s*False",
    r"^\s*assert\s",
    r"\burlopen\(|urllib\.request",
    r"\ballow_pickle\s*=\s*True",
    r"trust_remote_code",
)


@pytest.mark.parametrize("file", sorted(SOURCE.rglob("*.py")), ids=lambda file: file.name)
def test_no_file_of_the_server_runs_or_fetches_what_others_say(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    forbidden = [each for each in FORBIDDEN if file.name != "asking.py" or "urllib" not in each]
    found = [each for each in forbidden if re.search(each, text, re.M)]
    assert found == [], f"{file.name} holds {found}"
