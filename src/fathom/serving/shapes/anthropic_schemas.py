"""What stands in a request of Anthropic's Messages API, and how it becomes a conversation.

https://docs.anthropic.com/en/api/messages
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from fathom.errors import RequestError
from fathom.serving.bounds import number, size
from fathom.serving.constraining import of_schema
from fathom.serving.contents import joined, picture_at, picture_of, text_part
from fathom.serving.generating import plain_options
from fathom.serving.schemas import (
    Anything,
    Body,
    Handed,
    Label,
    MaxTokens,
    Name,
    Picture,
    Stop,
    Temperature,
    Text,
    ToolName,
    TopK,
    TopP,
)
from fathom.serving.service import ChatAsk
from fathom.serving.shapes.openai_common import EFFORTS, Effort, Function, choice_of, tools_of


class Source(Handed):
    """Where a picture is: in the request."""

    type: Name
    data: Picture | None = None
    url: Picture | None = None


class Block(Handed):
    """A part of a message; which fields it has is up to its type."""

    type: Name
    text: Text | None = None
    thinking: Text | None = None
    source: Source | None = None
    id: Label | None = None
    name: ToolName | None = None
    input: Anything | None = None
    tool_use_id: Label | None = None
    content: Text | Annotated[list[Block], size("parts")] | None = None
    is_error: bool | None = None


Blocks = Text | Annotated[list[Block], size("parts")]


class Turn(Body):
    """A message of either side."""

    role: Literal["user", "assistant", "system"]
    content: Blocks


class CustomTool(Handed):
    """A tool; those with a type of their own would run at Anthropic's."""

    name: ToolName
    type: Name | None = None
    description: Text | None = None
    input_schema: Anything | None = None


class Choice(Handed):
    """Which tool is called."""

    type: Literal["auto", "any", "tool", "none"]
    name: ToolName | None = None
    disable_parallel_tool_use: bool | None = None


class Thinking(Handed):
    """Whether there is thinking, and how much."""

    type: Literal["enabled", "disabled", "adaptive"]
    budget_tokens: Annotated[int, number("thinking_budget")] | None = None


class OutputFormat(Handed):
    """The form of the answer."""

    type: Literal["json_schema"]
    schema_: Anything = Field(alias="schema")


class OutputConfig(Handed):
    """The form of the answer, and how much effort goes before it."""

    effort: Effort | None = None
    format: OutputFormat | None = None


class CountBody(Body):
    """A conversation, as far as its tokens are counted."""

    harmless: ClassVar[frozenset[str]] = frozenset(
        {"metadata", "service_tier", "cache_control", "betas", "inference_geo"}
    )
    model: Name
    messages: Annotated[list[Turn], size("messages")]
    system: Blocks | None = None
    tools: Annotated[list[CustomTool], size("tools")] | None = None
    tool_choice: Choice | None = None
    thinking: Thinking | None = None
    output_config: OutputConfig | None = None


class MessagesBody(CountBody):
    """A conversation to answer."""

    max_tokens: MaxTokens
    stream: bool | None = None
    stop_sequences: Annotated[list[Stop], size("stops")] | None = None
    temperature: Temperature | None = None
    top_k: TopK | None = None
    top_p: TopP | None = None


def asked(body: CountBody) -> tuple[ChatAsk, list[str]]:
    """Return what a body asks of the service, and what of it is not done.

    Raises:
        RequestError: for fields that do not go together, or blocks of another kind.
    """
    warnings = body.warnings()
    own = [tool for tool in body.tools or [] if tool.type in (None, "custom")]
    warnings += [
        f"the tool {tool.name} of type {tool.type} runs at Anthropic's and is not offered here"
        for tool in body.tools or []
        if tool not in own
    ]
    tools = tools_of(
        [
            Function(name=each.name, description=each.description, parameters=each.input_schema)
            for each in own
        ]
    )
    choice = body.tool_choice or Choice(type="auto")
    word = "required" if choice.type == "any" else choice.type
    ask = ChatAsk(
        model=body.model,
        options=_options(body),
        messages=_messages(body),
        tools=tools,
        choice=choice_of(word, choice.name if choice.type == "tool" else None, tools),
        parallel=not choice.disable_parallel_tool_use,
    )
    if body.messages[-1].role == "assistant":
        warnings.append("an answer that is begun is not continued; a new one is written after it")
    return ask, warnings


