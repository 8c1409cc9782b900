"""A real server in a thread of the tests, over a tiny chat model, driven through a real socket."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import psutil
import pytest

from fathom.serving.application import application
from fathom.serving.guarding import Door
from fathom.serving.house import House
from fathom.serving.limits import USUAL, Limits
from fathom.serving.running import Running, configuration, listen
from library import tiny
from waiting import LONGEST, wait_for

# Other tests take the processor: what is slow is neither refused nor taken for dead.
PATIENT = replace(
    USUAL,
    drain_seconds=2.0,
    most_wait=1000.0,
    body_seconds=LONGEST,
    header_seconds=LONGEST,
    queue_seconds=LONGEST,
    stream_seconds=LONGEST,
    silent_seconds=LONGEST,
)


class Serving:
    """A server that runs in a thread.

    Attributes:
        url: where it is.
        house: what it serves.
        model: the name of its first model.
    """

    def __init__(self, house: House, door: Door) -> None:
        self.house = house
        self.app = application(house, door)
        self.model = house.shelf.names[0]
        self._socket = listen("127.0.0.1", 0)
        self.port: int = self._socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.server = Running(configuration(self.app), house)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        wait_for(lambda: self.server.started)

    def client(self, **options: object) -> httpx.Client:
        """Return a client of it."""
        return httpx.Client(base_url=self.url, timeout=LONGEST, trust_env=False, **options)

    def on_loop(self, work: Callable[[], object]) -> object:
        """Do something on the server's own thread, where its state may be looked at."""

        async def done() -> object:
            return work()

        assert self.server._loop is not None
        return asyncio.run_coroutine_threadsafe(done(), self.server._loop).result(LONGEST)

    def worker(self, model: str | None = None):
        """Return the process of a model."""
        return self.house.residents.tenants[model or self.model].worker

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Hold the process of its first model: nothing that it was asked ends meanwhile."""
        process = psutil.Process(self.worker().pid)
        process.suspend()
        try:
            yield
        finally:
            process.resume()

    def close(self) -> None:
        """End it."""
        self.server.should_exit = True
        self._thread.join(LONGEST)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        asyncio.run(self.server.serve([self._socket]))


def long_answer(tokens: int = 400, **more: object) -> dict[str, object]:
    """Return a body that has the tiny model write so many tokens."""
    said = [{"role": "user", "content": "hello"}]
    return {"messages": said, "max_tokens": tokens, **more}


Start = Callable[..., AbstractContextManager[Serving]]


@pytest.fixture(scope="session")
def tiny_chat(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a small decoder with a chat template that answers at length: for some seconds."""
    sizes = {"hidden_size": 384, "intermediate_size": 768, "num_hidden_layers": 4}
    folder = tmp_path_factory.mktemp("chat") / "chatty"
    return tiny.make(folder, max_position_embeddings=1024, **sizes)


@pytest.fixture(scope="session")
def start(tiny_chat: Path) -> Start:
    """Return what starts a server of one's own; by default over the tiny chat model."""

    @contextmanager
    def started(
        *names: str, limits: Limits = PATIENT, door: Door | None = None, **options: object
    ) -> Iterator[Serving]:
        house = House(names or (str(tiny_chat),), limits=limits, **options)
        serving = Serving(house, door or Door())
        try:
            yield serving
        finally:
            serving.close()

    return started


@pytest.fixture(scope="session")
def serving(start: Start) -> Iterator[Serving]:
    """Return a server that tests share."""
    with start() as running:
        yield running
