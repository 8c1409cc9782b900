"""OpenAI's ``/v1/embeddings``: https://platform.openai.com/docs/api-reference/embeddings."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from fastapi import APIRouter
from starlette.responses import Response

from fathom.errors import RequestError
from fathom.serving.bounds import number, size
from fathom.serving.schemas import Body, Name, Text, Tokens
from fathom.serving.service import Service
from fathom.serving.shapes.routing import answered, shape_router

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Dimensions = Annotated[int, number("dimensions")]
Texts = Annotated[list[Text], size("texts")]


class EmbeddingBody(Body):
    """Texts to turn into vectors."""

    harmless: ClassVar[frozenset[str]] = frozenset({"user"})
    model: Name
    input: Text | Tokens | Texts | Annotated[list[Tokens], size("texts")]
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: Dimensions | None = None


def router(service: Service) -> APIRouter:
    """Return the routes of embeddings."""
    routes = shape_router("openai")

    @routes.post("/v1/embeddings", summary="Turn texts into vectors")
    async def embed(body: EmbeddingBody) -> Response:
        texts = await _texts(service, body)
        found = await service.embed(body.model, texts)
        vectors, warnings = shortened(found.vectors, body.dimensions)
        packed = body.encoding_format == "base64"
        data = [
            {"object": "embedding", "index": at, "embedding": _packed(row) if packed else row}
            for at, row in enumerate(vectors if packed else vectors.tolist())
        ]
        usage = {"prompt_tokens": found.tokens, "total_tokens": found.tokens}
        said = {"object": "list", "data": data, "model": body.model, "usage": usage}
        return answered(said, [*body.warnings(), *warnings])

    return routes


async def _texts(service: Service, body: EmbeddingBody) -> list[str]:
    """Return the texts of an input; token ids are spelled out."""
    given: object = body.input
    if isinstance(given, str):
        return [given]
    rows = given if isinstance(given, list) else []
    if rows and isinstance(rows[0], int):
        rows = [rows]
    return [row if isinstance(row, str) else await service.decode(body.model, row) for row in rows]


def shortened(
    vectors: NDArray[np.float32], dimensions: int | None
) -> tuple[NDArray[np.float32], Sequence[str]]:
    """Return the first numbers of each vector, brought to length one again, and what to say of it.

    Kusupati et al., 2022 (arXiv 2205.13147): models trained so lose little by that.

    Raises:
        RequestError: for more numbers than there are.
    """
    import numpy as np

    width = vectors.shape[1]
    if dimensions is None or dimensions == width:
        return vectors, ()
    if dimensions > width:
        raise RequestError(f"dimensions {dimensions:,}: vectors of this model have {width:,}")
    cut = vectors[:, :dimensions]
    lengths = np.linalg.norm(cut, axis=1, keepdims=True)
    scaled = cut / np.maximum(lengths, np.finfo(np.float32).tiny)
    said = f"vectors are the first {dimensions:,} of {width:,} numbers, brought to length one"
    return scaled.astype(np.float32), (said,)


def _packed(row: NDArray[np.float32]) -> str:
    """Return a vector as the base64 of its float32 numbers, the lowest byte first."""
    return base64.b64encode(row.astype("<f4").tobytes()).decode()
