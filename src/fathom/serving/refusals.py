"""Refusals before a route is reached, in the envelope of the path's own shape."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.types import Receive, Scope, Send

from fathom.serving.faults import Fault, refusal


class RefusedError(Exception):
    """Something that is turned away with a status. Never leaves the server."""

    def __init__(
        self, status: int, message: str, code: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.fault = Fault(status, message, code)
        self.headers = dict(headers or {})


async def send_refusal(
    fault: Fault,
    scope: Scope,
    receive: Receive,
    send: Send,
    headers: Mapping[str, str] | None = None,
) -> None:
    """Answer with a fault and let go of the connection: its body may not have been read."""
    response = refusal(scope["path"], fault)
    response.headers.update({"connection": "close", **(headers or {})})
    await response(scope, receive, send)
