"""Who may call: the catalogue's lines on Host, Origin, keys and paths, over every route."""

from __future__ import annotations

import base64
import socket
from collections.abc import Iterator

import httpx
import pytest
from fastapi.routing import APIRoute

from fathom.errors import RequestError
from fathom.serving.guarding import OPEN_PATHS, Door, is_loopback
from serving.conftest import Serving, Start
from waiting import LONGEST

KEY = "sk-canary-5f0c-a-key-of-the-tests"
FRIEND = "https://friend.example:8443"
BODY = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def guarded(start: Start) -> Iterator[Serving]:
    """A server with a key, at an address that others reach, for one web page besides its own."""
    door = Door("0.0.0.0", names=("model.example",), origins=(FRIEND,), key=KEY)
    with start(door=door) as running:
        yield running


def routes(serving: Serving) -> list[tuple[str, str]]:
    """Every method and path that the application answers."""
    found = [
        (method, route.path.replace("{", "").replace("}", ""))
        for route in flat(serving.app.routes.router.routes)
        for method in sorted(route.methods)
    ]
    assert len(found) > 15
    return found


def flat(held: object) -> Iterator[APIRoute]:
    """Yield the routes of a router and of those in it."""
    for route in held:  # type: ignore[attr-defined]
        if isinstance(route, APIRoute):
            yield route
        else:
            inner = getattr(route, "original_router", None) or getattr(route, "router", None)
            yield from flat(inner.routes if inner is not None else ())


def raw(serving: Serving, request: bytes) -> bytes:
    """Return the first bytes of what comes back."""
    with socket.create_connection(("127.0.0.1", serving.port), timeout=LONGEST) as connection:
        connection.sendall(request)
        return connection.recv(4096)


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def test_every_route_needs_the_key(guarded: Serving) -> None:
    """H-01: a new route is asked here without anybody writing it down."""
    with guarded.client() as client:
        for method, path in routes(guarded):
            found = client.request(method, path, headers=BODY)
            assert (found.status_code == 200) == (path in OPEN_PATHS), path
            if path not in OPEN_PATHS:
                assert found.status_code == 401 and "www-authenticate" in found.headers
            known = client.request(method, path, headers={**BODY, "authorization": f"Bearer {KEY}"})
            assert known.status_code not in (401, 403)


WRONG = {
    "wrong": [("Authorization", "Bearer sk-other")],
    "a prefix": [("Authorization", f"Bearer {KEY[:-1]}")],
    "longer": [("Authorization", f"Bearer {KEY}x")],
    "large": [("Authorization", "Bearer " + "a" * 50_000)],
    "twice": [("Authorization", f"Bearer {KEY}"), ("Authorization", f"Bearer {KEY}")],
    "two keys": [("Authorization", f"Bearer {KEY}"), ("X-Api-Key", "other")],
    "lower case": [("Authorization", f"bearer {KEY}")],
    "another scheme": [("Authorization", f"Digest {KEY}")],
    "broken": [("Authorization", "Basic !!!")],
    "empty": [("Authorization", "Bearer")],
    "none": [],
}
RIGHT = {
    "bearer": [("Authorization", f"Bearer {KEY}")],
    "as Anthropic's clients": [("X-Api-Key", KEY)],
    "as a browser's user": [
        ("Authorization", "Basic " + base64.b64encode(f"me:{KEY}".encode()).decode())
    ],
}


@pytest.mark.parametrize("name", [*WRONG, *RIGHT])
def test_only_the_whole_key_opens(guarded: Serving, name: str) -> None:
    """H-02."""
    headers = httpx.Headers({**WRONG, **RIGHT}[name])
    with guarded.client() as client:
        assert client.get("/v1/models", headers=headers).status_code == (
            200 if name in RIGHT else 401
        )


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost:1", 200),
        ("127.0.0.1", 200),
        ("[::1]:80", 200),
        ("LOCALHOST", 200),
        ("evil.com", 403),
        ("localhost.evil.com", 403),
        ("evil.com:8000", 403),
        ("x/health?", 400),
        ("a@b", 400),
        ("", 400),
        ("localhost:port", 400),
        ("8.8.8.8", 403),
    ],
)
def test_the_host_must_be_meant(serving: Serving, host: str, expected: int) -> None:
    """H-04, H-05, D-03."""
    request = f"GET /health HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
    assert status(raw(serving, request)) == expected


