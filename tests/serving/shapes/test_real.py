"""Every shape over a real house says what the model itself says in process."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import anthropic
import httpx
import ollama
import openai
import pytest
import torch

import fathom
from fathom.library import TextModel
from library import tiny
from serving.conftest import Serving, Start
from waiting import LONGEST

HELLO = [{"role": "user", "content": "Hello, you"}]
TOKENS = 12
GREEDY = {"max_tokens": TOKENS, "temperature": 0}
MARK = "[TOOL_CALLS]"
TOOL_TEMPLATE = (
    "{% for tool in tools or [] %}[TOOL]{{ tool | tojson }}{% endfor %}"
    "{% for message in messages %}<s>{{ message['content'] }}"
    "{% for call in message.tool_calls or [] %}[TOOL_CALLS]{{ call | tojson }}{% endfor %}"
    "</s>{% endfor %}<s>"
)
SCHEMA = {
    "type": "object",
    "properties": {"city": {"enum": ["Oslo", "Rome"]}, "days": {"type": "integer", "maximum": 9}},
    "required": ["city"],
    "additionalProperties": False,
}
TOOLS = [
    {"type": "function", "function": {"name": "get_weather", "parameters": SCHEMA}},
    {"type": "function", "function": {"name": "now", "parameters": {"type": "object"}}},
]


@pytest.fixture(scope="module")
def model(tiny_chat: Path) -> TextModel:
    """Return the served model, opened in process."""
    found = fathom.open(str(tiny_chat))
    assert isinstance(found, TextModel)
    return found


@pytest.fixture
def theirs(serving: Serving) -> Iterator[openai.OpenAI]:
    """Return OpenAI's client of the shared server."""
    with openai.OpenAI(base_url=f"{serving.url}/v1", api_key="x", max_retries=0) as client:
        yield client


@pytest.fixture
def said(model: TextModel) -> str:
    """Return what the model says to hello."""
    generation = model.chat(HELLO, **GREEDY)
    return "".join(generation)


def test_openai_says_what_the_model_says(
    theirs: openai.OpenAI, serving: Serving, model: TextModel, said: str
) -> None:
    ask = {"model": serving.model, "messages": HELLO, **GREEDY}
    whole = theirs.chat.completions.create(**ask, logprobs=True, top_logprobs=3)
    assert whole.choices[0].message.content == said
    own = model.chat(HELLO, **GREEDY, logprobs=3)
    assert "".join(own) == said
    told = [(one.token, one.logprob) for one in whole.choices[0].logprobs.content]
    expected = [(one.text, one.logprob) for one in own.logprobs or ()]
    assert [token for token, _ in told] == [token for token, _ in expected]
    assert [value for _, value in told] == pytest.approx([value for _, value in expected], abs=1e-4)
    usage = whole.usage
    assert (usage.prompt_tokens, usage.completion_tokens) == (
        own.usage.prompt_tokens,
        own.usage.completion_tokens,
    )
    chunks = theirs.chat.completions.create(**ask, stream=True)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == said
    response = theirs.responses.create(
        model=serving.model, input="Hello, you", max_output_tokens=TOKENS, temperature=0
    )
    assert response.output_text == said


def test_anthropic_and_ollama_say_the_same(serving: Serving, said: str) -> None:
    with anthropic.Anthropic(base_url=serving.url, api_key="x", max_retries=0) as client:
        ask = {"model": serving.model, "messages": HELLO, "max_tokens": TOKENS}
        message = client.messages.create(**ask, extra_body={"temperature": 0})
        assert message.content[0].text == said
        with client.messages.stream(**ask) as stream:
            assert "".join(stream.text_stream) == said
        stopped = client.messages.create(**ask, stop_sequences=[said[3:5]])
        assert (stopped.stop_reason, stopped.stop_sequence) == ("stop_sequence", said[3:5])
        counted = client.messages.count_tokens(model=serving.model, messages=HELLO)
        assert counted.input_tokens == message.usage.input_tokens + (
            message.usage.cache_read_input_tokens or 0
        )
    options = {"num_predict": TOKENS, "temperature": 0}
    with ollama.Client(host=serving.url) as other:
        assert other.chat(serving.model, HELLO, options=options).message.content == said
        parts = other.generate(serving.model, "Hello, you", options=options, stream=True)
        assert "".join(part.response for part in parts) == said


