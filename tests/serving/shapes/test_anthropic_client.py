"""Anthropic's own client against its shape."""

from __future__ import annotations

import base64
import json

import anthropic
import pytest

from fathom.errors import AnswerLostError, BusyError, ContextLengthError
from fathom.serving.service import Tool, Written
from serving.shapes.conftest import Served
from serving.shapes.scripted import CALLING, THINKING, ended

HELLO = [{"role": "user", "content": "Hello"}]
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
TOOLS = [{"name": "get_weather", "description": "Tells it", "input_schema": SCHEMA}]
PICTURE = {"type": "base64", "media_type": "image/png", "data": base64.b64encode(b"png").decode()}


def test_a_message_is_told_whole(served: Served) -> None:
    found = served.anthropic.messages.create(model="tiny", max_tokens=9, messages=HELLO)
    assert (found.type, found.role) == ("message", "assistant")
    assert [(block.type, block.text) for block in found.content] == [("text", "Hello")]
    assert (found.stop_reason, found.stop_sequence) == ("end_turn", None)
    usage = found.usage
    assert (usage.input_tokens, usage.cache_read_input_tokens, usage.output_tokens) == (7, 4, 3)
    assert served.service.ask.options == {"max_tokens": 9}


@pytest.mark.parametrize(
    ("end", "reason", "sequence"),
    [
        (ended(0, "length"), "max_tokens", None),
        (ended(0, "stop", "END"), "stop_sequence", "END"),
        (ended(0, "tool_calls"), "tool_use", None),
    ],
)
def test_why_it_stopped(served: Served, end: object, reason: str, sequence: str | None) -> None:
    served.service.events = [Written(0, "x"), end]
    found = served.anthropic.messages.create(
        model="tiny", max_tokens=9, messages=HELLO, stop_sequences=["END"]
    )
    assert (found.stop_reason, found.stop_sequence) == (reason, sequence)
    assert served.service.ask.options["stop"] == ["END"]


def test_a_stream_is_event_by_event(served: Served) -> None:
    served.service.events = [*THINKING[:3], *CALLING[1:]]
    events = list(
        served.anthropic.messages.create(model="tiny", max_tokens=9, messages=HELLO, stream=True)
    )
    kinds = [event.type for event in events if event.type != "ping"]
    block = ["content_block_start", "content_block_delta", "content_block_stop"]
    assert kinds == [
        "message_start",
        *(block[0], block[1], block[1], block[1], block[2]),  # two of thought, one signature
        *block,
        *block,
        "message_delta",
        "message_stop",
    ]
    with served.anthropic.messages.stream(model="tiny", max_tokens=9, messages=HELLO) as stream:
        final = stream.get_final_message()
    assert [one.type for one in final.content] == ["thinking", "text", "tool_use"]
    assert final.content[0].thinking == "Hm, yes."
    assert final.content[2].input == {"city": "Köln"}
    assert final.stop_reason == "tool_use"
    assert (final.usage.input_tokens, final.usage.output_tokens) == (7, 3)


def test_a_stream_and_a_whole_message_say_the_same(served: Served) -> None:
    served.service.events = CALLING
    ask = {"model": "tiny", "max_tokens": 9, "messages": HELLO, "tools": TOOLS}
    whole = served.anthropic.messages.create(**ask)
    with served.anthropic.messages.stream(**ask) as stream:
        streamed = stream.get_final_message()
    assert [json.loads(one.model_dump_json()) for one in whole.content] == [
        json.loads(one.model_dump_json(exclude={"parsed_output"})) for one in streamed.content
    ]


