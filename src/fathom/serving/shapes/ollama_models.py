"""The rest of Ollama's API: what models there are, which are in memory, their vectors."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from importlib.metadata import version
from time import perf_counter_ns
from typing import Annotated

from fastapi import APIRouter
from starlette.responses import PlainTextResponse, Response

from fathom.errors import RequestError
from fathom.serving.bounds import size
from fathom.serving.contents import sees
from fathom.serving.schemas import Body, Name, Text
from fathom.serving.service import Offered, Service
from fathom.serving.shapes.ollama_schemas import KeepAlive, Options
from fathom.serving.shapes.openai_embeddings import Dimensions, shortened
from fathom.serving.shapes.openai_models import offered
from fathom.serving.shapes.routing import answered, shape_router
from fathom.spec.card import Card

FOREVER = datetime(9999, 12, 31, tzinfo=UTC)


class ShowBody(Body):
    """A model to tell about."""

    model: Name | None = None
    name: Name | None = None
    verbose: bool | None = None


class EmbedBody(Body):
    """Texts to turn into vectors."""

    model: Name
    input: Text | Annotated[list[Text], size("texts")]
    truncate: bool | None = None
    dimensions: Dimensions | None = None
    keep_alive: KeepAlive | None = None
    options: Options | None = None


class EmbeddingsBody(Body):
    """One text to turn into a vector, as in older days."""

    model: Name
    prompt: Text
    keep_alive: KeepAlive | None = None
    options: Options | None = None


def router(service: Service) -> APIRouter:
    """Return the routes of models and vectors."""
    routes = shape_router("ollama")

    @routes.head("/", include_in_schema=False)
    def running() -> Response:
        return PlainTextResponse("Ollama is running")

    @routes.get("/api/version", summary="Tell the version")
    def told_version() -> Response:
        return answered({"version": version("fathom-models")})

    @routes.get("/api/tags", summary="List the models that may be asked for")
    def tags() -> Response:
        return answered({"models": [_tag(one) for one in service.offered()]})

    @routes.get("/api/ps", summary="List the models in memory")
    def resident() -> Response:
        return answered({"models": _resident(service)})

    @routes.post("/api/show", summary="Tell about one model")
    def show(body: ShowBody) -> Response:
        name = body.model or body.name
        if name is None:
            raise RequestError("say which model: GET /api/tags lists them")
        return answered(_shown(offered(service, name)), body.warnings())

    @routes.post("/api/embed", summary="Turn texts into vectors")
    async def embed(body: EmbedBody) -> Response:
        came = perf_counter_ns()
        texts = [body.input] if isinstance(body.input, str) else body.input
        found = await service.embed(body.model, texts, truncate=bool(body.truncate))
        vectors, warnings = shortened(found.vectors, body.dimensions)
        said = {
            "model": body.model,
            "embeddings": vectors.tolist(),
            "total_duration": perf_counter_ns() - came,
            "load_duration": 0,
            "prompt_eval_count": found.tokens,
        }
        return answered(said, [*body.warnings(), *warnings])

    @routes.post("/api/embeddings", summary="Turn one text into a vector")
    async def embeddings(body: EmbeddingsBody) -> Response:
        found = await service.embed(body.model, [body.prompt])
        return answered({"embedding": found.vectors[0].tolist()}, body.warnings())

    return routes


def tagged(name: str) -> str:
    """Return a name with a tag, which Ollama's clients expect of every model."""
    return name if ":" in name else f"{name}:latest"


def _tag(one: Offered) -> dict[str, object]:
    name = tagged(one.name)
    return {
        "name": name,
        "model": name,
        "modified_at": _time(one.modified),
        "size": one.bytes_on_disk,
        "digest": _digest(one.card),
        "details": _details(one.card),
    }


def _resident(service: Service) -> list[dict[str, object]]:
    return [
        {
            "name": tagged(one.name),
            "model": tagged(one.name),
            "size": one.memory_bytes,
            "size_vram": 0,
            "digest": _digest(one.card),
            "details": _details(one.card),
            "expires_at": FOREVER.isoformat() if one.expires is None else _time(one.expires),
            "context_length": one.context,
        }
        for one in service.resident()
    ]


def _shown(one: Offered) -> dict[str, object]:
    card = one.card
    kind = card.architecture or "unknown"
    facts = {
        "general.architecture": kind,
        "general.basename": card.title or one.name,
        "general.parameter_count": card.parameters,
        f"{kind}.context_length": card.context,
        f"{kind}.vocab_size": card.vocabulary,
    }
    return {
        "license": card.licence or "",
        "modelfile": "",
        "parameters": "",
        "template": "",
        "details": _details(card),
        "model_info": {name: fact for name, fact in facts.items() if fact is not None},
        "capabilities": _capabilities(card),
        "modified_at": _time(one.modified),
    }


def _capabilities(card: Card) -> list[str]:
    """Return what a model can, by the words that Ollama's clients look for."""
    found = ["completion"] if "text" in card.outputs and card.chat_template else []
    found += ["embedding"] if card.model_class == "embedding" else []
    found += ["vision"] if sees(card) else []
    return found or ["completion"]


def _details(card: Card) -> dict[str, object]:
    kind = card.architecture or "unknown"
    return {
        "parent_model": card.lineage[0] if card.lineage else "",
        "format": card.format,
        "family": kind,
        "families": [kind],
        "parameter_size": _counted(card.parameters or 0),
        "quantization_level": next(iter(card.bytes_by_encoding), "unknown"),
    }


def _counted(parameters: int) -> str:
    """Return a number of parameters in words, such as 134.52M."""
    for unit, size_ in (("B", 1e9), ("M", 1e6), ("K", 1e3)):
        if parameters >= size_:
            return f"{parameters / size_:.2f}".rstrip("0").rstrip(".") + unit
    return str(parameters)


def _digest(card: Card) -> str:
    """Return what stands for the files of a model, by where they came from."""
    return hashlib.sha256(card.origin.encode()).hexdigest()


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()
