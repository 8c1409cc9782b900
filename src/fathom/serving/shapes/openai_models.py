"""``/v1/models``, which OpenAI's clients and Anthropic's read alike."""

from __future__ import annotations

from datetime import UTC, datetime

from fastapi import APIRouter
from starlette.responses import Response

from fathom.errors import NotFoundError, nearest
from fathom.serving.service import Offered, Service
from fathom.serving.shapes.routing import answered, shape_router


def router(service: Service) -> APIRouter:
    """Return the routes of models."""
    routes = shape_router("models")

    @routes.get("/v1/models", summary="List the models that may be asked for")
    def models() -> Response:
        found = [_entry(one) for one in service.offered()]
        names = [one["id"] for one in found]
        ends = {"first_id": names[0] if names else None, "last_id": names[-1] if names else None}
        return answered({"object": "list", "data": found, "has_more": False, **ends})

    @routes.get("/v1/models/{model:path}", summary="Tell about one model")
    def model(model: str) -> Response:
        return answered(_entry(offered(service, model)))

    return routes


def offered(service: Service, name: str) -> Offered:
    """Return an offered model by its name, with or without Ollama's ``:latest``.

    Raises:
        NotFoundError: for one that is not offered.
    """
    known = {one.name: one for one in service.offered()}
    found = known.get(name) or known.get(name.removesuffix(":latest"))
    if found is None:
        raise NotFoundError(f"the model {name[:80]!r} is not offered here.{nearest(name, known)}")
    return found


def _entry(one: Offered) -> dict[str, object]:
    card = one.card
    return {
        "id": one.name,
        "object": "model",
        "created": int(one.modified),
        "owned_by": "fathom",
        "type": "model",
        "display_name": card.title or one.name,
        "created_at": datetime.fromtimestamp(one.modified, UTC).isoformat(),
        "context_length": card.context,
        "model_class": card.model_class,
        "parameters": card.parameters,
        "inputs": list(card.inputs),
        "outputs": list(card.outputs),
    }