def _options(body: CountBody) -> dict[str, object]:
    options = plain_options(body)
    if isinstance(body, MessagesBody):
        options["max_tokens"] = body.max_tokens
        options["stop"] = body.stop_sequences or None
    config = body.output_config or OutputConfig()
    if config.format is not None:
        options |= of_schema(config.format.schema_)
    budget = EFFORTS[config.effort] if config.effort is not None else None
    if body.thinking is not None and body.thinking.type != "adaptive":
        budget = body.thinking.budget_tokens if body.thinking.type == "enabled" else 0
    options["reasoning_budget"] = budget
    return {name: value for name, value in options.items() if value is not None}


def _messages(body: CountBody) -> list[dict[str, object]]:
    found: list[dict[str, object]] = []
    if body.system:
        found.append({"role": "system", "content": _said(_blocks(body.system))})
    names: dict[str, str] = {}
    for turn in body.messages:
        blocks = _blocks(turn.content)
        names |= {each.id or "": each.name or "" for each in blocks if each.type == "tool_use"}
        found += _assistant(blocks) if turn.role == "assistant" else _heard(turn, blocks, names)
    return found


def _blocks(content: str | list[Block]) -> list[Block]:
    return [Block(type="text", text=content)] if isinstance(content, str) else content


def _assistant(blocks: Sequence[Block]) -> list[dict[str, object]]:
    """Return a turn of the model's: what it thought, said and called."""
    turn: dict[str, object] = {"role": "assistant"}
    turn["content"] = "\n".join(each.text or "" for each in blocks if each.type == "text")
    thought = "\n".join(each.thinking or "" for each in blocks if each.type == "thinking")
    if thought:
        turn["reasoning_content"] = thought
    calls = [
        {
            "id": each.id or "",
            "type": "function",
            "function": {"name": each.name or "", "arguments": each.input or {}},
        }
        for each in blocks
        if each.type == "tool_use"
    ]
    return [{**turn, "tool_calls": calls} if calls else turn]


def _heard(turn: Turn, blocks: Sequence[Block], names: dict[str, str]) -> list[dict[str, object]]:
    """Return what a user says, after what tools answered."""
    found: list[dict[str, object]] = [
        {
            "role": "tool",
            "tool_call_id": each.tool_use_id or "",
            "name": names.get(each.tool_use_id or "", ""),
            "content": ("error: " if each.is_error else "") + _text(each),
        }
        for each in blocks
        if each.type == "tool_result"
    ]
    rest = [each for each in blocks if each.type != "tool_result"]
    if rest or not found:
        found.append({"role": turn.role, "content": _said(rest)})
    return found


def _text(result: Block) -> str:
    """Return what a tool answered as text.

    Raises:
        RequestError: for a picture, which no template has a place for there.
    """
    said = _said(_blocks(result.content or ""))
    if not isinstance(said, str):
        raise RequestError("a tool's result holds a picture; send it in a message of the user")
    return said


def _said(blocks: Sequence[Block]) -> str | list[dict[str, object]]:
    return joined([_part(each) for each in blocks])


def _part(block: Block) -> dict[str, object]:
    if block.type == "text":
        return text_part(block.text or "")
    source = block.source
    if block.type == "image" and source is not None:
        if source.type == "base64" and source.data is not None:
            return picture_of(source.data)
        return picture_at(source.url or "")
    raise RequestError(f"a block of type {block.type!r} is not taken; send text or an image")
