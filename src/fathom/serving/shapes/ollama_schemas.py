"""What stands in requests of Ollama's API, and how they become asks.

https://github.com/ollama/ollama/blob/main/docs/api.md
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, TypeAlias

from fathom.errors import RequestError
from fathom.serving.bounds import NUMBERS, number, size
from fathom.serving.constraining import ANY_OBJECT, of_schema
from fathom.serving.contents import picture_of, text_part
from fathom.serving.generating import plain_options
from fathom.serving.schemas import (
    Anything,
    Body,
    Frequency,
    Handed,
    Label,
    Logprobs,
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
from fathom.serving.service import ChatAsk, TextAsk
from fathom.serving.shapes.openai_chat import FunctionTool
from fathom.serving.shapes.openai_common import EFFORTS, tools_of

Pictures = Annotated[list[Picture], size("pictures")]
KeepAlive: TypeAlias = Annotated[float, number("keep_alive")] | Label
Think: TypeAlias = bool | Literal["low", "medium", "high", "max"]
_SPAN = re.compile(r"(-?\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)")
_SECONDS: Mapping[str, float] = {
    **{"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0},
    **{"m": 60.0, "h": 3600.0},
}


class Options(Body):
    """How an answer is written; those that say how to compute change no answer and are left."""

    harmless: ClassVar[frozenset[str]] = frozenset(
        {
            *("num_thread", "num_gpu", "main_gpu", "num_batch", "numa", "low_vram"),
            *("use_mmap", "use_mlock", "f16_kv", "vocab_only", "num_gqa"),
        }
    )
    num_predict: Annotated[int, number("num_predict")] | None = None
    temperature: Temperature | None = None
    top_k: TopK | None = None
    top_p: TopP | None = None
    min_p: MinP | None = None
    seed: Seed | None = None
    stop: Stops | None = None
    repeat_penalty: Repetition | None = None
    presence_penalty: Presence | None = None
    frequency_penalty: Frequency | None = None


class Call(Handed):
    """The function of an earlier call, with its arguments as an object."""

    name: ToolName
    arguments: Anything | None = None


class EarlierCall(Handed):
    """A call that the model made in an earlier turn."""

    function: Call


class Message(Body):
    """A turn of the conversation."""

    role: Literal["system", "user", "assistant", "tool"]
    content: Text | None = None
    thinking: Text | None = None
    images: Pictures | None = None
    tool_calls: Annotated[list[EarlierCall], size("tools")] | None = None
    tool_name: ToolName | None = None
    name: Label | None = None
    tool_call_id: Label | None = None


class Writing(Body):
    """What asks for a chat and for a text have in common."""

    model: Name
    stream: bool | None = None
    options: Options | None = None
    keep_alive: KeepAlive | None = None
    format: Literal["", "json"] | Anything | None = None
    think: Think | None = None
    logprobs: bool | None = None
    top_logprobs: Logprobs | None = None


class ChatBody(Writing):
    """A conversation to answer; an empty one brings the model into memory, or takes it out."""

    messages: Annotated[list[Message], size("turns")] | None = None
    tools: Annotated[list[FunctionTool], size("tools")] | None = None


class GenerateBody(Writing):
    """A prompt to answer or, raw, to continue; an empty one as for a chat."""

    prompt: Text | None = None
    suffix: Text | None = None
    system: Text | None = None
    raw: bool | None = None
    images: Pictures | None = None


def seconds(keep_alive: float | str | None) -> float | None:
    """Return how long a model is kept: a number of seconds, or a text such as ``5m`` or ``1h30m``.

    Raises:
        RequestError: for another text.
    """
    if not isinstance(keep_alive, str):
        return keep_alive
    text = keep_alive.strip()
    spans = _SPAN.findall(text)
    if re.fullmatch(r"-?\d+(\.\d+)?", text):
        found = float(text)
    elif text and "".join(map("".join, spans)) == text:
        found = sum(float(count) * _SECONDS[unit] for count, unit in spans)
    else:
        raise RequestError(f"keep_alive: {text[:40]!r} is no time; say 5m, 1h30m or seconds")
    if not NUMBERS["keep_alive"].accepts(found):
        raise RequestError(f"keep_alive must be {NUMBERS['keep_alive']} seconds")
    return found


def chat_ask(body: ChatBody) -> ChatAsk:
    """Return what a conversation asks of the service.

    Raises:
        RequestError: for fields that make no sense.
    """
    return ChatAsk(
        model=body.model,
        options=_options(body),
        keep_alive=seconds(body.keep_alive),
        messages=[_message(each) for each in body.messages or []],
        tools=tools_of([each.function for each in body.tools or []]),
    )


def generate_ask(body: GenerateBody, *, chats: bool) -> ChatAsk | TextAsk:
    """Return what a prompt asks of the service: a chat by the template, or raw a text.

    Args:
        body: the request.
        chats: whether the model has a template; without one a prompt is a text.

    Raises:
        RequestError: for fields that make no sense or do not go together.
    """
    options, kept = _options(body), seconds(body.keep_alive)
    prompt = body.prompt or ""
    if body.suffix or body.raw or not chats:
        if body.images:
            raise RequestError("a raw prompt has no place for pictures; leave out raw and suffix")
        return TextAsk(
            model=body.model,
            options=options,
            keep_alive=kept,
            prompt=prompt if body.raw or not body.system else f"{body.system}\n{prompt}",
            suffix=body.suffix or None,
        )
    said = _said(prompt, body.images)
    messages: list[dict[str, object]] = [{"role": "user", "content": said}]
    if body.system:
        messages.insert(0, {"role": "system", "content": body.system})
    return ChatAsk(model=body.model, options=options, keep_alive=kept, messages=messages)


def _options(body: Writing) -> dict[str, object]:
    given = body.options or Options()
    options = plain_options(given)
    options["repetition_penalty"] = given.repeat_penalty
    most = given.num_predict
    options["max_tokens"] = most if most is not None and most > 0 else None
    if body.logprobs or body.top_logprobs is not None:
        options["logprobs"] = body.top_logprobs or 0
    if body.think is False:
        options["reasoning_budget"] = 0
    elif isinstance(body.think, str):
        options["reasoning_budget"] = EFFORTS[body.think]
    if body.format == "json":
        options |= of_schema(ANY_OBJECT)
    elif isinstance(body.format, dict):
        options |= of_schema(body.format)
    return {name: value for name, value in options.items() if value is not None}


def _message(message: Message) -> dict[str, object]:
    turn: dict[str, object] = {
        "role": message.role,
        "content": _said(message.content or "", message.images),
    }
    if message.thinking:
        turn["reasoning_content"] = message.thinking
    if message.tool_calls:
        turn["tool_calls"] = [
            {
                "id": f"call_{at}",
                "type": "function",
                "function": {"name": each.function.name, "arguments": each.function.arguments},
            }
            for at, each in enumerate(message.tool_calls)
        ]
    if message.role == "tool":
        turn["name"] = message.tool_name or message.name or ""
        turn["tool_call_id"] = message.tool_call_id or ""
    return turn


def _said(text: str, images: list[str] | None) -> str | list[dict[str, object]]:
    if not images:
        return text
    return [*(picture_of(each) for each in images), text_part(text)]
