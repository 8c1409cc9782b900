"""Bodies read whole, within bounds of size and time, and callers who leave before their answer."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fathom.errors import BusyError
from fathom.serving.admission import Admission
from fathom.serving.faults import Fault
from fathom.serving.limits import Limits
from fathom.serving.refusals import RefusedError, send_refusal

BODILESS = frozenset({"GET", "HEAD", "OPTIONS"})
JSON = ("application/json", "application/json; charset=utf-8", "application/json;charset=utf-8")
BODIES = 8  # bodies of the largest size that are held at once, or more that are smaller


class Callers:
    """Lets in asks that have a place, reads their bodies, and cancels those whose caller left.

    What is not JSON is refused before it is read, and so is what is packed: a few bytes may
    unfold to any number.
    """

    def __init__(self, app: ASGIApp, admission: Admission, limits: Limits) -> None:
        self._app = app
        self._admission = admission
        self._limits = limits
        self._held = 0  # bytes of all bodies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read the body of an ask, then hand it on whole."""
        if scope["type"] != "http" or scope["method"] in BODILESS:
            await self._app(scope, receive, send)
            return
        try:
            with self._admission.admitted():
                await self._answered(scope, receive, send)
        except RefusedError as refused:
            await send_refusal(refused.fault, scope, receive, send)
        except BusyError as error:
            fault = Fault.of(error)
            if self._admission.closed:
                fault = replace(fault, status=503)
            await send_refusal(fault, scope, receive, send)

    async def _answered(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._require_head(scope)
        body = bytearray()
        try:
            try:
                async with asyncio.timeout(self._limits.body_seconds):
                    await self._read(receive, body)
            except TimeoutError:
                raise RefusedError(408, "the body took too long to come", "E_SLOW") from None
            except ConnectionError:
                return
            await self._with_caller(scope, bytes(body), receive, send)
        finally:
            self._held -= len(body)

    def _require_head(self, scope: Scope) -> None:
        """Refuse by the headers alone what would not be read anyway."""
        headers = {name: value.decode("latin-1").lower() for name, value in scope["headers"]}
        if headers.get(b"content-encoding", "identity") != "identity":
            raise RefusedError(415, "packed bodies are not taken; send plain JSON", "E_ENCODING")
        length = headers.get(b"content-length", "0")
        if not length.isdigit():
            raise RefusedError(400, "Content-Length is no number", "E_LENGTH")
        if int(length) > self._limits.body:
            raise self._too_large()
        has_body = length != "0" or b"transfer-encoding" in headers
        if has_body and headers.get(b"content-type", "") not in JSON:
            raise RefusedError(
                415, "bodies are JSON in UTF-8; send 'Content-Type: application/json'", "E_TYPE"
            )

    async def _read(self, receive: Receive, body: bytearray) -> None:
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ConnectionError
            part = message.get("body", b"")
            if len(body) + len(part) > self._limits.body:
                raise self._too_large()
            if self._held + len(part) > BODIES * self._limits.body:
                raise BusyError("too many large bodies at once; send it again later", 5.0)
            body += part
            self._held += len(part)
            if not message.get("more_body", False):
                return

    async def _with_caller(self, scope: Scope, body: bytes, receive: Receive, send: Send) -> None:
        """Run the app, and cancel it when the caller leaves before the answer is whole."""
        given = False
        gone = asyncio.Event()

        async def replay() -> Message:
            nonlocal given
            if not given:
                given = True
                return {"type": "http.request", "body": body, "more_body": False}
            await gone.wait()
            return {"type": "http.disconnect"}

        async def watch() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass
            gone.set()

        answering = asyncio.ensure_future(self._app(scope, replay, send))
        watching = asyncio.ensure_future(watch())
        try:
            await asyncio.wait((answering, watching), return_when=asyncio.FIRST_COMPLETED)
        finally:
            watching.cancel()
            if not answering.done():
                answering.cancel()
            with suppress(asyncio.CancelledError):
                await answering

    def _too_large(self) -> RefusedError:
        most = self._limits.body
        return RefusedError(413, f"a body may have {most:,} bytes; send less at once", "E_LARGE")
