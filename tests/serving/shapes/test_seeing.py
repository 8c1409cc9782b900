"""A model with eyes is asked about a picture by every client, over a real house."""

from __future__ import annotations

import base64
import io
import json
import shutil
from pathlib import Path

import anthropic
import numpy as np
import ollama
import openai
import pytest
import torch
import transformers
from PIL import Image

from fathom import library
from parity.cases_vision_language import CASES, PLACEHOLDER
from parity.test_vision_language import save_beside
from serving.conftest import Start

TOKENS = 5
CALLING = "{% for tool in tools or [] %}<tool_call>{{ tool.function.name }}{% endfor %}"
WHERE = {"type": "object", "properties": {"x": {"enum": ["A"]}}, "required": ["x"]}
TOOL = {
    "type": "function",
    "function": {"name": "at", "parameters": {**WHERE, "additionalProperties": False}},
}


@pytest.fixture(scope="module")
def seeing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a tiny model that sees."""
    torch.manual_seed(0)
    stated = {**CASES["llava"].config, "image_token_index": PLACEHOLDER}
    model = transformers.LlavaForConditionalGeneration(transformers.LlavaConfig(**stated))
    folder = tmp_path_factory.mktemp("seeing") / "model"
    model.save_pretrained(folder)
    save_beside(folder)
    return folder


def test_a_picture_is_asked_about(start: Start, seeing: Path) -> None:
    file = io.BytesIO()
    Image.fromarray(np.full((40, 50, 3), 99, dtype=np.uint8)).save(file, "PNG")
    picture = {"type": "image", "image": file.getvalue()}
    asked = {"type": "text", "text": "What is this?"}
    own = library.open(str(seeing)).chat(
        [{"role": "user", "content": [picture, asked]}], max_tokens=TOKENS
    )
    expected = "".join(map(str, own))
    packed = base64.b64encode(file.getvalue()).decode()
    with start(str(seeing)) as running:
        with openai.OpenAI(base_url=f"{running.url}/v1", api_key="x", max_retries=0) as client:
            url = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{packed}"}}
            found = client.chat.completions.create(
                model=running.model,
                messages=[{"role": "user", "content": [url, asked]}],
                max_tokens=TOKENS,
            )
            assert found.choices[0].message.content == expected
            assert found.usage.prompt_tokens == own.usage.prompt_tokens
            tool = {"type": "function", "function": {"name": "now"}}
            asking = {"model": running.model, "messages": [{"role": "user", "content": "Hi"}]}
            with pytest.raises(openai.BadRequestError, match="not taught to call tools"):
                client.chat.completions.create(**asking, tools=[tool])
            thought = client.chat.completions.create(
                **asking, tools=[tool], tool_choice="none", reasoning_effort="none", max_tokens=2
            )
            assert "marks no thinking" in thought.model_dump()["warnings"][0]
            broken = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
            with pytest.raises(openai.BadRequestError):
                client.chat.completions.create(
                    model=running.model, messages=[{"role": "user", "content": [broken]}]
                )
        with anthropic.Anthropic(base_url=running.url, api_key="x", max_retries=0) as other:
            source = {"type": "base64", "media_type": "image/png", "data": packed}
            content = [{"type": "image", "source": source}, asked]
            message = other.messages.create(
                model=running.model,
                messages=[{"role": "user", "content": content}],
                max_tokens=TOKENS,
            )
            assert message.content[0].text == expected
        with ollama.Client(host=running.url) as third:
            told = third.generate(
                running.model,
                "What is this?",
                images=[packed],
                options={"num_predict": TOKENS},
            )
            assert told.response == expected


def test_a_picture_may_lead_to_a_call(start: Start, seeing: Path, tmp_path: Path) -> None:
    """Where the template knows of tools."""
    folder = tmp_path / "calling"
    shutil.copytree(seeing, folder)
    stated = json.loads((folder / "tokenizer_config.json").read_text())
    stated["chat_template"] = CALLING + stated["chat_template"]
    (folder / "tokenizer_config.json").write_text(json.dumps(stated))
    config = json.loads((folder / "config.json").read_text())
    config["text_config"]["max_position_embeddings"] = 512
    (folder / "config.json").write_text(json.dumps(config))
    file = io.BytesIO()
    Image.fromarray(np.full((40, 50, 3), 99, dtype=np.uint8)).save(file, "PNG")
    packed = base64.b64encode(file.getvalue()).decode()
    url = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{packed}"}}
    with (
        start(str(folder)) as running,
        openai.OpenAI(base_url=f"{running.url}/v1", api_key="x", max_retries=0) as client,
    ):
        found = client.chat.completions.create(
            model=running.model,
            messages=[{"role": "user", "content": [url, {"type": "text", "text": "?"}]}],
            tools=[TOOL],
            tool_choice="required",
            parallel_tool_calls=False,
            max_tokens=200,
            logit_bias=dict.fromkeys(map(str, b"\t\n\r "), -100),  # or it may write them for ever
        )
        (call,) = found.choices[0].message.tool_calls
        assert found.choices[0].finish_reason == "tool_calls"
        assert call.function.name == "at"
        assert json.loads(call.function.arguments) == {"x": "A"}
