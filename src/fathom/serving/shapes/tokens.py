"""``/tokenize`` and ``/detokenize``, with and without ``/v1``, as llama.cpp and vLLM spell them."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from starlette.responses import Response

from fathom.errors import RequestError
from fathom.serving.bounds import size
from fathom.serving.schemas import Body, Name, Text, Tokens
from fathom.serving.service import ChatAsk, Service
from fathom.serving.shapes.choosing import model_or_only
from fathom.serving.shapes.openai_chat import Message, messages_of
from fathom.serving.shapes.openai_models import offered
from fathom.serving.shapes.routing import answered, shape_router


class TokenizeBody(Body):
    """A text, which llama.cpp calls content and vLLM prompt, or a conversation to count."""

    model: Name | None = None
    content: Text | None = None
    prompt: Text | None = None
    messages: Annotated[list[Message], size("messages")] | None = None
    add_special: bool | None = None
    add_special_tokens: bool | None = None
    with_pieces: bool | None = None
    return_token_strs: bool | None = None


class DetokenizeBody(Body):
    """Token ids."""

    model: Name | None = None
    tokens: Tokens


def router(service: Service) -> APIRouter:
    """Return the routes of tokens."""
    routes = shape_router("tokens")

    async def tokenize(body: TokenizeBody) -> Response:
        model = model_or_only(service, body.model)
        most = offered(service, model).card.context
        if body.messages is not None:
            ask = ChatAsk(model=model, messages=messages_of(body.messages))
            count = await service.count(ask)
            return answered({"count": count, "max_model_len": most}, body.warnings())
        text = body.content if body.content is not None else body.prompt
        if text is None:
            raise RequestError("give a text as content or prompt, or messages")
        special = _special(body)
        tokens = list(await service.encode(model, text, special=special))
        said: dict[str, object] = {"tokens": tokens, "count": len(tokens), "max_model_len": most}
        if body.with_pieces or body.return_token_strs:
            pieces = [await service.decode(model, [token]) for token in tokens]
            said["token_strs"] = pieces
            if body.with_pieces:
                said["tokens"] = [
                    {"id": token, "piece": piece}
                    for token, piece in zip(tokens, pieces, strict=True)
                ]
        return answered(said, body.warnings())

    async def detokenize(body: DetokenizeBody) -> Response:
        model = model_or_only(service, body.model)
        text = await service.decode(model, body.tokens)
        return answered({"content": text, "prompt": text}, body.warnings())

    for prefix in ("", "/v1"):
        routes.post(prefix + "/tokenize", summary="Cut a text into token ids")(tokenize)
        routes.post(prefix + "/detokenize", summary="Join token ids to a text")(detokenize)
    return routes


def _special(body: TokenizeBody) -> bool:
    """Return whether special tokens are added: by llama.cpp's default not, by vLLM's they are."""
    stated = (body.add_special, body.add_special_tokens, body.content is None)
    return next(each for each in stated if each is not None)
