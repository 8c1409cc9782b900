"""What stands in a request of OpenAI's Responses API, and how it becomes a conversation.

https://platform.openai.com/docs/api-reference/responses. Nothing is kept between two requests: a
client sends the items of the turns before.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from fathom.errors import RequestError
from fathom.serving.bounds import size
from fathom.serving.constraining import ANY_OBJECT, of_schema
from fathom.serving.contents import joined, picture_at, text_part
from fathom.serving.generating import plain_options
from fathom.serving.schemas import (
    Anything,
    Body,
    Handed,
    Label,
    Logprobs,
    MaxTokens,
    Name,
    Picture,
    Temperature,
    Text,
    ToolName,
    TopP,
)
from fathom.serving.service import ChatAsk
from fathom.serving.shapes.openai_common import (
    EFFORTS,
    Effort,
    Function,
    ObjectFormat,
    TextFormat,
    arguments_of,
    choice_of,
    tools_of,
)

Arguments = Annotated[str, size("arguments")]


class ItemPart(Handed):
    """A part of an item: text, a picture, a refusal."""

    type: Name
    text: Text | None = None
    image_url: Picture | None = None
    refusal: Text | None = None


Parts = Text | Annotated[list[ItemPart], size("parts")]


class Item(Handed):
    """An item of the conversation; which fields it has is up to its type."""

    type: Name | None = None
    role: Literal["user", "assistant", "system", "developer"] | None = None
    content: Parts | None = None
    summary: Parts | None = None
    call_id: Label | None = None
    name: ToolName | None = None
    arguments: Arguments | None = None
    output: Parts | None = None


class FlatTool(Handed):
    """A tool; only functions can be called here."""

    type: Name
    name: ToolName | None = None
    description: Text | None = None
    parameters: Anything | None = None


class FlatChoice(Handed):
    """The choice of one function, or of some."""

    type: Literal["function", "allowed_tools"]
    name: ToolName | None = None
    mode: Literal["auto", "required"] | None = None
    tools: Annotated[list[FlatTool], size("tools")] | None = None


class FlatSchema(Handed):
    """JSON of a schema."""

    type: Literal["json_schema"]
    name: Label = ""
    schema_: Anything = Field(alias="schema")


class TextOptions(Body):
    """The form of the answer."""

    format: (
        Annotated[TextFormat | ObjectFormat | FlatSchema, Field(discriminator="type")] | None
    ) = None


class Reasoning(Handed):
    """How much thinking there is."""

    effort: Effort | None = None


class ResponsesBody(Body):
    """Items to answer."""

    harmless: ClassVar[frozenset[str]] = frozenset(
        {
            *("user", "metadata", "service_tier", "safety_identifier", "prompt_cache_key"),
            *("prompt_cache_retention", "include", "stream_options"),
        }
    )
    model: Name
    input: Text | Annotated[list[Item], size("messages")]
    instructions: Text | None = None
    stream: bool | None = None
    store: bool | None = None
    previous_response_id: Label | None = None
    max_output_tokens: MaxTokens | None = None
    temperature: Temperature | None = None
    top_p: TopP | None = None
    top_logprobs: Logprobs | None = None
    tools: Annotated[list[FlatTool], size("tools")] | None = None
    tool_choice: Literal["auto", "none", "required"] | FlatChoice | None = None
    parallel_tool_calls: bool | None = None
    text: TextOptions | None = None
    reasoning: Reasoning | None = None
    truncation: Literal["auto", "disabled"] | None = None


def asked(body: ResponsesBody) -> tuple[ChatAsk, list[str]]:
    """Return what a body asks of the service, and what of it is not done.

    Raises:
        RequestError: for a response kept from before, or items of another kind.
    """
    if body.previous_response_id is not None:
        raise RequestError(
            "previous_response_id: nothing is kept here; send the items of the turns before"
        )
    warnings = body.warnings()
    functions = [each for each in body.tools or [] if each.type == "function"]
    warnings += [
        f"the tool of type {each.type} runs at OpenAI's and is not offered here"
        for each in body.tools or []
        if each.type != "function"
    ]
    if body.truncation == "auto":
        warnings.append("truncation auto: nothing is cut here; too long a prompt is refused")
    tools = tools_of(
        [
            Function(name=each.name or "", description=each.description, parameters=each.parameters)
            for each in functions
        ]
    )
    chosen = body.tool_choice
    if isinstance(chosen, FlatChoice) and chosen.type == "allowed_tools":
        names = {each.name for each in chosen.tools or []}
        tools = tuple(tool for tool in tools if tool.name in names)
        choice = choice_of(chosen.mode, None, tools)
    elif isinstance(chosen, FlatChoice):
        choice = choice_of(None, chosen.name or "", tools)
    else:
        choice = choice_of(chosen, None, tools)
    ask = ChatAsk(
        model=body.model,
        options=_options(body),
        messages=_messages(body),
        tools=tools,
        choice=choice,
        parallel=body.parallel_tool_calls is not False,
    )
    return ask, warnings


def _options(body: ResponsesBody) -> dict[str, object]:
    options = plain_options(body)
    options["max_tokens"] = body.max_output_tokens
    options["logprobs"] = body.top_logprobs
    if body.reasoning is not None and body.reasoning.effort is not None:
        options["reasoning_budget"] = EFFORTS[body.reasoning.effort]
    form = body.text.format if body.text is not None else None
    if isinstance(form, FlatSchema):
        options |= of_schema(form.schema_)
    elif isinstance(form, ObjectFormat):
        options |= of_schema(ANY_OBJECT)
    return {name: value for name, value in options.items() if value is not None}


def _messages(body: ResponsesBody) -> list[dict[str, object]]:
    found: list[dict[str, object]] = []
    if body.instructions:
        found.append({"role": "system", "content": body.instructions})
    if isinstance(body.input, str):
        return [*found, {"role": "user", "content": body.input}]
    names: dict[str, str] = {}
    for item in body.input:
        _add(found, item, names)
    return found


def _add(found: list[dict[str, object]], item: Item, names: dict[str, str]) -> None:
    """Add an item: what the model thought, said and called in one turn is one message."""
    kind = item.type or "message"
    if kind == "message" and item.role is not None:
        role = "system" if item.role == "developer" else item.role
        said = _said(item.content or "")
        if role == "assistant":
            _turn(found)["content"] = said
        else:
            found.append({"role": role, "content": said})
    elif kind == "function_call":
        call_id, name = item.call_id or "", item.name or ""
        names[call_id] = name
        function = {"name": name, "arguments": arguments_of(item.arguments or "{}")}
        calls: Any = _turn(found).setdefault("tool_calls", [])
        calls.append({"id": call_id, "type": "function", "function": function})
    elif kind == "function_call_output":
        call_id = item.call_id or ""
        output = _said(item.output or "")
        if not isinstance(output, str):
            raise RequestError("a function's output holds a picture; send it in a message")
        answer = {"tool_call_id": call_id, "name": names.get(call_id, ""), "content": output}
        found.append({"role": "tool", **answer})
    elif kind == "reasoning":
        thought = item.content or item.summary
        if thought:
            found.append({"role": "assistant", "content": "", "reasoning_content": _said(thought)})
    else:
        raise RequestError(
            f"an item of type {kind!r} is not taken; send messages, calls and their outputs"
        )


def _turn(found: list[dict[str, object]]) -> dict[str, object]:
    """Return the model's turn that is being told, or begin one."""
    if not found or found[-1]["role"] != "assistant":
        found.append({"role": "assistant", "content": ""})
    return found[-1]


def _said(content: Parts) -> str | list[dict[str, object]]:
    if isinstance(content, str):
        return content
    return joined([_part(part) for part in content])


def _part(part: ItemPart) -> dict[str, object]:
    if part.type == "input_image":
        return picture_at(part.image_url or "")
    if part.text is not None or part.refusal is not None:
        return text_part(part.text if part.text is not None else part.refusal or "")
    raise RequestError(f"a part of type {part.type!r} is not taken; send input_text or input_image")
