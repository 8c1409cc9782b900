"""Ollama's own client against its shape."""

from __future__ import annotations

import base64

import ollama
import pytest

from fathom.errors import AnswerLostError, BusyError
from fathom.serving.service import ChatAsk, TextAsk, Tool, Written
from fathom.serving.shapes.ollama_schemas import seconds
from serving.shapes.conftest import Served
from serving.shapes.scripted import CALLING, THINKING, ended, logprob

HELLO = [{"role": "user", "content": "Hello"}]
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
TOOLS = [{"type": "function", "function": {"name": "get_weather", "parameters": SCHEMA}}]


def test_a_chat_is_told_whole_with_its_times(served: Served) -> None:
    found = served.ollama.chat(model="tiny:latest", messages=HELLO)
    assert found.message.content == "Hello"
    assert (found.done, found.done_reason) == (True, "stop")
    assert (found.prompt_eval_count, found.eval_count) == (11, 3)
    assert found.prompt_eval_duration == 70_000_000  # seven tokens at a hundred in a second
    assert found.eval_duration == 40_000_000  # two more tokens at fifty in a second
    assert found.total_duration >= found.load_duration > 0


def test_a_chat_is_streamed_by_lines(served: Served) -> None:
    served.service.events = [*THINKING[:3], *CALLING[1:]]
    parts = list(served.ollama.chat(model="tiny", messages=HELLO, tools=TOOLS, stream=True))
    assert "".join(part.message.content or "" for part in parts) == "Yes"
    assert "".join(part.message.thinking or "" for part in parts) == "Hm, yes."
    (call,) = [call for part in parts for call in part.message.tool_calls or ()]
    assert (call.function.name, call.function.arguments) == ("get_weather", {"city": "Köln"})
    assert [part.done for part in parts] == [False] * (len(parts) - 1) + [True]
    assert served.service.ask.tools == (Tool("get_weather", "", SCHEMA),)


def test_options_reach_the_engine_by_its_names(served: Served) -> None:
    served.ollama.chat(
        model="tiny",
        messages=HELLO,
        options={
            **{"num_predict": 7, "temperature": 0.5, "top_k": 5, "top_p": 0.9, "min_p": 0.1},
            **{"seed": 3, "stop": ["END"], "repeat_penalty": 1.1, "num_thread": 2},
        },
        format=SCHEMA,
        think=False,
        keep_alive="1m30s",
        logprobs=True,
        top_logprobs=2,
    )
    ask = served.service.ask
    assert ask.keep_alive == 90
    assert ask.options == {
        **{"max_tokens": 7, "temperature": 0.5, "top_k": 5, "top_p": 0.9, "min_p": 0.1},
        **{"seed": 3, "stop": ["END"], "repetition_penalty": 1.1, "logprobs": 2},
        **{"schema": SCHEMA, "reasoning_budget": 0},
    }


@pytest.mark.parametrize(
    ("model", "given", "kind"),
    [
        ("tiny", {"system": "Be brief."}, ChatAsk),
        ("tiny", {"raw": True}, TextAsk),
        ("tiny", {"suffix": "end"}, TextAsk),
        ("base", {}, TextAsk),  # which has no template
    ],
)
def test_a_prompt_is_answered_or_continued(
    served: Served, model: str, given: dict[str, object], kind: type
) -> None:
    found = served.ollama.generate(model=model, prompt="Once", **given)
    assert (found.response, found.done) == ("Hello", True)
    ask = served.service.ask
    assert type(ask) is kind
    if isinstance(ask, ChatAsk):
        system = {"role": "system", "content": "Be brief."}
        assert ask.messages == [system, {"role": "user", "content": "Once"}]
    else:
        assert (ask.prompt, ask.suffix) == ("Once", given.get("suffix"))
    parts = list(served.ollama.generate(model=model, prompt="Once", stream=True, **given))
    assert "".join(part.response for part in parts) == "Hello"


def test_an_ask_without_a_prompt_loads_or_unloads(served: Served) -> None:
    assert served.ollama.generate(model="tiny").done_reason == "load"
    assert served.ollama.generate(model="tiny", keep_alive=0).done_reason == "unload"
    assert served.ollama.chat(model="tiny", messages=[], keep_alive="0").done_reason == "unload"
    assert served.service.unloaded == ["tiny", "tiny"]
    assert served.service.asks == []


