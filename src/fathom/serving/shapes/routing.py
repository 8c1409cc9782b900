"""Routes of a shape: bodies read strictly before anything else, refusals in the shape's words."""

from __future__ import annotations

import email.message
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

from fastapi import APIRouter
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from fathom.errors import FathomError
from fathom.serving.faults import Fault, refusal
from fathom.serving.schemas import parsed
from fathom.serving.streams import warning_headers

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class _Read(Request):
    """A request whose body has been read."""

    raw: bytes
    content: dict[str, object]

    async def body(self) -> bytes:
        """Return the body as it came."""
        return self.raw

    async def json(self) -> dict[str, object]:
        """Return the body."""
        return self.content


class ShapeRoute(APIRoute):
    """A route whose bodies are read strictly, and whose errors have their shape's envelope."""

    def get_route_handler(self) -> Handler:
        """Return what answers a request."""
        handle = super().get_route_handler()
        reads = self.body_field is not None

        async def handled(request: Request) -> Response:
            try:
                return await handle(await _read(request) if reads else request)
            except (FathomError, RequestValidationError, HTTPException) as error:
                return refusal(request.scope["path"], Fault.of(error))

        return handled


async def _read(request: Request) -> Request:
    """Return a request whose body is read.

    Raises:
        RequestError: for a body that is no JSON object.
        HTTPException: for another type than JSON, which a page of another site may not send.
    """
    stated = email.message.Message()
    stated["content-type"] = request.headers.get("content-type", "")
    plain = stated.get_content_charset("utf-8").lower() == "utf-8"
    if stated.get_content_type() != "application/json" or not plain:
        raise HTTPException(415, "send the header Content-Type: application/json, and UTF-8")
    read = _Read(request.scope, request.receive)
    read.raw = await request.body()
    read.content = parsed(read.raw)
    return read


class Refusal(BaseModel):
    """Why a request was refused, in the words of its shape."""

    error: object


_SAID: Mapping[int | str, str] = {
    400: "a field that is not as it must be, or too long a prompt",
    404: "no such model",
    415: "a body that is not JSON",
    429: "too much to do; try again after the seconds of Retry-After",
    503: "an answer that was lost; try again",
    504: "an answer that took too long",
    "4XX": "another refusal",
    "5XX": "a fault of the server",
}
REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"model": Refusal, "description": said} for status, said in _SAID.items()
}


def shape_router(tag: str, prefix: str = "") -> APIRouter:
    """Return an empty router of a shape."""
    return APIRouter(prefix=prefix, tags=[tag], route_class=ShapeRoute, responses=REFUSALS)


def answered(body: Mapping[str, object], warnings: Sequence[str] = ()) -> JSONResponse:
    """Return a whole answer; what was asked for and not done is in it, and in a header."""
    said = {**body, "warnings": list(warnings)} if warnings else body
    return JSONResponse(said, headers=warning_headers(warnings))
