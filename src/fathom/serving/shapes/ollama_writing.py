"""Ollama's ``/api/chat`` and ``/api/generate``: lines of JSON, with times in nanoseconds."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from time import perf_counter_ns

from fastapi import APIRouter
from starlette.responses import Response

from fathom.generation.results import TokenLogprob
from fathom.serving.answers import Whole, gathered, noted
from fathom.serving.contents import require_eyes
from fathom.serving.faults import Fault, ollama
from fathom.serving.service import (
    Answer,
    Called,
    ChatAsk,
    Ended,
    Service,
    TextAsk,
    ToolCall,
    Written,
)
from fathom.serving.shapes.ollama_schemas import (
    ChatBody,
    GenerateBody,
    Writing,
    chat_ask,
    generate_ask,
    seconds,
)
from fathom.serving.shapes.openai_common import finite, token_bytes
from fathom.serving.shapes.openai_models import offered
from fathom.serving.shapes.routing import answered, shape_router
from fathom.serving.streams import LINES, AnswerStream, Chunks, line

Wrap = Callable[..., dict[str, object]]


@dataclass(frozen=True)
class _Clock:
    """When a request came and when its answer was begun, in nanoseconds."""

    came: int = field(default_factory=perf_counter_ns)

    def times(self, end: Ended, begun: int) -> dict[str, object]:
        """Return the figures of the last line."""
        measured, usage = end.measured, end.usage
        reading = measured.prefill_tokens_per_second
        writing = measured.decode_tokens_per_second
        read = usage.prompt_tokens - usage.reused_tokens
        written = usage.completion_tokens - 1
        return {
            "total_duration": perf_counter_ns() - self.came,
            "load_duration": begun - self.came,
            "prompt_eval_count": usage.prompt_tokens,
            "prompt_eval_duration": int(1e9 * read / reading) if reading else 0,
            "eval_count": usage.completion_tokens,
            "eval_duration": int(1e9 * written / writing) if writing else 0,
        }


def router(service: Service) -> APIRouter:
    """Return the routes of chatting and generating."""
    routes = shape_router("ollama")

    @routes.post("/api/chat", summary="Answer a conversation")
    async def chat(body: ChatBody) -> Response:
        if not body.messages:
            return await _kept(service, body, _message)
        return await _written(service, body, chat_ask(body), _message)

    @routes.post("/api/generate", summary="Answer or continue a prompt")
    async def generate(body: GenerateBody) -> Response:
        if not body.prompt and not body.suffix and not body.images:
            return await _kept(service, body, _response)
        chats = offered(service, body.model).card.chat_template
        return await _written(service, body, generate_ask(body, chats=chats), _response)

    return routes


async def _kept(service: Service, body: Writing, wrap: Wrap) -> Response:
    """Bring a model into memory, or take it out: what an ask without a prompt is for."""
    kept = seconds(body.keep_alive)
    if kept == 0:
        await service.unload(body.model)
    else:
        await service.encode(body.model, "")
    reason = "unload" if kept == 0 else "load"
    said = {**_head(body.model), **wrap(""), "done": True, "done_reason": reason}
    return answered(said, body.warnings())


async def _written(service: Service, body: Writing, ask: ChatAsk | TextAsk, wrap: Wrap) -> Response:
    clock = _Clock()
    if isinstance(ask, ChatAsk):
        require_eyes(service, ask.model, list(map(dict, ask.messages)))
        answer = await service.chat(ask)
    else:
        answer = await service.write(ask)
    begun = perf_counter_ns()
    if body.stream is not False:
        warnings = [*body.warnings(), *answer.warnings]
        lines = _lines(answer, body, wrap, clock, begun)
        return AnswerStream(answer, lines, _failed, media_type=LINES, warnings=warnings)
    (found,) = await gathered(answer)
    said = {
        **_head(body.model),
        **_whole(found, wrap),
        "done": True,
        "done_reason": _reason(found.end),
        **clock.times(found.end, begun),
    }
    return answered(said, [*body.warnings(), *noted(answer, [found])])


def _whole(found: Whole, wrap: Wrap) -> dict[str, object]:
    said = wrap(found.text, found.reasoning.strip(), found.calls)
    if found.logprobs:
        said["logprobs"] = [_logprob(one) for one in found.logprobs]
    return said


async def _lines(answer: Answer, body: Writing, wrap: Wrap, clock: _Clock, begun: int) -> Chunks:
    async for one in answer:
        head = _head(body.model)
        if isinstance(one, Written):
            said = wrap(one.text, one.reasoning)
            if one.logprobs:
                said["logprobs"] = [_logprob(each) for each in one.logprobs]
            yield line({**head, **said, "done": False})
        elif isinstance(one, Called):
            yield line({**head, **wrap("", "", [one.call]), "done": False})
        elif isinstance(one, Ended):
            told = [*body.warnings(), *answer.warnings, *one.notes]
            last = {**head, **wrap(""), "done": True, "done_reason": _reason(one)}
            last |= clock.times(one, begun)
            yield line({**last, **({"warnings": told} if told else {})})


def _head(model: str) -> dict[str, object]:
    return {"model": model, "created_at": datetime.now(UTC).isoformat()}


def _reason(end: Ended) -> str:
    return "length" if end.reason == "length" else "stop"


def _message(text: str, thinking: str = "", calls: Sequence[ToolCall] = ()) -> dict[str, object]:
    """Return text as a chat's lines hold it."""
    message: dict[str, object] = {"role": "assistant", "content": text}
    if thinking:
        message["thinking"] = thinking
    if calls:
        message["tool_calls"] = [_call(at, call) for at, call in enumerate(calls)]
    return {"message": message}


def _response(text: str, thinking: str = "", calls: Sequence[ToolCall] = ()) -> dict[str, object]:
    """Return text as a prompt's lines hold it; no tools are given there."""
    return {"response": text, **({"thinking": thinking} if thinking else {})}


def _call(at: int, call: ToolCall) -> Mapping[str, object]:
    function = {"index": at, "name": call.name, "arguments": json.loads(call.arguments)}
    return {"id": call.id, "function": function}


def _logprob(one: TokenLogprob) -> dict[str, object]:
    return {**_token(one), "top_logprobs": [_token(each) for each in one.top]}


def _token(one: TokenLogprob) -> dict[str, object]:
    return {"token": one.text, "logprob": finite(one.logprob), "bytes": token_bytes(one.text)}


def _failed(fault: Fault) -> bytes:
    return line(ollama(fault))
