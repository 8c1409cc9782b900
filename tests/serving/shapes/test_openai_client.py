"""OpenAI's own client against every endpoint of its shape."""

from __future__ import annotations

import base64
import struct

import openai
import pytest
from pydantic import BaseModel

from fathom.errors import (
    AnswerLostError,
    BusyError,
    ContextLengthError,
    DeadlineError,
    RequestError,
)
from fathom.serving.service import ChatAsk, Echoed, TextAsk, Tool, Written
from serving.shapes.conftest import Served
from serving.shapes.scripted import CALL, CALLING, SAID, THINKING, ended, logprob

HELLO = [{"role": "user", "content": "Hello"}]
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
TOOLS = [{"type": "function", "function": {"name": "get_weather", "parameters": SCHEMA}}]
PIXEL = base64.b64encode(b"bytes of some picture").decode()


class City(BaseModel):
    """What a schema asks for in the tests."""

    city: str


def test_a_chat_is_told_whole(served: Served) -> None:
    found = served.openai.chat.completions.create(model="tiny", messages=HELLO)
    assert found.id.startswith("chatcmpl-")
    assert found.object == "chat.completion"
    assert found.choices[0].message.content == "Hello"
    assert found.choices[0].message.role == "assistant"
    assert found.choices[0].finish_reason == "stop"
    assert found.usage.model_dump(exclude_none=True) == {
        "prompt_tokens": 11,
        "completion_tokens": 3,
        "total_tokens": 14,
        "prompt_tokens_details": {"cached_tokens": 4},
        "completion_tokens_details": {"reasoning_tokens": 1},
    }
    assert served.service.answers[-1].closed


def test_a_stream_begins_with_the_role_and_ends_with_the_reason(served: Served) -> None:
    chunks = list(
        served.openai.chat.completions.create(
            model="tiny", messages=HELLO, stream=True, stream_options={"include_usage": True}
        )
    )
    assert len({chunk.id for chunk in chunks}) == 1
    first, *rest = [chunk.choices[0] for chunk in chunks if chunk.choices]
    assert (first.delta.role, first.delta.content) == ("assistant", None)
    assert all(one.delta.role is None for one in rest)
    assert "".join(one.delta.content or "" for one in rest) == "Hello"
    assert rest[-1].finish_reason == "stop"
    assert rest[-1].delta.content is None
    assert chunks[-1].choices == []
    assert chunks[-1].usage.total_tokens == 14
    assert all(chunk.usage is None for chunk in chunks[:-1])
    assert served.service.answers[-1].closed


def test_options_reach_the_engine_by_its_names(served: Served) -> None:
    served.openai.chat.completions.create(
        model="tiny",
        messages=[
            {"role": "developer", "content": [{"type": "text", "text": "Be brief."}]},
            *HELLO,
        ],
        max_completion_tokens=7,
        temperature=0.5,
        top_p=0.9,
        presence_penalty=0.1,
        frequency_penalty=-0.1,
        seed=-1,
        stop="END",
        logit_bias={"5": -100},
        logprobs=True,
        top_logprobs=2,
        reasoning_effort="low",
        n=1,
        user="somebody",
        extra_body={"top_k": -1, "min_p": 0.1, "repetition_penalty": 1.1},
    )
    ask = served.service.ask
    assert isinstance(ask, ChatAsk)
    assert ask.messages == [{"role": "system", "content": "Be brief."}, *HELLO]
    assert ask.options == {
        **{"max_tokens": 7, "temperature": 0.5, "top_p": 0.9, "presence_penalty": 0.1},
        **{"frequency_penalty": -0.1, "seed": 2**63 - 1, "stop": ["END"], "logprobs": 2},
        **{"logit_bias": {5: -100.0}, "top_k": 0, "min_p": 0.1, "repetition_penalty": 1.1},
        "reasoning_budget": 512,
    }


@pytest.mark.parametrize("stream", [False, True])
def test_several_answers_keep_their_places(served: Served, stream: bool) -> None:
    served.service.events = [
        *(Written(1, "b"), Written(0, "a"), Written(1, "B"), Written(0, "A")),
        *(ended(1, "length"), ended(0)),
    ]
    found = served.openai.chat.completions.create(model="tiny", messages=HELLO, n=2, stream=stream)
    if not stream:
        said = {one.index: one.message.content for one in found.choices}
        assert found.usage.completion_tokens == 6
        assert found.usage.prompt_tokens == 11
    else:
        said = {0: "", 1: ""}
        for chunk in found:
            said[chunk.choices[0].index] += chunk.choices[0].delta.content or ""
    assert said == {0: "aA", 1: "bB"}
    assert served.service.ask.count == 2


