"""Bodies, headers and connections as no good client sends them: bounded, refused, forgotten."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace

import psutil
import pytest

from serving.conftest import PATIENT, Serving, Start, long_answer
from waiting import LONGEST, wait_for

HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"
JSON = HEAD + b"Content-Type: application/json\r\n"


@pytest.fixture(scope="module")
def narrow(start: Start) -> Iterator[Serving]:
    """A server whose bounds are soon reached, but for those of time."""
    with start(limits=replace(PATIENT, body=10_000, connections=8, header=8_192)) as running:
        yield running


@pytest.fixture(scope="module")
def hasty(start: Start) -> Iterator[Serving]:
    """A server that waits for nothing."""
    with start(limits=replace(PATIENT, header_seconds=0.4, body_seconds=0.4)) as running:
        yield running


def connected(serving: Serving) -> socket.socket:
    return socket.create_connection(("127.0.0.1", serving.port), timeout=LONGEST)


def answered(connection: socket.socket) -> bytes:
    """Return all that comes until the server hangs up, or has answered."""
    found = b""
    while part := connection.recv(65536):
        found += part
        head, ended, rest = found.partition(b"\r\n\r\n")
        length = [line for line in head.lower().split(b"\r\n") if b"content-length" in line]
        if ended and length and len(rest) >= int(length[0].split(b":")[1]):
            break
    return found


def status(serving: Serving, request: bytes) -> int:
    """Send bytes and return the status that comes back."""
    with connected(serving) as connection:
        with suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(request)
        return int(answered(connection).split(b" ", 2)[1])


WHOLE = json.dumps({"model": "none", **long_answer(1)}).encode()
REFUSED = {
    # H-22: by the length that is stated, or as soon as more has come.
    "a long body": (JSON + b"Content-Length: 10001\r\n\r\n", 413),
    "1 GiB": (JSON + b"Content-Length: 1073741824\r\n\r\n", 413),
    "chunks without end": (
        JSON + b"Transfer-Encoding: chunked\r\n\r\n" + 3 * (b"fa0\r\n" + 4000 * b" " + b"\r\n"),
        413,
    ),
    # H-23
    "a negative length": (JSON + b"Content-Length: -1\r\n\r\n", 400),
    "a length that is none": (JSON + b"Content-Length: ten\r\n\r\n", 400),
    "two lengths": (JSON + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", 400),
    # H-26, H-29, H-30, H-31
    "a packed body": (JSON + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}", 415),
    "a form": (
        HEAD + b"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 3\r\n\r\na=b",
        415,
    ),
    "parts": (
        HEAD + b"Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 2\r\n\r\n--",
        415,
    ),
    "no type": (HEAD + b"Content-Length: 2\r\n\r\n{}", 415),
    "plain text": (HEAD + b"Content-Type: text/plain\r\nContent-Length: 2\r\n\r\n{}", 415),
    "utf-16": (
        HEAD + b"Content-Type: application/json; charset=utf-16\r\nContent-Length: 2\r\n\r\n{}",
        415,
    ),
    # H-21, H-35
    "a long header": (b"GET /health HTTP/1.1\r\nHost: localhost\r\nX: " + 100_000 * b"a", 400),
    "many headers": (b"GET /health HTTP/1.1\r\nHost: localhost\r\n" + 9000 * b"A: b\r\n", 400),
    "no HTTP": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 4 + b"\r\n\r\n", 400),
    # H-27
    "a body that is no JSON": (JSON + b"Content-Length: 2\r\n\r\n{]", 400),
    "an unknown model": (JSON + b"Content-Length: %d\r\n\r\n" % len(WHOLE) + WHOLE, 404),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_no_client_sends_is_refused(narrow: Serving, name: str) -> None:
    request, expected = REFUSED[name]
    assert status(narrow, request) == expected
    with narrow.client() as client:
        assert client.get("/health").status_code == 200
    wait_for(lambda: narrow.house.admission.inside == 0)


@pytest.mark.parametrize(
    "begun", [b"", b"GET /health HTTP/1.1\r\nHost: loc", JSON + b"Content-Length: 100\r\n\r\n{"]
)
def test_what_comes_too_slowly_is_refused(hasty: Serving, begun: bytes) -> None:
    """H-24: of connections, headers and bodies."""
    assert status(hasty, begun) == 408
    wait_for(lambda: hasty.house.admission.inside == 0)


@pytest.mark.parametrize("version", [b"HTTP/1.0", b"HTTP/1.1"])
def test_old_and_new_http_are_understood(narrow: Serving, version: bytes) -> None:
    """H-35."""
    for more in (b"", b"Upgrade: h2c\r\nConnection: upgrade\r\n", b"Expect: 100-continue\r\n"):
        request = b"GET /health " + version + b"\r\nHost: localhost\r\n" + more + b"\r\n"
        assert status(narrow, request) == 200


def test_connections_are_bounded_and_given_back(narrow: Serving) -> None:
    """H-33."""
    connections = narrow.server.server_state.connections
    wait_for(lambda: not connections)  # those of other tests
    process = psutil.Process()
    before = process.num_fds()
    idle = [connected(narrow) for _ in range(8)]
    try:
        with connected(narrow) as one_more:
            assert one_more.recv(10) == b""  # refused at the door
    finally:
        for each in idle:
            each.close()
    wait_for(lambda: not connections)
    with narrow.client() as client:
        assert client.get("/health").status_code == 200
    wait_for(lambda: process.num_fds() <= before + 2)


def test_several_requests_on_one_connection_are_answered_in_order(narrow: Serving) -> None:
    """H-34."""
    with connected(narrow) as connection:
        one = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
        connection.sendall(one + b"GET /none HTTP/1.1\r\nHost: localhost\r\n\r\n" + one)
        found = b""
        while found.count(b"HTTP/1.1 ") < 3:
            found += connection.recv(65536) or pytest.fail(f"no more came after {found!r}")
    assert [part[:3] for part in found.split(b"HTTP/1.1 ")[1:]] == [b"200", b"404", b"200"]


def test_who_hangs_up_amid_a_body_leaves_nothing(narrow: Serving) -> None:
    """H-34."""
    connection = connected(narrow)
    connection.sendall(JSON + b"Content-Length: 5000\r\n\r\n{")
    wait_for(lambda: narrow.house.admission.inside == 1)
    connection.close()
    wait_for(lambda: narrow.house.admission.inside == 0)


def test_who_does_not_read_is_given_up(start: Start) -> None:
    """H-25: others are served meanwhile, and its answer is freed."""
    limits = replace(PATIENT, stream_seconds=0.5)
    with start(limits=limits) as serving, serving.client() as client:
        body = {"model": serving.model, **long_answer(1000, stream=True, logprobs=True)}
        client.post("/v1/chat/completions", json={**body, "max_tokens": 1}).raise_for_status()
        sent = json.dumps({**body, "top_logprobs": 20, "n": 8}).encode()
        with socket.socket() as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.connect(("127.0.0.1", serving.port))
            connection.sendall(JSON + b"Content-Length: %d\r\n\r\n" % len(sent) + sent)
            wait_for(lambda: serving.house.admission.inside == 1)
            assert client.get("/health").status_code == 200
            wait_for(lambda: serving.house.admission.inside == 0)
            wait_for(lambda: serving.worker().busy == 0)
