"""Around a request: an id, careful headers, and a fault of ours that says nothing of itself."""

from __future__ import annotations

import asyncio
import logging

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from fathom.errors import BusyError
from fathom.serving.limits import USUAL
from fathom.serving.recording import HEADERS, Recorder

WORDS = "what a user said"


class Counted:
    """Stands for the metrics."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, int]] = []

    def request(self, route: str, status: int) -> None:
        self.seen.append((route, status))


def answered(
    error: Exception, path: str = "/v1/chat/completions"
) -> tuple[httpx.Response, Counted]:
    async def broken(scope: Scope, receive: Receive, send: Send) -> None:
        raise error

    async def ask() -> tuple[httpx.Response, Counted]:
        counted = Counted()
        transport = httpx.ASGITransport(Recorder(broken, USUAL, counted))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await client.get(path), counted

    return asyncio.run(ask())


@pytest.mark.parametrize("error", [TimeoutError(WORDS), ValueError(WORDS), KeyError(WORDS)])
def test_a_fault_of_ours_is_an_answer_without_a_word_of_it(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    """H-19: and the log has its place, not its words."""
    with caplog.at_level(logging.INFO):
        found, counted = answered(error)
    assert found.status_code == 500 and counted.seen == [("none", 500)]
    assert found.json()["error"]["type"] == "server_error"
    assert WORDS not in found.text + caplog.text
    assert type(error).__name__ in caplog.text and "broken" in caplog.text
    assert found.headers["x-request-id"].startswith("req_")
    assert all(found.headers[name.decode()] == value.decode() for name, value in HEADERS)


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/api/chat", {"error": "later"}),
        (
            "/v1/messages",
            {"type": "error", "error": {"type": "rate_limit_error", "message": "later"}},
        ),
    ],
)
def test_an_error_has_the_words_of_its_path(path: str, said: dict[str, object]) -> None:
    found, _ = answered(BusyError("later", 7), path)
    assert (found.status_code, found.headers["retry-after"], found.json()) == (429, "7", said)