@pytest.mark.parametrize("stream", [False, True])
def test_log_probabilities_have_their_bytes(served: Served, stream: bool) -> None:
    served.service.events = [
        Written(0, "é", logprobs=[logprob("é"), logprob("\ufffd", float("-inf"))]),
        ended(),
    ]
    found = served.openai.chat.completions.create(
        model="tiny", messages=HELLO, logprobs=True, top_logprobs=2, stream=stream
    )
    told = found.choices[0] if not stream else list(found)[1].choices[0]
    entry, half = told.logprobs.content
    assert (entry.token, entry.logprob, entry.bytes) == ("é", -0.5, list("é".encode()))
    assert [one.token for one in entry.top_logprobs] == ["é", "other"]
    assert (half.bytes, half.logprob) == (None, -9999.0)


@pytest.mark.parametrize("stream", [False, True])
def test_reasoning_stands_apart(served: Served, stream: bool) -> None:
    served.service.events = THINKING
    found = served.openai.chat.completions.create(model="tiny", messages=HELLO, stream=stream)
    if stream:
        deltas = [chunk.choices[0].delta.model_dump() for chunk in found]
        thought = "".join(one.get("reasoning_content") or "" for one in deltas)
        said = "".join(one.get("content") or "" for one in deltas)
    else:
        message = found.choices[0].message
        thought, said = message.reasoning_content, message.content
    assert (thought, said) == ("Hm, yes.", "Yes")


def test_a_tool_is_called_and_answered(served: Served) -> None:
    served.service.events = CALLING
    client = served.openai
    found = client.chat.completions.create(model="tiny", messages=HELLO, tools=TOOLS)
    message = found.choices[0].message
    assert found.choices[0].finish_reason == "tool_calls"
    assert message.content == "Let me see."
    call = message.tool_calls[0]
    assert (call.id, call.function.name) == ("call_1", "get_weather")
    assert call.function.arguments == CALL.arguments
    assert served.service.ask.tools == (Tool("get_weather", "", SCHEMA),)
    answer = {"role": "tool", "tool_call_id": "call_1", "content": "Rain"}
    client.chat.completions.create(
        model="tiny", messages=[*HELLO, message.model_dump(exclude_none=True), answer], tools=TOOLS
    )
    _, called, answered = served.service.ask.messages
    assert called["tool_calls"][0]["function"]["arguments"] == {"city": "Köln"}
    assert answered == {**answer, "name": "get_weather"}


def test_a_call_is_streamed(served: Served) -> None:
    served.service.events = CALLING
    with served.openai.chat.completions.stream(
        model="tiny",
        messages=HELLO,
        tools=[{**TOOLS[0], "function": {**TOOLS[0]["function"], "strict": True}}],
    ) as stream:
        for _ in stream:
            pass
        final = stream.get_final_completion()
    (call,) = final.choices[0].message.tool_calls
    assert (call.function.name, call.function.arguments) == ("get_weather", CALL.arguments)
    assert final.choices[0].finish_reason == "tool_calls"


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("auto", "auto"),
        ("none", "none"),
        ("required", "required"),
        (
            {"type": "function", "function": {"name": "get_weather"}},
            Tool("get_weather", "", SCHEMA),
        ),
    ],
)
def test_the_choice_of_a_tool_is_handed_on(
    served: Served, choice: object, expected: object
) -> None:
    served.openai.chat.completions.create(
        model="tiny", messages=HELLO, tools=TOOLS, tool_choice=choice, parallel_tool_calls=False
    )
    assert served.service.ask.choice == expected
    assert served.service.ask.parallel is False


def test_a_schema_constrains_the_answer(served: Served) -> None:
    served.service.events = [Written(0, '{"city": "Köln"}'), ended()]
    client = served.openai
    found = client.chat.completions.parse(model="tiny", messages=HELLO, response_format=City)
    assert found.choices[0].message.parsed == City(city="Köln")
    given = served.service.ask.options["schema"]
    assert given["properties"]["city"]["type"] == "string"
    client.chat.completions.create(
        model="tiny", messages=HELLO, response_format={"type": "json_object"}
    )
    assert served.service.ask.options["schema"] == {"type": "object"}