def test_a_conversation_with_tools_reaches_the_model(served: Served) -> None:
    served.anthropic.messages.create(
        model="tiny",
        max_tokens=9,
        system=[{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
        tools=TOOLS,
        tool_choice={"type": "any", "disable_parallel_tool_use": True},
        thinking={"type": "disabled"},
        messages=[
            {"role": "user", "content": "Weather?"},
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "Hm", "signature": ""},
                    {"type": "text", "text": "Let me see."},
                    {"type": "tool_use", "id": "t1", "name": "get_weather", "input": {"city": "X"}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {
                        "type": "tool_result",
                        "tool_use_id": "t1",
                        "content": "down",
                        "is_error": True,
                    },
                    {"type": "text", "text": "And?"},
                ],
            },
        ],
    )
    ask = served.service.ask
    function = {"name": "get_weather", "arguments": {"city": "X"}}
    assert ask.messages == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Weather?"},
        {
            "role": "assistant",
            "content": "Let me see.",
            "reasoning_content": "Hm",
            "tool_calls": [{"id": "t1", "type": "function", "function": function}],
        },
        {
            "role": "tool",
            "tool_call_id": "t1",
            "name": "get_weather",
            "content": "error: down",
        },
        {"role": "user", "content": "And?"},
    ]
    assert ask.tools == (Tool("get_weather", "Tells it", SCHEMA),)
    assert (ask.choice, ask.parallel) == ("required", False)
    assert ask.options["reasoning_budget"] == 0


def test_one_tool_is_chosen_by_name(served: Served) -> None:
    ask = {"model": "tiny", "max_tokens": 9, "messages": HELLO, "tools": TOOLS}
    served.anthropic.messages.create(**ask, tool_choice={"type": "tool", "name": "get_weather"})
    assert served.service.ask.choice == Tool("get_weather", "Tells it", SCHEMA)
    with pytest.raises(anthropic.BadRequestError, match="not among the tools"):
        served.anthropic.messages.create(**ask, tool_choice={"type": "tool", "name": "other"})


def test_a_picture_goes_to_a_model_with_eyes_and_to_no_other(served: Served) -> None:
    content = [{"type": "image", "source": PICTURE}, {"type": "text", "text": "What?"}]
    ask = {"max_tokens": 9, "messages": [{"role": "user", "content": content}]}
    served.anthropic.messages.create(model="eyes", **ask)
    assert served.service.ask.messages[0]["content"][0] == {"type": "image", "image": b"png"}
    with pytest.raises(anthropic.BadRequestError, match="cannot see"):
        served.anthropic.messages.create(model="tiny", **ask)
    content[0]["source"] = {"type": "url", "url": "http://127.0.0.1:1/x.png"}
    with pytest.raises(anthropic.BadRequestError, match="not fetched"):
        served.anthropic.messages.create(model="eyes", **ask)


def test_tokens_are_counted(served: Served) -> None:
    found = served.anthropic.messages.count_tokens(model="tiny", messages=HELLO, system="Be brief.")
    assert found.input_tokens == 42
    assert served.service.ask.messages[0]["role"] == "system"


def test_what_runs_elsewhere_is_told(served: Served) -> None:
    raw = served.anthropic.messages.with_raw_response.create(
        model="tiny",
        max_tokens=9,
        messages=[*HELLO, {"role": "assistant", "content": "Well,"}],
        tools=[{"type": "web_search_20250305", "name": "web_search"}],
    )
    told = raw.headers["X-Fathom-Warnings"]
    assert "web_search" in told
    assert "is not continued" in told


def test_a_form_is_asked_for(served: Served) -> None:
    form = {"type": "json_schema", "schema": SCHEMA}
    served.anthropic.messages.create(
        model="tiny", max_tokens=9, messages=HELLO, extra_body={"output_config": {"format": form}}
    )
    assert served.service.ask.options["schema"] == SCHEMA


@pytest.mark.parametrize(
    ("error", "kind", "word"),
    [
        (ContextLengthError("long"), anthropic.BadRequestError, "invalid_request_error"),
        (BusyError("later"), anthropic.RateLimitError, "rate_limit_error"),
        (AnswerLostError("lost"), anthropic.InternalServerError, "overloaded_error"),
    ],
)
def test_a_refusal_has_its_envelope(
    served: Served, error: Exception, kind: type[anthropic.APIStatusError], word: str
) -> None:
    served.service.refusal = error
    with pytest.raises(kind) as raised:
        served.anthropic.messages.create(model="tiny", max_tokens=9, messages=HELLO)
    assert raised.value.body == {"type": "error", "error": {"type": word, "message": str(error)}}


def test_what_breaks_a_stream_is_an_event_of_it(served: Served) -> None:
    served.service.events = [Written(0, "Hel"), AnswerLostError("lost on the way")]
    with pytest.raises(anthropic.APIStatusError, match="lost on the way"):
        list(
            served.anthropic.messages.create(
                model="tiny", max_tokens=9, messages=HELLO, stream=True
            )
        )
