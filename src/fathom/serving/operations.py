"""Routes about the server itself: is it well, what does it do, what would something cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse, Response
from pydantic_core import to_jsonable_python

from fathom.planning.fit import Fit
from fathom.serving.metrics import CONTENT_TYPE
from fathom.serving.schemas import Body, Name
from fathom.serving.shapes.routing import ShapeRoute

if TYPE_CHECKING:
    from fathom.serving.house import House

Positive = Annotated[int | None, Query(ge=1, le=2**31)]


class Named(Body):
    """A model by its name."""

    model: Name


def router(house: House) -> APIRouter:
    """Return the routes about a house."""
    routes = APIRouter(tags=["server"], route_class=ShapeRoute)

    @routes.get("/health")
    def health() -> JSONResponse:
        """Tell whether the server takes asks: 200, or 503 while it ends."""
        if house.admission.closed:
            return JSONResponse({"status": "ending"}, 503, {"retry-after": "5"})
        return JSONResponse({"status": "ok"})

    @routes.get("/metrics")
    def metrics() -> Response:
        """Return requests, tokens, seconds, pages and memory in Prometheus' format."""
        return Response(house.metrics.text(), media_type=CONTENT_TYPE)

    @routes.get("/v1/status")
    def status() -> JSONResponse:
        """Return the models in memory and what the server may use."""
        models = [
            {
                "name": one.name,
                "memory_bytes": one.memory_bytes,
                "context": one.context,
                "expires": one.expires,
                "running": one.running,
                "waiting": one.waiting,
            }
            for one in house.resident()
        ]
        budget, inside = house.residents.budget, house.admission.inside
        return JSONResponse({"models": models, "budget_bytes": budget, "requests": inside})

    @routes.post("/v1/unload")
    async def unload(named: Named) -> JSONResponse:
        """Take a model out of memory when its answers are done."""
        return JSONResponse({"unloaded": await house.unload(named.model)})

    @routes.get("/v1/fit")
    async def fit(
        model: Annotated[str, Query(max_length=256)],
        prompt_tokens: Positive = None,
        max_tokens: Positive = None,
        context: Positive = None,
        batch: Annotated[int, Query(ge=1, le=4096)] = 1,
        on: Annotated[str, Query(max_length=64)] = "this",
        dtype: Literal["float32", "bfloat16", "float16"] | None = None,
        quant: Annotated[str | None, Query(max_length=32)] = None,
    ) -> JSONResponse:
        """Tell what a model or a request would cost: bytes by term, seconds, whether it fits.

        Nothing is opened or computed for it. With `prompt_tokens` and `max_tokens` it is about
        one answer of that length.
        """
        if prompt_tokens is not None or max_tokens is not None:
            context = (prompt_tokens or 1) + (max_tokens or 1)
        asked = {"context": context, "dtype": dtype, "quant": quant}
        given = {name: value for name, value in asked.items() if value is not None}
        found = await house.fit(model, on=on, batch=batch, **given)
        said = to_jsonable_python(found, inf_nan_mode="null")
        said["total_bytes"] = found.prediction.total_bytes
        if isinstance(found, Fit) and context is not None:
            said["answer"] = _answer(found, prompt_tokens or 1, max_tokens or 1)
        return JSONResponse(said)

    return routes


def _answer(found: Fit, read: int, written: int) -> dict[str, float | None]:
    """Return the seconds of one answer."""
    first = found.prediction.seconds_to_first_token(read)
    rate = found.prediction.decode_tokens_per_second
    whole = None if first is None or not rate else first + (written - 1) / rate
    return {"seconds_to_first_token": first, "decode_tokens_per_second": rate, "seconds": whole}
