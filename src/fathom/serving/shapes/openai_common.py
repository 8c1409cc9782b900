"""What the endpoints of OpenAI's API share: tools, forms of answers, usage, figures."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import reduce
from importlib.metadata import version
from operator import add
from typing import Annotated, Literal

from pydantic import Field

from fathom.errors import RequestError
from fathom.generation.results import TokenLogprob, Usage
from fathom.serving.constraining import ANY_OBJECT, of_schema
from fathom.serving.schemas import Anything, Body, Handed, Label, Text, ToolName, held
from fathom.serving.service import Ended, Tool, ToolCall, ToolChoice

FINGERPRINT = f"fathom-{version('fathom-models')}"

# Tokens of thinking that an effort allows; None for as many as the model takes.
EFFORTS: Mapping[str, int | None] = {
    "none": 0,
    "minimal": 128,
    "low": 512,
    "medium": 2048,
    "high": 8192,
    "xhigh": None,
    "max": None,
}
Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]


class Function(Handed):
    """A function that may be called."""

    name: ToolName
    description: Label | Text | None = None
    parameters: Anything | None = None


class JsonSchema(Handed):
    """The form of an answer, with a name that nobody reads."""

    name: Label = ""
    schema_: Anything | None = held("schema")


class TextFormat(Body):
    """Any text."""

    type: Literal["text"]


class ObjectFormat(Body):
    """Some JSON object."""

    type: Literal["json_object"]


class SchemaFormat(Body):
    """JSON of a schema."""

    type: Literal["json_schema"]
    json_schema: JsonSchema


Format = Annotated[TextFormat | ObjectFormat | SchemaFormat, Field(discriminator="type")]


def format_options(asked: TextFormat | ObjectFormat | SchemaFormat | None) -> dict[str, object]:
    """Return the options for an answer of a form.

    Raises:
        RequestError: for a schema that is too large.
    """
    match asked:
        case ObjectFormat():
            return of_schema(ANY_OBJECT)
        case SchemaFormat():
            return of_schema(asked.json_schema.schema_ or ANY_OBJECT)
        case _:
            return {}


def tools_of(functions: Sequence[Function]) -> tuple[Tool, ...]:
    """Return the tools of functions.

    Raises:
        RequestError: for a name that occurs twice, or that no model could spell.
    """
    names = [one.name for one in functions]
    for name in names:
        if names.count(name) > 1:
            raise RequestError(f"tools: two are called {name!r}; give each a name of its own")
        if not name.replace("-", "").replace("_", "").replace(".", "").isalnum():
            raise RequestError(
                f"tools: {name!r} is no name of a tool; use letters, digits, . _ and -"
            )
    return tuple(Tool(one.name, one.description or "", one.parameters or {}) for one in functions)


def choice_of(asked: str | None, name: str | None, tools: Sequence[Tool]) -> ToolChoice | Tool:
    """Return the choice of a tool by a word, or by the name of one.

    Raises:
        RequestError: for a name that is not among the tools, or a call asked for without any.
    """
    if name is not None:
        found = next((tool for tool in tools if tool.name == name), None)
        if found is None:
            raise RequestError(f"tool_choice names {name!r}, which is not among the tools")
        return found
    if asked == "required":
        if not tools:
            raise RequestError("tool_choice asks for a call, and there are no tools; give some")
        return "required"
    return "none" if asked == "none" else "auto"


def call_message(call: ToolCall) -> dict[str, object]:
    """Return a call as it stands in a message."""
    return {
        "id": call.id,
        "type": "function",
        "function": {"name": call.name, "arguments": call.arguments},
    }


def arguments_of(text: str) -> object:
    """Return the arguments of an earlier call as templates take them: an object where it is one."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return value if isinstance(value, dict) else text


def token_bytes(text: str) -> list[int] | None:
    """Return the bytes of a token; None for a part of a character, whose bytes are not known."""
    return None if "\ufffd" in text else list(text.encode())


def logprob_entry(one: TokenLogprob) -> dict[str, object]:
    """Return a token as chat's `logprobs` list it."""
    return {**_token(one), "top_logprobs": [_token(each) for each in one.top]}


def _token(one: TokenLogprob) -> dict[str, object]:
    return {"token": one.text, "logprob": finite(one.logprob), "bytes": token_bytes(one.text)}


def finite(logprob: float) -> float:
    """Return a log-probability that JSON can hold; OpenAI's own stand-in for none at all."""
    return logprob if logprob > -9999.0 else -9999.0


def total_usage(ends: Sequence[Ended], prompts: int) -> Usage:
    """Add up the tokens of answers, of which so many share each prompt."""
    firsts = ends[:: max(1, len(ends) // prompts)]
    return Usage(
        reduce(add, (one.usage.prompt_tokens for one in firsts), 0),
        sum(one.usage.completion_tokens for one in ends),
        sum(one.usage.reasoning_tokens for one in ends),
        sum(one.usage.reused_tokens for one in firsts),
    )


def usage_body(usage: Usage) -> dict[str, object]:
    """Return tokens as chat and completions tell them."""
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.reused_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }


_FIGURES = ("seconds_to_first_token", "prefill_tokens_per_second", "decode_tokens_per_second")


def figures(end: Ended) -> dict[str, object]:
    """Return what an answer took beside what was foretold."""
    measured, predicted = asdict(end.measured), end.predicted
    return {
        "predicted": {
            **{name: getattr(predicted, name) for name in _FIGURES},
            "memory_bytes": predicted.memory_bytes,
        },
        "measured": {name: value for name, value in measured.items() if value is not None},
    }


def new_id(kind: str) -> str:
    """Return an identifier such as ``chatcmpl-…``."""
    return f"{kind}{secrets.token_hex(12)}"
