"""A service that says what a test wrote for it, and keeps what it was asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib import import_module
from threading import Thread

import numpy as np
import uvicorn
from fastapi import FastAPI

from fathom.errors import NotFoundError, RequestError
from fathom.generation.results import Measured, TokenLogprob, Usage
from fathom.planning.predict import Forecast
from fathom.serving.application import SHAPES
from fathom.serving.service import (
    Ask,
    Called,
    ChatAsk,
    Ended,
    Event,
    Offered,
    Ranking,
    Resident,
    Scored,
    TextAsk,
    ToolCall,
    Vectors,
    Written,
)
from fathom.spec.card import Card
from waiting import LONGEST, wait_for

CARD = Card(
    name="tiny",
    origin="file:tiny",
    path="/nowhere",
    format="gguf",
    title="Tiny",
    architecture="llama",
    model_class="SLM",
    parameters=134_515_008,
    active_parameters=134_515_008,
    context=8192,
    vocabulary=49_152,
    stored_bytes=98_000_000,
    bytes_by_encoding={"Q4_1": 98_000_000},
    tensors=272,
    licence="apache-2.0",
    tokenizer="BPE",
    chat_template=True,
)
SEEING = replace(CARD, name="eyes", inputs=("text", "picture"))
PLAIN = replace(CARD, name="base", chat_template=False)
CALL = ToolCall("call_1", "get_weather", '{"city": "Köln"}')


def logprob(text: str, value: float = -0.5) -> TokenLogprob:
    """Return a token with two likeliest ones beside it."""
    top = (TokenLogprob(7, text, value), TokenLogprob(8, "other", -2.0))
    return TokenLogprob(7, text, value, top)


def ended(index: int = 0, reason: str = "stop", stop: str | None = None) -> Ended:
    """Return the end of an answer of three tokens to a prompt of eleven."""
    measured = Measured(0.5, 100.0, 50.0, 1_000_000, 2.0)
    return Ended(index, reason, Usage(11, 3, 1, 4), measured, Forecast(0.4, 90.0, 60.0), stop)  # type: ignore[arg-type]


SAID: Sequence[Event] = (Written(0, "Hel"), Written(0, "lo"), ended())
CALLING: Sequence[Event] = (Written(0, "Let me see."), Called(0, CALL), ended(0, "tool_calls"))
THINKING: Sequence[Event] = (
    Written(0, reasoning="Hm, "),
    Written(0, reasoning="yes."),
    Written(0, "Yes"),
    ended(),
)


@dataclass
class ScriptedAnswer:
    """Events that are said one by one."""

    events: Sequence[Event | Exception]
    model: str
    warnings: Sequence[str] = ()
    closed: bool = False
    pause: float = 0.0

    async def __aiter__(self) -> AsyncIterator[Event]:
        for event in self.events:
            await asyncio.sleep(self.pause)
            if isinstance(event, Exception):
                raise event
            yield event

    async def close(self) -> None:
        self.closed = True


@dataclass
class Scripted:
    """What a test says, and what was asked."""

    events: Sequence[Event | Exception] = SAID
    script: Callable[[Ask], Sequence[Event | Exception]] | None = None
    warnings: Sequence[str] = ()
    refusal: Exception | None = None
    asks: list[Ask] = field(default_factory=list)
    answers: list[ScriptedAnswer] = field(default_factory=list)
    unloaded: list[str] = field(default_factory=list)
    embedded: list[tuple[Sequence[str], dict[str, object]]] = field(default_factory=list)
    pause: float = 0.0

    @property
    def ask(self) -> Ask:
        """The last one."""
        return self.asks[-1]

    def offered(self) -> Sequence[Offered]:
        return [Offered(one.name, one, one.stored_bytes, 1.7e9) for one in (CARD, SEEING, PLAIN)]

    def resident(self) -> Sequence[Resident]:
        return [Resident("tiny", CARD, 200_000_000, 8192, None, 1, 0)]

    async def chat(self, ask: ChatAsk) -> ScriptedAnswer:
        return self._begin(ask)

    async def write(self, ask: TextAsk) -> ScriptedAnswer:
        return self._begin(ask)

    def _begin(self, ask: Ask) -> ScriptedAnswer:
        self._check(ask.model)
        self.asks.append(ask)
        events = self.events if self.script is None else self.script(ask)
        self.answers.append(ScriptedAnswer(events, ask.model, self.warnings, pause=self.pause))
        return self.answers[-1]

    def _check(self, model: str) -> None:
        if self.refusal is not None:
            raise self.refusal
        if model.removesuffix(":latest") not in {one.name for one in self.offered()}:
            raise NotFoundError(f"the model {model!r} is not offered here")

    async def embed(self, model: str, texts: Sequence[str], **options: object) -> Vectors:
        self._check(model)
        self.embedded.append((texts, options))
        rows = [[3.0, 4.0, float(len(text)), 0.0] for text in texts]
        return Vectors(np.array(rows, dtype=np.float32), 5)

    async def rank(self, model: str, query: str, documents: Sequence[str]) -> Ranking:
        self._check(model)
        scores = [Scored(at, float(len(text))) for at, text in enumerate(documents)]
        return Ranking(sorted(scores, key=lambda one: -one.score), 9)

    async def encode(self, model: str, text: str, *, special: bool = True) -> Sequence[int]:
        self._check(model)
        return [1] * special + list(text.encode())

    async def decode(self, model: str, tokens: Sequence[int]) -> str:
        self._check(model)
        if any(token > 255 for token in tokens):
            raise RequestError("no such token")
        return bytes(tokens).decode(errors="replace")

    async def count(self, ask: ChatAsk) -> int:
        self._check(ask.model)
        self.asks.append(ask)
        return 42

    async def unload(self, model: str) -> bool:
        self.unloaded.append(model)
        return True


def application(service: Scripted) -> FastAPI:
    """Return every shape over a service."""
    found = FastAPI(docs_url=None, redoc_url=None)
    for name in SHAPES:
        found.include_router(import_module(f"fathom.serving.shapes.{name}").router(service))
    return found


@contextmanager
def listening(app: FastAPI) -> Iterator[str]:
    """Serve an application on a socket and yield its address."""
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning", lifespan="off")
    server = uvicorn.Server(config)
    thread = Thread(target=server.run, daemon=True)
    thread.start()
    wait_for(lambda: server.started)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(LONGEST)
