"""Answers as they come: server-sent events and lines of JSON, ended whatever happens."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import TypeAlias

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from fathom.serving.answers import closed
from fathom.serving.faults import Fault
from fathom.serving.service import Answer

logger = logging.getLogger(__name__)

Chunks: TypeAlias = AsyncIterator[bytes]
EVENTS = "text/event-stream"
LINES = "application/x-ndjson"
WARNINGS = "X-Fathom-Warnings"
DONE = b"data: [DONE]\n\n"


def json_bytes(value: Mapping[str, object]) -> bytes:
    """Return an object as one line of JSON."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def event(value: Mapping[str, object], name: str | None = None) -> bytes:
    """Return a server-sent event, with its name where the shape names them."""
    head = b"" if name is None else f"event: {name}\n".encode()
    return head + b"data: " + json_bytes(value) + b"\n\n"


def line(value: Mapping[str, object]) -> bytes:
    """Return a line of JSON."""
    return json_bytes(value) + b"\n"


def warning_headers(warnings: Sequence[str]) -> dict[str, str]:
    """Return the header that says what was asked for and not done; none where all was."""
    if not warnings:
        return {}
    said = "; ".join(warnings)[:2000].encode("ascii", "replace").decode()
    return {WARNINGS: "".join(each if each.isprintable() else " " for each in said)}


class AnswerStream(StreamingResponse):
    """A response that is written as its answer comes, and that closes the answer at its end.

    What goes wrong after the first byte is told in the stream's own words, and nothing follows.
    """

    def __init__(
        self,
        answer: Answer,
        chunks: Chunks,
        failed: Callable[[Fault], bytes],
        *,
        media_type: str = EVENTS,
        warnings: Sequence[str] = (),
    ) -> None:
        """Take an answer, its chunks, and how the shape words what goes wrong."""
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        headers |= warning_headers(warnings)
        super().__init__(_told(chunks, failed), media_type=media_type, headers=headers)
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Write the response; the answer is closed though it never began to be written."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            await closed(self._answer)


async def _told(chunks: Chunks, failed: Callable[[Fault], bytes]) -> Chunks:
    try:
        async for chunk in chunks:
            yield chunk
    except Exception as error:
        fault = Fault.of(error)
        if fault.status == 500:
            logger.exception("an answer ended by a fault")
        yield failed(fault)