def test_a_picture_goes_to_a_model_with_eyes_and_to_no_other(served: Served) -> None:
    url = f"data:image/png;base64,{PIXEL}"
    parts = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": url}},
    ]
    messages = [{"role": "user", "content": parts}]
    served.openai.chat.completions.create(model="eyes", messages=messages)
    picture = served.service.ask.messages[0]["content"][1]
    assert picture == {"type": "image", "image": base64.b64decode(PIXEL)}
    with pytest.raises(openai.BadRequestError, match="cannot see pictures; ask eyes"):
        served.openai.chat.completions.create(model="tiny", messages=messages)


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:1/x.png", "https://x/y.png", "file:///etc/passwd", "/etc/passwd", "data:x"],
)
def test_no_address_is_ever_fetched(served: Served, url: str) -> None:
    parts = [{"type": "image_url", "image_url": {"url": url}}]
    with pytest.raises(openai.BadRequestError, match="data:"):
        served.openai.chat.completions.create(
            model="eyes", messages=[{"role": "user", "content": parts}]
        )
    assert served.service.asks == []


ERRORS = [
    (ContextLengthError("too long"), openai.BadRequestError, "context_length_exceeded"),
    (RequestError("no sense"), openai.BadRequestError, "E_REQUEST"),
    (BusyError("later", 3.2), openai.RateLimitError, "rate_limit_exceeded"),
    (AnswerLostError("lost"), openai.InternalServerError, "E_LOST"),
    (DeadlineError("slow"), openai.InternalServerError, "E_DEADLINE"),
]


@pytest.mark.parametrize(("error", "kind", "code"), ERRORS)
def test_a_refusal_has_its_status_and_envelope(
    served: Served, error: Exception, kind: type[openai.APIStatusError], code: str
) -> None:
    served.service.refusal = error
    with pytest.raises(kind) as raised:
        served.openai.chat.completions.create(model="tiny", messages=HELLO)
    assert raised.value.code == code
    assert raised.value.body["message"] == str(error)
    if isinstance(error, BusyError):
        assert raised.value.response.headers["retry-after"] == "4"


def test_an_unknown_model_is_not_found(served: Served) -> None:
    with pytest.raises(openai.NotFoundError) as raised:
        served.openai.chat.completions.create(model="other", messages=HELLO)
    assert raised.value.code == "model_not_found"


@pytest.mark.parametrize("error", [AnswerLostError("lost on the way"), ZeroDivisionError("bug")])
def test_what_breaks_a_stream_is_told_in_it(served: Served, error: Exception) -> None:
    served.service.events = [Written(0, "Hel"), error]
    with pytest.raises(openai.APIError) as raised:
        list(served.openai.chat.completions.create(model="tiny", messages=HELLO, stream=True))
    assert ("bug" in str(raised.value)) is False
    body = {"model": "tiny", "messages": HELLO, "stream": True}
    assert "[DONE]" not in served.http.post("/v1/chat/completions", json=body).text


def test_unknown_fields_are_taken_and_told(served: Served) -> None:
    served.service.warnings = ("the house says so",)
    raw = served.openai.chat.completions.with_raw_response.create(
        model="tiny", messages=[{**HELLO[0], "mood": "good"}], extra_body={"magic": 1}
    )
    told = ["magic is not known", "messages[0].mood is not known", "the house says so"]
    assert all(line in raw.headers["X-Fathom-Warnings"] for line in told)
    warnings = raw.parse().model_dump()["warnings"]
    assert all(any(line in each for each in warnings) for line in told)
    chunks = list(served.openai.chat.completions.create(model="tiny", messages=HELLO, stream=True))
    assert chunks[0].model_dump()["warnings"] == ["the house says so"]


def test_models_are_listed_and_told_about(served: Served) -> None:
    assert [one.id for one in served.openai.models.list()] == ["tiny", "eyes", "base"]
    assert served.openai.models.retrieve("tiny").object == "model"
    with pytest.raises(openai.NotFoundError):
        served.openai.models.retrieve("hub/other")


