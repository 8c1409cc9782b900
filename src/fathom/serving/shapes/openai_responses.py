"""OpenAI's ``/v1/responses``, whole or as typed events; nothing is kept between requests."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from fathom.serving.answers import closed
from fathom.serving.contents import require_eyes
from fathom.serving.faults import Fault
from fathom.serving.generating import SAME
from fathom.serving.service import Answer, Called, Ended, Event, Service, ToolCall, Written
from fathom.serving.shapes.openai_common import figures, logprob_entry, new_id
from fathom.serving.shapes.responses_schemas import ResponsesBody, asked
from fathom.serving.shapes.routing import answered, shape_router
from fathom.serving.streams import AnswerStream, Chunks, event

Said = Iterator[dict[str, object]]


def router(service: Service) -> APIRouter:
    """Return the routes of responses."""
    routes = shape_router("openai")

    @routes.post("/v1/responses", summary="Answer items")
    async def respond(body: ResponsesBody) -> Response:
        ask, warnings = asked(body)
        require_eyes(service, ask.model, list(map(dict, ask.messages)))
        answer = await service.chat(ask)
        told = _Telling(answer, body, warnings)
        if body.stream:
            warnings = [*warnings, *answer.warnings]
            return AnswerStream(answer, _chunks(answer, told), told.failed, warnings=warnings)
        try:
            async for one in answer:
                for _ in told.taken(one):
                    pass
        finally:
            await closed(answer)
        return answered(told.response, told.warnings)

    return routes


async def _chunks(answer: Answer, told: _Telling) -> Chunks:
    for each in told.begun():
        yield told.chunk(each)
    async for one in answer:
        for each in told.taken(one):
            yield told.chunk(each)


class _Telling:
    """A response as it grows, item by item, and the events that tell of it.

    Attributes:
        response: the response so far.
        warnings: what of what was asked for is not done.
    """

    def __init__(self, answer: Answer, body: ResponsesBody, warnings: Sequence[str]) -> None:
        self._items: list[dict[str, object]] = []
        self._logprobs: list[dict[str, object]] = []
        self._number = 0
        self._open = ""  # the kind of the item that is being written
        self._text = ""
        self.response = _response(answer, body, self._items)
        self.warnings = [*warnings, *answer.warnings]
        self.response |= {"warnings": self.warnings} if self.warnings else {}

    def chunk(self, said: Mapping[str, object]) -> bytes:
        """Return an event with its number."""
        self._number += 1
        return event({**said, "sequence_number": self._number - 1}, str(said["type"]))

    def failed(self, fault: Fault) -> bytes:
        """Return the event of what went wrong on the way."""
        error = {"code": fault.code or "server_error", "message": fault.message}
        response = {**self.response, "status": "failed", "error": error}
        return self.chunk({"type": "response.failed", "response": response})

    def begun(self) -> Said:
        """Yield what comes before the first item."""
        for kind in ("response.created", "response.in_progress"):
            yield {"type": kind, "response": dict(self.response)}

    def taken(self, one: Event) -> Said:
        """Take an event of the answer and yield those that tell of it."""
        if isinstance(one, Written):
            if one.reasoning and (self._open == "reasoning" or one.reasoning.strip()):
                yield from self._more("reasoning", one.reasoning, [])
            if one.text or (one.logprobs and self._open == "message"):
                entries = [logprob_entry(each) for each in one.logprobs]
                yield from self._more("message", one.text, entries)
        elif isinstance(one, Called):
            yield from self._closed()
            yield from self._call(one.call)
        elif isinstance(one, Ended):
            if not self._items:  # an answer without a word is one all the same
                yield from self._opened("message")
            yield from self._closed("incomplete" if one.reason == "length" else "completed")
            yield self._end(one)

    def _more(self, kind: str, text: str, logprobs: list[dict[str, object]]) -> Said:
        """Tell of more text of an item, which may begin with it."""
        if self._open != kind:
            yield from self._closed()
            yield from self._opened(kind)
        self._text += text
        self._logprobs += logprobs
        more: dict[str, object] = {"delta": text}
        if kind == "message":
            more["logprobs"] = logprobs
        yield self._about(f"{_TEXTS[kind]}.delta", **more)

    def _opened(self, kind: str) -> Said:
        self._open, self._text, self._logprobs = kind, "", []
        item: dict[str, object] = {"id": new_id(_IDS[kind]), "type": kind, "status": "in_progress"}
        own: dict[str, object] = {"role": "assistant"} if kind == "message" else {"summary": []}
        self._items.append({**item, **own, "content": []})
        yield self._added()
        yield self._about("response.content_part.added", part=_part(kind, "", []))

    def _closed(self, status: str = "completed") -> Said:
        """Tell that the item at hand is whole."""
        kind, self._open = self._open, ""
        if not kind:
            return
        part = _part(kind, self._text, self._logprobs)
        more = {"logprobs": self._logprobs} if kind == "message" else {}
        yield self._about(f"{_TEXTS[kind]}.done", text=self._text, **more)
        yield self._about("response.content_part.done", part=part)
        self._items[-1] |= {"status": status, "content": [part]}
        yield self._done()

    def _call(self, call: ToolCall) -> Said:
        item: dict[str, object] = {
            "id": new_id("fc_"),
            "type": "function_call",
            "status": "in_progress",
            "call_id": call.id,
            "name": call.name,
            "arguments": "",
        }
        self._items.append(item)
        yield self._added()
        place = {"item_id": item["id"], "output_index": len(self._items) - 1}
        kind = "response.function_call_arguments"
        yield {"type": f"{kind}.delta", **place, "delta": call.arguments}
        yield {"type": f"{kind}.done", **place, "name": call.name, "arguments": call.arguments}
        item |= {"status": "completed", "arguments": call.arguments}
        yield self._done()

    def _end(self, end: Ended) -> dict[str, object]:
        self.warnings += end.notes
        self.response |= {"warnings": self.warnings} if self.warnings else {}
        cut = end.reason == "length"
        status = "incomplete" if cut else "completed"
        self.response |= {
            "status": status,
            "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
            "completed_at": None if cut else int(time.time()),
            "usage": _usage(end),
            "fathom": figures(end),
        }
        return {"type": f"response.{status}", "response": dict(self.response)}

    def _added(self) -> dict[str, object]:
        at = len(self._items) - 1
        item = dict(self._items[-1])
        return {"type": "response.output_item.added", "output_index": at, "item": item}

    def _done(self) -> dict[str, object]:
        at = len(self._items) - 1
        item = dict(self._items[-1])
        return {"type": "response.output_item.done", "output_index": at, "item": item}

    def _about(self, kind: str, **more: object) -> dict[str, object]:
        """Return an event about the part at hand."""
        at = len(self._items) - 1
        place = {"item_id": self._items[-1]["id"], "output_index": at, "content_index": 0}
        return {"type": kind, **place, **more}


_IDS = {"message": "msg_", "reasoning": "rs_"}
_TEXTS = {"message": "response.output_text", "reasoning": "response.reasoning_text"}


def _part(kind: str, text: str, logprobs: list[dict[str, object]]) -> dict[str, object]:
    if kind == "reasoning":
        return {"type": "reasoning_text", "text": text}
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": logprobs}


def _usage(end: Ended) -> dict[str, object]:
    usage = end.usage
    return {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {"cached_tokens": usage.reused_tokens, "cache_write_tokens": 0},
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
    }


def _response(answer: Answer, body: ResponsesBody, items: list[Any]) -> dict[str, object]:
    """Return a response that has nothing in it yet, with what was asked for."""
    given: dict[str, Any] = body.model_dump(by_alias=True, exclude_none=True)
    return {
        "id": new_id("resp_"),
        "object": "response",
        "created_at": int(time.time()),
        "status": "in_progress",
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": body.instructions,
        "max_output_tokens": body.max_output_tokens,
        "model": answer.model,
        "output": items,
        "parallel_tool_calls": body.parallel_tool_calls is not False,
        "previous_response_id": None,
        "reasoning": {"effort": given.get("reasoning", {}).get("effort"), "summary": None},
        "store": False,
        "text": given.get("text", {"format": {"type": "text"}}),
        "tool_choice": given.get("tool_choice", "auto"),
        "tools": given.get("tools", []),
        "truncation": "disabled",
        "usage": None,
        "metadata": given.get("metadata", {}),
        **{name: given.get(name) for name in SAME if name in ("temperature", "top_p")},
    }