@pytest.mark.parametrize("as_ids", [False, True])
def test_completions_continue_texts_and_score_them(
    theirs: openai.OpenAI, serving: Serving, model: TextModel, as_ids: bool
) -> None:
    ids = model.tokenizer.encode("Once upon a time")
    own = model.generate("Once upon a time", **GREEDY)
    expected = "".join(own)
    found = theirs.completions.create(
        model=serving.model,
        prompt=ids if as_ids else "Once upon a time",
        echo=True,
        logprobs=2,
        **GREEDY,
    )
    assert found.choices[0].text == model.tokenizer.decode(ids, skip_special=False) + expected
    told = found.choices[0].logprobs
    scores = torch.log_softmax(model.logits([ids])[0], dim=-1)
    exact = [scores[at, token].item() for at, token in enumerate(ids[1:])]
    assert told.token_logprobs[0] is None
    assert told.token_logprobs[1 : len(ids)] == pytest.approx(exact, abs=1e-3)
    best = [max(one, key=one.get) for one in told.top_logprobs[1 : len(ids)]]
    likeliest = [model.tokenizer.decode([id]) for id in scores[:-1].argmax(-1).tolist()]
    assert best == likeliest
    assert len(told.tokens) == len(told.text_offset) == len(ids) + TOKENS
    assert "".join(told.tokens[: len(ids)]) == found.choices[0].text[: told.text_offset[len(ids)]]


def test_several_prompts_are_one_answer_each(
    theirs: openai.OpenAI, serving: Serving, model: TextModel
) -> None:
    prompts = ["Once", "A window", "zzz"]
    found = theirs.completions.create(model=serving.model, prompt=prompts, n=2, **GREEDY)
    expected = ["".join(model.generate(prompt, **GREEDY)) for prompt in prompts]
    texts = [one.text for one in found.choices]
    assert texts == [text for text in expected for _ in range(2)]


def test_an_answer_has_the_form_that_is_asked_for(theirs: openai.OpenAI, serving: Serving) -> None:
    ask = {"model": serving.model, "messages": HELLO, "max_tokens": 60}
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}
    found = theirs.chat.completions.create(**ask, response_format=form)
    assert json.loads(found.choices[0].message.content)["city"] in ("Oslo", "Rome")
    with ollama.Client(host=serving.url) as other:
        said = other.chat(serving.model, HELLO, format=SCHEMA).message.content
    assert json.loads(said)["city"] in ("Oslo", "Rome")


def test_tokens_are_the_models_own(serving: Serving, model: TextModel) -> None:
    with serving.client() as client:
        found = client.post("/tokenize", json={"content": "Hello"}).json()
        assert found["tokens"] == model.tokenizer.encode("Hello", add_special=False)
        back = client.post("/detokenize", json={"tokens": found["tokens"]}).json()
        assert back["content"] == "Hello"


def test_thinking_is_bounded_where_there_is_any_and_told_where_not(
    theirs: openai.OpenAI, serving: Serving, said: str
) -> None:
    found = theirs.chat.completions.create(
        model=serving.model, messages=HELLO, reasoning_effort="low", **GREEDY
    )
    assert found.choices[0].message.content == said
    (line,) = found.model_dump()["warnings"]
    assert "marks no thinking" in line