@pytest.mark.parametrize(
    ("prompt", "prompts"),
    [
        ("Once", ["Once"]),
        (["a", "b"], ["a", "b"]),
        ([1, 2, 3], [[1, 2, 3]]),
        ([[1, 2], [3]], [[1, 2], [3]]),
    ],
)
def test_completions_take_texts_and_ids(
    served: Served, prompt: object, prompts: list[object]
) -> None:
    found = served.openai.completions.create(model="tiny", prompt=prompt, max_tokens=4, n=1)
    assert [one.prompt for one in served.service.asks] == prompts
    assert [one.text for one in found.choices] == ["Hello"] * len(prompts)
    assert [one.index for one in found.choices] == list(range(len(prompts)))
    assert found.usage.completion_tokens == 3 * len(prompts)
    assert all(answer.closed for answer in served.service.answers)


@pytest.mark.parametrize("most", [0, 2])
def test_an_echo_has_the_log_probabilities_of_the_prompt(served: Served, most: int) -> None:
    served.service.events = [
        Echoed(0, "Once upon", (5, 6), [None, logprob(" upon", -1.5)]),
        Written(0, " a", logprobs=[logprob(" a")]),
        ended(0, "length"),
    ]
    found = served.openai.completions.create(
        model="tiny", prompt="Once upon", echo=True, logprobs=1, max_tokens=most
    )
    told = found.choices[0]
    tokens = ["Once", " upon"] + [" a"] * (most > 0)
    assert told.text == "".join(tokens)
    assert told.logprobs.tokens == tokens
    assert told.logprobs.token_logprobs == [None, -1.5, -0.5][: len(tokens)]
    assert told.logprobs.top_logprobs[1] == {" upon": -1.5, "other": -2.0}
    assert told.logprobs.text_offset == [0, 4, 9][: len(tokens)]
    assert served.service.ask.echo
    assert served.service.ask.options["max_tokens"] == max(1, most)
    assert found.usage.completion_tokens == (3 if most else 0)


def test_completions_stream_several_prompts(served: Served) -> None:
    served.service.script = lambda ask: [Written(0, ask.prompt), Written(0, "!"), ended()]
    said = {0: "", 1: ""}
    reasons = {}
    for chunk in served.openai.completions.create(model="tiny", prompt=["a", "b"], stream=True):
        choice = chunk.choices[0]
        said[choice.index] += choice.text
        reasons[choice.index] = choice.finish_reason or reasons.get(choice.index)
    assert said == {0: "a!", 1: "b!"}
    assert reasons == {0: "stop", 1: "stop"}


def test_the_best_of_several_are_the_likeliest(served: Served) -> None:
    served.service.events = [
        *(Written(0, "bad", logprobs=[logprob("bad", -3.0)]), ended(0)),
        *(Written(1, "good", logprobs=[logprob("good", -0.1)]), ended(1)),
    ]
    found = served.openai.completions.create(model="tiny", prompt="x", best_of=2)
    assert [one.text for one in found.choices] == ["good"]
    assert served.service.ask.count == 2
    with pytest.raises(openai.BadRequestError, match="best_of"):
        served.openai.completions.create(model="tiny", prompt="x", best_of=1, n=2)


def test_a_suffix_is_filled_up_to(served: Served) -> None:
    served.openai.completions.create(model="tiny", prompt="def f():", suffix="return x")
    ask = served.service.ask
    assert isinstance(ask, TextAsk)
    assert (ask.prompt, ask.suffix) == ("def f():", "return x")


def test_one_prompt_refused_closes_the_others(served: Served) -> None:
    def script(ask: object) -> object:
        if ask.prompt == "b":
            raise RequestError("not this one")
        return SAID

    served.service.script = script
    with pytest.raises(openai.BadRequestError, match="not this one"):
        served.openai.completions.create(model="tiny", prompt=["a", "b", "c"])
    assert [answer.closed for answer in served.service.answers] == [True]


def test_embeddings_are_the_vectors(served: Served) -> None:
    client = served.openai
    as_floats = client.embeddings.create(model="tiny", input=["a", "bb"], encoding_format="float")
    assert [one.embedding for one in as_floats.data] == [[3.0, 4.0, 1.0, 0.0], [3.0, 4.0, 2.0, 0.0]]
    assert as_floats.usage.prompt_tokens == 5
    raw = served.http.post(
        "/v1/embeddings", json={"model": "tiny", "input": "a", "encoding_format": "base64"}
    ).json()
    packed = base64.b64decode(raw["data"][0]["embedding"])
    assert list(struct.unpack("<4f", packed)) == [3.0, 4.0, 1.0, 0.0]
    cut = client.embeddings.create(model="tiny", input=[104, 105], dimensions=2)
    assert cut.data[0].embedding == pytest.approx([0.6, 0.8])
    assert served.service.embedded[-1][0] == ["hi"]
    with pytest.raises(openai.BadRequestError, match="have 4"):
        client.embeddings.create(model="tiny", input="a", dimensions=5)


