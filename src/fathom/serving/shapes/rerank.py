"""Documents by their relevance, in the shapes of Jina and Cohere, and of TEI.

    {query, documents, top_n}  →  {results: [{index, relevance_score}], usage}
    {query, texts}             →  [{index, score}]

https://jina.ai/reranker, https://docs.cohere.com/reference/rerank,
https://huggingface.github.io/text-embeddings-inference. One path takes either.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from starlette.responses import JSONResponse, Response

from fathom.errors import RequestError
from fathom.serving.bounds import number, size
from fathom.serving.schemas import Body, Handed, Name, Text
from fathom.serving.service import Service
from fathom.serving.shapes.choosing import model_or_only
from fathom.serving.shapes.openai_common import new_id
from fathom.serving.shapes.routing import answered, shape_router
from fathom.serving.streams import warning_headers

PATHS = ("/v1/rerank", "/rerank", "/v2/rerank")


class Document(Handed):
    """A document as an object."""

    text: Text


class RerankBody(Body):
    """A query and documents, which TEI calls texts."""

    model: Name | None = None
    query: Annotated[str, size("some_text")]
    documents: Annotated[list[Text | Document], size("documents")] | None = None
    texts: Annotated[list[Text], size("documents")] | None = None
    top_n: Annotated[int, number("top_n")] | None = None
    return_documents: bool | None = None
    return_text: bool | None = None


def router(service: Service) -> APIRouter:
    """Return the routes of ranking."""
    routes = shape_router("rerank")

    async def rerank(body: RerankBody) -> Response:
        if (body.documents is None) == (body.texts is None):
            raise RequestError("give either documents, or texts as TEI has them")
        given = body.texts if body.texts is not None else body.documents or []
        texts = [one if isinstance(one, str) else one.text for one in given]
        model = model_or_only(service, body.model, "rerank")
        found = await service.rank(model, body.query, texts)
        best = [(one.index, one.score) for one in found.documents[: body.top_n]]
        if body.texts is not None:
            told = bool(body.return_text)
            scores = [
                {"index": at, "score": score, **({"text": texts[at]} if told else {})}
                for at, score in best
            ]
            return JSONResponse(scores, headers=warning_headers(body.warnings()))
        told = bool(body.return_documents)
        results = [
            {
                "index": at,
                "relevance_score": score,
                **({"document": {"text": texts[at]}} if told else {}),
            }
            for at, score in best
        ]
        usage = {"prompt_tokens": found.tokens, "total_tokens": found.tokens}
        said = {"id": new_id("rerank-"), "object": "list", "model": model, "results": results}
        return answered({**said, "usage": usage}, body.warnings())

    for path in PATHS:
        name = path.strip("/").replace("/", "_")
        routes.post(path, summary="Order documents", operation_id=name)(rerank)
    return routes
