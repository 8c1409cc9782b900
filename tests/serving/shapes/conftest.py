"""All shapes over a scripted service, on a socket that official clients talk to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property

import anthropic
import httpx
import ollama
import openai
import pytest

from serving.shapes.scripted import Scripted, application, listening
from waiting import LONGEST


@dataclass
class Served:
    """A server, what it says, and those who talk to it, who are closed with the `stack`."""

    service: Scripted
    url: str
    stack: ExitStack

    @cached_property
    def http(self) -> httpx.Client:
        """A plain client."""
        return self.stack.enter_context(
            httpx.Client(base_url=self.url, timeout=LONGEST, verify=False)
        )

    @cached_property
    def openai(self) -> openai.OpenAI:
        """OpenAI's client."""
        client = openai.OpenAI(base_url=f"{self.url}/v1", api_key="none", max_retries=0)
        return self.stack.enter_context(client)

    @cached_property
    def anthropic(self) -> anthropic.Anthropic:
        """Anthropic's client."""
        client = anthropic.Anthropic(base_url=self.url, api_key="none", max_retries=0)
        return self.stack.enter_context(client)

    @cached_property
    def ollama(self) -> ollama.Client:
        """Ollama's client."""
        return self.stack.enter_context(ollama.Client(host=self.url, timeout=LONGEST))


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
    with ExitStack() as stack:
        yield Served(service, url, stack)
