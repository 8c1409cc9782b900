"""Around every request: an id, headers that keep browsers careful, a line without content."""

from __future__ import annotations

import asyncio
import logging
import secrets
from time import monotonic

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fathom.errors import FathomError
from fathom.serving.faults import Fault
from fathom.serving.limits import Limits
from fathom.serving.metrics import Metrics
from fathom.serving.refusals import send_refusal

logger = logging.getLogger("fathom.serving")

HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
)
LONGEST_PATH = 100  # characters of it in the log


class UnreadError(Exception):
    """Nobody reads what is sent. Never leaves the server."""


class Recorder:
    """Gives every request an id, and a line in the log: no prompt, no key, no query."""

    def __init__(self, app: ASGIApp, limits: Limits, metrics: Metrics) -> None:
        self._app = app
        self._limits = limits
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the app; what it did not catch becomes a refusal without a word of ours in it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        name = f"req_{secrets.token_hex(8)}"
        scope.setdefault("state", {})["request_id"] = name
        begun, status = monotonic(), 0

        async def told(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                stated = {each for each, _ in message.get("headers", [])}
                ours = [pair for pair in HEADERS if pair[0] not in stated]
                identity = (b"x-request-id", name.encode())
                message["headers"] = [*message.get("headers", []), *ours, identity]
            try:
                async with asyncio.timeout(self._limits.stream_seconds):
                    await send(message)
            except TimeoutError:
                raise UnreadError from None

        try:
            await self._app(scope, receive, told)
        except UnreadError:
            logger.info("%s was not read and is given up", name)
        except Exception as error:
            if not isinstance(error, FathomError):
                logger.error("%s: %s", name, _place(error))
            if status:  # the answer began: all that can be said is that it ends here
                raise
            await send_refusal(Fault.of(error), scope, receive, told)
        finally:
            route = getattr(scope.get("route"), "path", "none")
            self._metrics.request(route, status)
            path = ascii(scope["path"][:LONGEST_PATH])
            took = 1000 * (monotonic() - begun)
            logger.info("%s %s %s %d %.0f ms", name, scope["method"], path, status, took)


def _place(error: BaseException) -> str:
    """Return the kind of an error and where it arose, and none of its words."""
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    where = "" if last is None else f" in {last.tb_frame.f_code.co_qualname}:{last.tb_lineno}"
    return f"{type(error).__name__}{where}"
