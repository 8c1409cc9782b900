"""All shapes over a scripted service, on a socket that official clients talk to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import anthropic
import httpx
import ollama
import openai
import pytest

from serving.shapes.scripted import Scripted, application, listening


@dataclass
class Served:
    """A server, what it says, and those who talk to it."""

    service: Scripted
    url: str
    http: httpx.Client
    openai: openai.OpenAI
    anthropic: anthropic.Anthropic
    ollama: ollama.Client


@pytest.fixture(scope="session")
def _listening() -> Iterator[tuple[Scripted, str]]:
    service = Scripted()
    with listening(application(service)) as url:
        yield service, url


@pytest.fixture
def served(_listening: tuple[Scripted, str]) -> Iterator[Served]:
    """Return a server whose service says hello unless told otherwise."""
    service, url = _listening
    vars(service).update(vars(Scripted()))
    with (
        httpx.Client(base_url=url, timeout=30) as http,
        openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as theirs,
        anthropic.Anthropic(base_url=url, api_key="none", max_retries=0) as others,
        ollama.Client(host=url) as third,
    ):
        yield Served(service, url, http, theirs, others, third)