def test_a_response_is_told_whole(served: Served) -> None:
    served.service.events = [*THINKING[:3], *CALLING[1:]]
    found = served.openai.responses.create(
        model="tiny",
        instructions="Be brief.",
        input="Hello",
        tools=[{"type": "function", "name": "get_weather", "parameters": SCHEMA, "strict": None}],
        max_output_tokens=50,
        reasoning={"effort": "none"},
    )
    assert found.status == "completed"
    assert found.output_text == "Yes"
    assert [one.type for one in found.output] == ["reasoning", "message", "function_call"]
    assert found.output[0].content[0].text == "Hm, yes."
    assert (found.output[2].name, found.output[2].arguments) == ("get_weather", CALL.arguments)
    assert found.usage.total_tokens == 14
    ask = served.service.ask
    assert ask.messages[0] == {"role": "system", "content": "Be brief."}
    assert ask.options == {"max_tokens": 50, "reasoning_budget": 0}


def test_a_response_is_streamed_by_typed_events(served: Served) -> None:
    served.service.events = [*THINKING[:3], *CALLING[1:]]
    events = list(served.openai.responses.create(model="tiny", input="Hello", stream=True))
    assert [one.sequence_number for one in events] == list(range(len(events)))
    assert events[0].type == "response.created"
    assert events[-1].type == "response.completed"
    deltas = [one.delta for one in events if one.type == "response.output_text.delta"]
    assert "".join(deltas) == events[-1].response.output_text == "Yes"
    kinds = [one.type for one in events]
    for begin, end in (
        ("response.output_item.added", "response.output_item.done"),
        ("response.content_part.added", "response.content_part.done"),
        ("response.function_call_arguments.delta", "response.function_call_arguments.done"),
    ):
        assert kinds.count(begin) == kinds.count(end) > 0
        assert kinds.index(begin) < kinds.index(end)
    with served.openai.responses.stream(model="tiny", input="Hello") as stream:
        final = stream.until_done().get_final_response()
    assert final.output_text == "Yes"


def test_a_response_cut_short_is_incomplete(served: Served) -> None:
    served.service.events = [Written(0, "Hel"), ended(0, "length")]
    found = served.openai.responses.create(model="tiny", input="Hello")
    assert found.status == "incomplete"
    assert found.incomplete_details.reason == "max_output_tokens"


def test_a_response_takes_the_items_of_earlier_turns(served: Served) -> None:
    served.openai.responses.create(
        model="tiny",
        input=[
            {"role": "user", "content": [{"type": "input_text", "text": "Weather?"}]},
            {
                "type": "reasoning",
                "id": "rs_1",
                "summary": [{"type": "summary_text", "text": "Hm"}],
            },
            {"role": "assistant", "content": "Let me see."},
            {"type": "function_call", "call_id": "c1", "name": "now", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c1", "output": "noon"},
        ],
    )
    function = {"name": "now", "arguments": {}}
    assert served.service.ask.messages == [
        {"role": "user", "content": "Weather?"},
        {
            "role": "assistant",
            "content": "Let me see.",
            "reasoning_content": "Hm",
            "tool_calls": [{"id": "c1", "type": "function", "function": function}],
        },
        {"role": "tool", "tool_call_id": "c1", "name": "now", "content": "noon"},
    ]
    with pytest.raises(openai.BadRequestError, match="nothing is kept here"):
        served.openai.responses.create(model="tiny", input="x", previous_response_id="resp_1")


def test_a_response_of_a_schema(served: Served) -> None:
    served.service.events = [Written(0, '{"city": "Köln"}'), ended()]
    found = served.openai.responses.parse(model="tiny", input="Where?", text_format=City)
    assert found.output_parsed == City(city="Köln")
    assert "schema" in served.service.ask.options


def test_what_breaks_a_response_is_an_event_of_it(served: Served) -> None:
    served.service.events = [Written(0, "Hel"), AnswerLostError("lost")]
    events = list(served.openai.responses.create(model="tiny", input="Hello", stream=True))
    assert events[-1].type == "response.failed"
    assert events[-1].response.error.message == "lost"
