"""The application: routes of every shape over one house, behind one door.

Recorder ─ id, headers, log ─► Guard ─ host, origin, key ─► Callers ─ place, body ─► routes
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib import import_module

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from fathom import __version__
from fathom.serving import operations, page
from fathom.serving.callers import Callers
from fathom.serving.faults import Fault, refusal
from fathom.serving.guarding import Door, Guard
from fathom.serving.house import House
from fathom.serving.recording import Recorder

# Modules with a `router(service)`, in the order of the document.
SHAPES: Sequence[str] = (
    *("openai_models", "openai_chat", "openai_completions", "openai_responses"),
    *("openai_embeddings", "anthropic_messages", "ollama_writing", "ollama_models"),
    *("rerank", "tokens"),
)


@dataclass(frozen=True)
class Application:
    """What is served: `asgi` answers requests, `routes` has them as FastAPI knows them."""

    asgi: ASGIApp
    routes: FastAPI
    house: House


def application(house: House, door: Door | None = None) -> Application:
    """Return a house as an application."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with house.open():
            yield

    routes = FastAPI(
        title="Fathom",
        version=__version__,
        description="Every class of AI model on the hardware you have.",
        lifespan=lifespan,
        docs_url=None,  # a page that fetches its script from elsewhere
        redoc_url=None,
        openapi_url="/openapi.json",
    )
    routes.include_router(operations.router(house))
    for name in SHAPES:
        routes.include_router(import_module(f"fathom.serving.shapes.{name}").router(house))
    routes.include_router(page.router(house))
    routes.add_exception_handler(HTTPException, _refused)
    inner = Callers(routes, house.admission, house.limits)
    guarded = Guard(inner, door or Door())
    return Application(Recorder(guarded, house.limits, house.metrics), routes, house)


async def _refused(request: Request, error: Exception) -> Response:
    """Word what no route took as the shape of its path does."""
    return refusal(request.scope["path"], Fault.of(error))