def test_what_the_model_cannot_is_refused(theirs: openai.OpenAI, serving: Serving) -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    messages = [{"role": "user", "content": [picture]}]
    with pytest.raises(openai.BadRequestError, match="cannot see"):
        theirs.chat.completions.create(model=serving.model, messages=messages)
    with pytest.raises(openai.BadRequestError, match="knows of none"):
        theirs.chat.completions.create(model=serving.model, messages=HELLO, tools=TOOLS)
    with pytest.raises(openai.BadRequestError) as raised:
        theirs.chat.completions.create(model=serving.model, messages=HELLO, max_tokens=100_000)
    assert raised.value.code == "context_length_exceeded"
    with pytest.raises(openai.BadRequestError):
        theirs.completions.create(model=serving.model, prompt=[100_000], max_tokens=1)


@pytest.fixture(scope="module", params=[(), (MARK, "</tool_call>", "<tool_call>")], ids=str)
def calling(
    request: pytest.FixtureRequest, start: Start, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Serving]:
    """Return a server of a model that is shown tools; its markers are special tokens or not."""
    folder = tmp_path_factory.mktemp("tools") / "caller"
    added: Sequence[str] = request.param
    sizes = {"vocab_size": 272, "max_position_embeddings": 2048}
    tiny.make(folder, added=added, **sizes)
    config = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(
        json.dumps({**config, "chat_template": TOOL_TEMPLATE})
    )
    with start(str(folder)) as running:
        yield running


@pytest.mark.parametrize("choice", ["required", TOOLS[0] | {"function": {"name": "get_weather"}}])
def test_a_forced_call_is_a_call(calling: Serving, choice: object) -> None:
    with openai.OpenAI(base_url=f"{calling.url}/v1", api_key="x", max_retries=0) as client:
        ask = {"model": calling.model, "messages": HELLO, "tools": TOOLS, "max_tokens": 300}
        for stream in (False, True):
            found = client.chat.completions.create(
                **ask, tool_choice=choice, parallel_tool_calls=False, stream=stream, seed=1
            )
            if stream:
                choices = [chunk.choices[0] for chunk in found]
                calls = [call for one in choices for call in one.delta.tool_calls or ()]
                said, reason = choices[1].delta.content, choices[-1].finish_reason
            else:
                message = found.choices[0].message
                calls, said = message.tool_calls, message.content
                reason = found.choices[0].finish_reason
            if reason == "length":  # a random model may never close a string
                assert not calls
                continue
            (call,) = calls
            assert reason == "tool_calls"
            assert said is None
            arguments = json.loads(call.function.arguments)
            if call.function.name == "get_weather":
                assert arguments["city"] in ("Oslo", "Rome")
            assert len(call.id) == 9


@pytest.mark.slow
def test_vectors_are_the_models_own(start: Start, minilm_path: Path) -> None:
    texts = ["Once upon a time", "A window"]
    own = fathom.open(str(minilm_path)).embed(texts)
    with start(str(minilm_path)) as running:
        with openai.OpenAI(base_url=f"{running.url}/v1", api_key="x", max_retries=0) as client:
            found = client.embeddings.create(model=running.model, input=texts)
            for one, row in zip(found.data, own, strict=True):
                assert one.embedding == pytest.approx(row.tolist(), abs=1e-5)
        with ollama.Client(host=running.url) as other:
            assert other.embed(running.model, texts).embeddings[1] == pytest.approx(
                own[1].tolist(), abs=1e-5
            )
            with pytest.raises(ollama.ResponseError):
                other.chat(running.model, HELLO)


@pytest.mark.slow
def test_smollm2_answers_every_client(start: Start, smollm2_path: Path) -> None:
    model = fathom.open(str(smollm2_path))
    own = "".join(model.chat(HELLO, **GREEDY))
    with start(str(smollm2_path)) as running:
        body = {"model": running.model, "messages": HELLO, **GREEDY}
        with httpx.Client(base_url=running.url, timeout=LONGEST) as client:
            chat = client.post("/v1/chat/completions", json=body).json()
            message = client.post("/v1/messages", json=body).json()
        assert chat["choices"][0]["message"]["content"] == own
        assert message["content"][0]["text"] == own
        assert chat["fathom"]["predicted"]["decode_tokens_per_second"]
