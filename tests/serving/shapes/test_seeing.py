"""A model with eyes is asked about a picture by every client, over a real house."""

from __future__ import annotations

import base64
import io
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
            with pytest.raises(openai.BadRequestError, match="no tools"):
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
