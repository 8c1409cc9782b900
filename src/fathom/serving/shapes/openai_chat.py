"""OpenAI's ``/v1/chat/completions``.

https://platform.openai.com/docs/api-reference/chat, with `reasoning_content` as DeepSeek, vLLM and
llama.cpp have it, and their sampling options top_k, min_p and repetition_penalty.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

from fastapi import APIRouter
from pydantic import Field
from starlette.responses import Response

from fathom.errors import RequestError
from fathom.generation.results import TokenLogprob
from fathom.serving.answers import Whole, gathered, noted
from fathom.serving.bounds import size
from fathom.serving.contents import joined, picture_at, require_eyes, text_part
from fathom.serving.faults import Fault, openai
from fathom.serving.generating import plain_options
from fathom.serving.schemas import (
    Bias,
    Body,
    Count,
    Frequency,
    Handed,
    Label,
    Logprobs,
    MaxTokens,
    MinP,
    Name,
    Picture,
    Presence,
    Repetition,
    Seed,
    Stops,
    Temperature,
    Text,
    ToolName,
    TopK,
    TopP,
)
from fathom.serving.service import Answer, Called, ChatAsk, Ended, Event, Service, Written
from fathom.serving.shapes.openai_common import (
    EFFORTS,
    FINGERPRINT,
    Effort,
    Format,
    Function,
    arguments_of,
    call_message,
    choice_of,
    figures,
    format_options,
    logprob_entry,
    new_id,
    tools_of,
    total_usage,
    usage_body,
)
from fathom.serving.shapes.routing import answered, shape_router
from fathom.serving.streams import DONE, AnswerStream, Chunks, event


class Url(Handed):
    """Where a picture is."""

    url: Picture


class Part(Handed):
    """Text or a picture of a message."""

    type: Name
    text: Text | None = None
    image_url: Url | Picture | None = None
    refusal: Text | None = None


class CalledFunction(Handed):
    """The function of an earlier call."""

    name: ToolName
    arguments: Annotated[str, size("arguments")] = "{}"


class EarlierCall(Handed):
    """A call that the model made in an earlier turn."""

    id: Label | None = None
    function: CalledFunction


class Message(Body):
    """A turn of the conversation."""

    harmless: ClassVar[frozenset[str]] = frozenset({"refusal", "annotations", "audio"})
    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: Text | Annotated[list[Part], size("parts")] | None = None
    name: Label | None = None
    tool_calls: Annotated[list[EarlierCall], size("tools")] | None = None
    tool_call_id: Label | None = None
    reasoning_content: Text | None = None
    reasoning: Text | None = None


class FunctionTool(Handed):
    """A tool; only functions can be called here."""

    type: Literal["function"]
    function: Function


class NamedFunction(Handed):
    """The name of a function."""

    name: ToolName


class NamedTool(Handed):
    """The choice of one function."""

    type: Literal["function"]
    function: NamedFunction


class AllowedNames(Handed):
    """Functions of which one may, or must, be called."""

    mode: Literal["auto", "required"]
    tools: Annotated[list[NamedTool], size("tools")]


class AllowedTools(Handed):
    """The choice among some of the functions."""

    type: Literal["allowed_tools"]
    allowed_tools: AllowedNames


class StreamOptions(Body):
    """What a stream ends with."""

    harmless: ClassVar[frozenset[str]] = frozenset({"include_obfuscation"})
    include_usage: bool | None = None


class ChatBody(Body):
    """A conversation to answer."""

    harmless: ClassVar[frozenset[str]] = frozenset(
        {
            *("user", "metadata", "store", "service_tier", "safety_identifier", "modalities"),
            *("prompt_cache_key", "prompt_cache_retention"),
        }
    )
    model: Name
    messages: Annotated[list[Message], size("messages")]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: Count | None = None
    max_tokens: MaxTokens | None = None
    max_completion_tokens: MaxTokens | None = None
    temperature: Temperature | None = None
    top_p: TopP | None = None
    top_k: TopK | None = None
    min_p: MinP | None = None
    presence_penalty: Presence | None = None
    frequency_penalty: Frequency | None = None
    repetition_penalty: Repetition | None = None
    logit_bias: Bias | None = None
    logprobs: bool | None = None
    top_logprobs: Logprobs | None = None
    seed: Seed | None = None
    stop: Stops | None = None
    tools: Annotated[list[FunctionTool], size("tools")] | None = None
    tool_choice: Literal["auto", "none", "required"] | NamedTool | AllowedTools | None = None
    parallel_tool_calls: bool | None = None
    response_format: Format | None = Field(default=None)
    reasoning_effort: Effort | None = None


def router(service: Service) -> APIRouter:
    """Return the routes of chat completions."""
    routes = shape_router("openai")

    @routes.post("/v1/chat/completions", summary="Answer a conversation")
    async def chat(body: ChatBody) -> Response:
        ask = asked(body)
        require_eyes(service, ask.model, list(map(dict, ask.messages)))
        answer = await service.chat(ask)
        warnings = [*body.warnings(), *answer.warnings]
        if body.stream:
            return AnswerStream(answer, _chunks(answer, body, warnings), _failed, warnings=warnings)
        found = await gathered(answer, ask.count)
        return answered(_completion(answer, found), [*body.warnings(), *noted(answer, found)])

    return routes


def asked(body: ChatBody) -> ChatAsk:
    """Return what a body asks of the service.

    Raises:
        RequestError: for fields that do not go together.
    """
    tools = tools_of([each.function for each in body.tools or []])
    chosen = body.tool_choice
    if isinstance(chosen, AllowedTools):
        names = {each.function.name for each in chosen.allowed_tools.tools}
        tools = tuple(tool for tool in tools if tool.name in names)
        choice = choice_of(chosen.allowed_tools.mode, None, tools)
    elif isinstance(chosen, NamedTool):
        choice = choice_of(None, chosen.function.name, tools)
    else:
        choice = choice_of(chosen, None, tools)
    return ChatAsk(
        model=body.model,
        options=_options(body),
        count=body.n or 1,
        messages=messages_of(body.messages),
        tools=tools,
        choice=choice,
        parallel=body.parallel_tool_calls is not False,
    )


def _options(body: ChatBody) -> dict[str, object]:
    if body.top_logprobs is not None and not body.logprobs:
        raise RequestError("top_logprobs needs logprobs: true")
    options = plain_options(body)
    options |= format_options(body.response_format)
    options["max_tokens"] = body.max_completion_tokens or body.max_tokens
    options["logprobs"] = (body.top_logprobs or 0) if body.logprobs else None
    if body.reasoning_effort is not None:
        options["reasoning_budget"] = EFFORTS[body.reasoning_effort]
    return {name: value for name, value in options.items() if value is not None}


def messages_of(messages: Sequence[Message]) -> list[dict[str, object]]:
    """Return messages as chat templates take them.

    Raises:
        RequestError: for parts of another kind, or a conversation in which nobody speaks.
    """
    names: dict[str, str] = {}
    found = []
    for message in messages:
        role = "system" if message.role == "developer" else message.role
        role = "tool" if role == "function" else role
        turn: dict[str, object] = {"role": role, "content": _content(message)}
        for call in message.tool_calls or []:
            names[call.id or ""] = call.function.name
        if message.tool_calls:
            turn["tool_calls"] = [_earlier(call) for call in message.tool_calls]
        if role == "tool":
            turn["tool_call_id"] = message.tool_call_id or ""
            turn["name"] = message.name or names.get(message.tool_call_id or "", "")
        thought = message.reasoning_content or message.reasoning
        if thought and role == "assistant":
            turn["reasoning_content"] = thought
        found.append(turn)
    return found


def _earlier(call: EarlierCall) -> dict[str, object]:
    function = {
        "name": call.function.name,
        "arguments": arguments_of(call.function.arguments),
    }
    return {"id": call.id or "", "type": "function", "function": function}


def _content(message: Message) -> str | list[dict[str, object]]:
    if message.content is None and message.role not in ("assistant", "function"):
        raise RequestError(f"a message of the {message.role} has no content; give it some")
    if not isinstance(message.content, list):
        return message.content or ""
    return joined([_part(part) for part in message.content])


def _part(part: Part) -> dict[str, object]:
    if part.type in ("text", "input_text", "output_text", "refusal"):
        return text_part(part.text if part.text is not None else part.refusal or "")
    if part.type == "image_url" and part.image_url is not None:
        held = part.image_url
        return picture_at(held if isinstance(held, str) else held.url)
    raise RequestError(
        f"a part of type {part.type!r} is not taken; send parts of type text or image_url"
    )


def _head(answer: Answer, kind: str) -> dict[str, object]:
    return {
        "id": new_id("chatcmpl-"),
        "object": kind,
        "created": int(time.time()),
        "model": answer.model,
        "system_fingerprint": FINGERPRINT,
    }


def _completion(answer: Answer, found: Sequence[Whole]) -> dict[str, object]:
    ends = [whole.end for whole in found]
    return {
        **_head(answer, "chat.completion"),
        "choices": [_choice(at, whole) for at, whole in enumerate(found)],
        "usage": usage_body(total_usage(ends, 1)),
        "fathom": figures(ends[0]),
    }


def _choice(index: int, whole: Whole) -> dict[str, object]:
    message: dict[str, object] = {"role": "assistant", "content": whole.text, "refusal": None}
    if whole.reasoning:
        message["reasoning_content"] = whole.reasoning.strip()
    if whole.calls:
        message["content"] = whole.text or None
        message["tool_calls"] = [call_message(call) for call in whole.calls]
    return {
        "index": index,
        "message": message,
        "logprobs": _logprobs(whole.logprobs),
        "finish_reason": whole.end.reason,
    }


def _logprobs(found: Sequence[TokenLogprob]) -> dict[str, object] | None:
    if not found:
        return None
    return {"content": [logprob_entry(one) for one in found], "refusal": None}


async def _chunks(answer: Answer, body: ChatBody, warnings: Sequence[str]) -> Chunks:
    """Yield an answer as OpenAI's clients assert it: the role first and once, the reason last."""
    head = _head(answer, "chat.completion.chunk")
    with_usage = body.stream_options is not None and bool(body.stream_options.include_usage)
    calls = [0] * (body.n or 1)
    ends: list[Ended] = []

    def chunk(index: int, delta: dict[str, object], **more: object) -> bytes:
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": None, **more}
        return event({**head, "choices": [choice], **({"usage": None} if with_usage else {})})

    for index in range(body.n or 1):
        if warnings and index == 0:
            head["warnings"] = list(warnings)
        yield chunk(index, {"role": "assistant", "content": None})
        head.pop("warnings", None)
    async for one in answer:
        if isinstance(one, Ended) and one.notes:
            head["warnings"] = list(one.notes)
        for delta, more in _deltas(one, calls):
            yield chunk(one.index, delta, **more)
        ends += [one] if isinstance(one, Ended) else []
    if with_usage:
        usage = usage_body(total_usage(ends, 1))
        yield event({**head, "choices": [], "usage": usage, "fathom": figures(ends[0])})
    yield DONE


def _deltas(one: Event, calls: list[int]) -> list[tuple[dict[str, object], dict[str, object]]]:
    """Return what a chunk says of an event, and what stands beside that."""
    if isinstance(one, Written):
        delta: dict[str, object] = {"reasoning_content": one.reasoning} if one.reasoning else {}
        if one.text or not one.reasoning:
            delta["content"] = one.text
        return [(delta, {"logprobs": _logprobs(one.logprobs)})]
    if isinstance(one, Called):
        calls[one.index] += 1
        entry = {"index": calls[one.index] - 1, **call_message(one.call)}
        return [({"tool_calls": [entry]}, {})]
    if isinstance(one, Ended):
        return [({}, {"finish_reason": one.reason})]
    return []


def _failed(fault: Fault) -> bytes:
    return event(openai(fault))