def test_beyond_loopback_a_name_must_be_listed(guarded: Serving) -> None:
    """H-04, D-03: an address cannot be rebound, a name can."""
    for host, expected in {"model.example": 200, "192.0.2.7:80": 200, "evil.com": 403}.items():
        request = f"GET /health HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
        assert status(raw(guarded, request)) == expected


@pytest.mark.parametrize(
    "request_",
    [b"GET /health HTTP/1.1\r\n\r\n", b"GET /health HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"],
)
def test_there_is_exactly_one_host(serving: Serving, request_: bytes) -> None:
    """H-05."""
    assert status(raw(serving, request_)) == 400


@pytest.mark.parametrize(
    "path",
    [
        *("//v1/models", "/v1/../v1/models", "/%76%31/models", "/v1/models;x", "/v1/models."),
        *("http://127.0.0.1/v1/models", "/health/../v1/models", "/health%2f..%2fv1/models"),
        *("//health", "/health/x", "/%2e%2e/health"),
    ],
)
def test_no_spelling_of_a_path_goes_round_the_key(guarded: Serving, path: str) -> None:
    """H-05, H-10."""
    request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    assert status(raw(guarded, request)) in (400, 401)


@pytest.mark.parametrize("name", ["X-HTTP-Method-Override", "X-Forwarded-Host", "X-Forwarded-For"])
def test_what_a_caller_says_of_itself_is_not_believed(guarded: Serving, name: str) -> None:
    """H-06."""
    with guarded.client() as client:
        value = {"X-HTTP-Method-Override": "OPTIONS"}.get(name, "localhost")
        assert client.get("/v1/models", headers={name: value}).status_code == 401


FOREIGN = [
    *("https://evil.com", "null", "http://localhost.evil.com", "http://evil.com:8000"),
    *(FRIEND + ".evil.com", FRIEND.replace(".", "x"), FRIEND.replace("https", "http"), ""),
]


@pytest.mark.parametrize("origin", FOREIGN)
@pytest.mark.parametrize("method", ["POST", "OPTIONS", "DELETE"])
def test_pages_of_others_may_not_ask(guarded: Serving, origin: str, method: str) -> None:
    """H-07, H-08, H-09, D-04."""
    headers = {**BODY, "origin": origin, "authorization": f"Bearer {KEY}"}
    with guarded.client() as client:
        found = client.request(method, "/v1/chat/completions", headers=headers)
        assert found.status_code == 403
        assert not [name for name in found.headers if name.startswith("access-control")]


def test_a_page_that_is_allowed_may_ask(guarded: Serving) -> None:
    """H-09: its origin is told exactly, and never together with credentials."""
    with guarded.client() as client:
        before = client.options("/v1/models", headers={"origin": FRIEND})
        assert before.status_code == 204 and before.headers["vary"] == "origin"
        asked = client.get("/v1/models", headers={"origin": FRIEND, "x-api-key": KEY})
        for found in (before, asked):
            assert found.headers["access-control-allow-origin"] == FRIEND
            assert "access-control-allow-credentials" not in found.headers
        own = {"origin": guarded.url, "x-api-key": KEY, **BODY}
        assert client.post("/v1/unload", headers=own, json={"model": "x"}).status_code == 404


def test_reading_gives_other_pages_no_header(serving: Serving) -> None:
    """H-07."""
    with serving.client() as client:
        found = client.get("/health", headers={"origin": "https://evil.com"})
        assert not [name for name in found.headers if name.startswith("access-control")]


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::", "example.com"])
def test_others_are_not_let_in_without_a_key(host: str, monkeypatch) -> None:
    """D-01."""
    import argparse

    from fathom.cli import serve

    parser = argparse.ArgumentParser()
    serve.arguments(parser)
    monkeypatch.delenv("FATHOM_API_KEY", raising=False)
    assert not is_loopback(host)
    with pytest.raises(RequestError, match="FATHOM_API_KEY"):
        serve._door(parser.parse_args(["--host", host]))
    monkeypatch.setenv("FATHOM_API_KEY", KEY)
    assert serve._door(parser.parse_args(["--host", host])).key == KEY
    assert serve._door(parser.parse_args([])).host == "127.0.0.1"


def test_a_key_is_not_shown(guarded: Serving) -> None:
    """S-10."""
    assert KEY not in repr(Door(key=KEY))