def test_a_conversation_with_tools_reaches_the_model(served: Served) -> None:
    function = {"name": "get_weather", "arguments": {"city": "X"}}
    served.ollama.chat(
        model="tiny",
        messages=[
            *HELLO,
            {"role": "assistant", "content": "", "tool_calls": [{"function": function}]},
            {"role": "tool", "content": "Rain", "tool_name": "get_weather"},
        ],
    )
    _, called, answered = served.service.ask.messages
    assert called["tool_calls"][0]["function"] == function
    assert (answered["content"], answered["name"]) == ("Rain", "get_weather")


def test_a_picture_goes_to_a_model_with_eyes_and_to_no_other(served: Served) -> None:
    picture = base64.b64encode(b"png").decode()
    served.ollama.generate(model="eyes", prompt="What?", images=[picture])
    content = served.service.ask.messages[0]["content"]
    assert content == [{"type": "image", "image": b"png"}, {"type": "text", "text": "What?"}]
    with pytest.raises(ollama.ResponseError, match="cannot see") as raised:
        served.ollama.chat(model="tiny", messages=[{**HELLO[0], "images": [picture]}])
    assert raised.value.status_code == 400


def test_models_are_listed_shown_and_resident(served: Served) -> None:
    tags = served.ollama.list().models
    assert [one.model for one in tags] == ["tiny:latest", "eyes:latest", "base:latest"]
    assert tags[0].details.parameter_size == "134.52M"
    assert tags[0].details.quantization_level == "Q4_1"
    shown = served.ollama.show("eyes")
    assert shown.capabilities == ["completion", "vision"]
    assert shown.modelinfo["llama.context_length"] == 8192
    (held,) = served.ollama.ps().models
    assert (held.model, held.size, held.context_length) == ("tiny:latest", 200_000_000, 8192)
    assert held.expires_at.year == 9999
    with pytest.raises(ollama.ResponseError) as raised:
        served.ollama.show("other")
    assert raised.value.status_code == 404


def test_vectors_are_given(served: Served) -> None:
    found = served.ollama.embed(model="tiny", input=["a", "bb"])
    assert found.embeddings == [[3.0, 4.0, 1.0, 0.0], [3.0, 4.0, 2.0, 0.0]]
    assert served.service.embedded[-1][1] == {"truncate": False}
    assert served.ollama.embed(model="tiny", input="a", dimensions=2).embeddings[0] == (
        pytest.approx([0.6, 0.8])
    )
    assert served.ollama.embeddings(model="tiny", prompt="a").embedding == [3.0, 4.0, 1.0, 0.0]


def test_it_says_that_it_is_there(served: Served) -> None:
    assert served.http.head("/").status_code == 200
    assert set(served.http.get("/api/version").json()) == {"version"}


def test_log_probabilities_are_told(served: Served) -> None:
    served.service.events = [Written(0, "a", logprobs=[logprob("a")]), ended()]
    found = served.ollama.generate(model="tiny", prompt="x", logprobs=True, top_logprobs=2)
    assert [(one.token, one.logprob) for one in found.logprobs] == [("a", -0.5)]
    assert [one.token for one in found.logprobs[0].top_logprobs] == ["a", "other"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [("5m", 300), ("1h30m", 5400), ("-1m", -60), ("300", 300), ("1.5s", 1.5), ("250ms", 0.25)],
)
def test_times_are_read(text: str, expected: float) -> None:
    assert seconds(text) == expected


@pytest.mark.parametrize("text", ["", "soon", "5 m", "m5", "1e400", "99999999999h"])
def test_what_is_no_time_is_refused(served: Served, text: str) -> None:
    with pytest.raises(ollama.ResponseError, match="keep_alive") as raised:
        served.ollama.chat(model="tiny", messages=HELLO, keep_alive=text)
    assert raised.value.status_code == 400


def test_refusals_and_breaks_have_its_words(served: Served) -> None:
    served.service.refusal = BusyError("try again later")
    with pytest.raises(ollama.ResponseError, match="try again later") as raised:
        served.ollama.chat(model="tiny", messages=HELLO)
    assert raised.value.status_code == 429
    served.service.refusal = None
    served.service.events = [Written(0, "Hel"), AnswerLostError("lost on the way")]
    with pytest.raises(ollama.ResponseError, match="lost on the way"):
        list(served.ollama.chat(model="tiny", messages=HELLO, stream=True))


def test_unknown_options_are_told(served: Served) -> None:
    found = served.http.post(
        "/api/chat",
        json={"model": "tiny", "messages": HELLO, "stream": False, "options": {"mirostat": 2}},
    ).json()
    assert found["warnings"] == ["options.mirostat is not known here and was not used"]
