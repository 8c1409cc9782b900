"""Anthropic's ``/v1/messages`` and ``/v1/messages/count_tokens``, streamed event by event.

https://docs.anthropic.com/en/docs/build-with-claude/streaming
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from fastapi import APIRouter
from starlette.responses import Response

from fathom.serving.answers import Whole, gathered, noted
from fathom.serving.contents import require_eyes
from fathom.serving.faults import Fault, anthropic
from fathom.serving.service import Answer, Called, Ended, Event, Service, Written
from fathom.serving.shapes.anthropic_schemas import CountBody, MessagesBody, asked
from fathom.serving.shapes.openai_common import figures, new_id
from fathom.serving.shapes.routing import answered, shape_router
from fathom.serving.streams import AnswerStream, Chunks, event


def router(service: Service) -> APIRouter:
    """Return the routes of messages."""
    routes = shape_router("anthropic")

    @routes.post("/v1/messages", summary="Answer a conversation")
    async def messages(body: MessagesBody) -> Response:
        ask, warnings = asked(body)
        require_eyes(service, ask.model, list(map(dict, ask.messages)))
        answer = await service.chat(ask)
        if body.stream:
            warnings += answer.warnings
            return AnswerStream(answer, _chunks(answer, warnings), _failed, warnings=warnings)
        (found,) = await gathered(answer)
        return answered(_message(answer, found), [*warnings, *noted(answer, [found])])

    @routes.post("/v1/messages/count_tokens", summary="Count the tokens of a conversation")
    async def count_tokens(body: CountBody) -> Response:
        ask, warnings = asked(body)
        return answered({"input_tokens": await service.count(ask)}, warnings)

    return routes


def _message(answer: Answer, found: Whole) -> dict[str, object]:
    content: list[dict[str, object]] = []
    if found.reasoning.strip():
        content.append({"type": "thinking", "thinking": found.reasoning.strip(), "signature": ""})
    if found.text:
        content.append({"type": "text", "text": found.text})
    for call in found.calls:
        block = {"type": "tool_use", "id": call.id, "name": call.name}
        content.append({**block, "input": json.loads(call.arguments)})
    end = found.end
    return {
        **_head(answer),
        "content": content,
        **_ending(end),
        "usage": _usage(end),
        "fathom": figures(end),
    }


def _head(answer: Answer) -> dict[str, object]:
    return {"id": new_id("msg_"), "type": "message", "role": "assistant", "model": answer.model}


def _ending(end: Ended) -> dict[str, object]:
    if end.stop is not None:
        return {"stop_reason": "stop_sequence", "stop_sequence": end.stop}
    words = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}
    return {"stop_reason": words[end.reason], "stop_sequence": None}


def _usage(end: Ended) -> dict[str, object]:
    """Return tokens as this API tells them: those known from before apart from those read."""
    usage = end.usage
    return {
        "input_tokens": usage.prompt_tokens - usage.reused_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": usage.reused_tokens,
        "output_tokens": usage.completion_tokens,
    }


async def _chunks(answer: Answer, warnings: Sequence[str]) -> Chunks:
    nothing = {"input_tokens": 0, "output_tokens": 0}
    message = {**_head(answer), "content": [], "stop_reason": None, "stop_sequence": None}
    said = {"warnings": list(warnings)} if warnings else {}
    yield _named({"type": "message_start", "message": {**message, "usage": nothing, **said}})
    yield _named({"type": "ping"})
    blocks = _Blocks()
    async for one in answer:
        for each in blocks.taken(one):
            yield _named(each)
        if isinstance(one, Ended):
            last = {"type": "message_delta", "delta": _ending(one), "usage": _usage(one)}
            yield _named({**last, **({"warnings": list(one.notes)} if one.notes else {})})
    yield _named({"type": "message_stop"})


@dataclass
class _Blocks:
    """The blocks of an answer as they are begun, added to and stopped, one after the other."""

    index: int = -1
    kind: str | None = None

    def taken(self, one: Event) -> Iterator[Mapping[str, object]]:
        """Yield what is to be said of an event."""
        if isinstance(one, Written):
            if one.reasoning and (self.kind == "thinking" or one.reasoning.strip()):
                yield from self._opened("thinking", {"thinking": "", "signature": ""})
                yield self._delta({"type": "thinking_delta", "thinking": one.reasoning})
            if one.text:
                yield from self._opened("text", {"text": ""})
                yield self._delta({"type": "text_delta", "text": one.text})
        elif isinstance(one, Called):
            yield from self._stopped()
            call = one.call
            yield from self._opened("tool_use", {"id": call.id, "name": call.name, "input": {}})
            yield self._delta({"type": "input_json_delta", "partial_json": call.arguments})
        elif isinstance(one, Ended):
            yield from self._stopped()

    def _opened(self, kind: str, block: dict[str, object]) -> Iterator[Mapping[str, object]]:
        if self.kind == kind:
            return
        yield from self._stopped()
        self.index += 1
        self.kind = kind
        content = {"type": kind, **block}
        yield {"type": "content_block_start", "index": self.index, "content_block": content}

    def _stopped(self) -> Iterator[Mapping[str, object]]:
        if self.kind is None:
            return
        if self.kind == "thinking":
            yield self._delta({"type": "signature_delta", "signature": ""})
        self.kind = None
        yield {"type": "content_block_stop", "index": self.index}

    def _delta(self, delta: dict[str, object]) -> Mapping[str, object]:
        return {"type": "content_block_delta", "index": self.index, "delta": delta}


def _named(value: Mapping[str, object]) -> bytes:
    return event(value, str(value["type"]))


def _failed(fault: Fault) -> bytes:
    return _named(anthropic(fault))
