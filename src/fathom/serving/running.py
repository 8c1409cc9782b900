"""A server from its first to its last request: bounded connections, slow ones, signals, the end."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from time import monotonic
from types import FrameType

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from fathom.errors import RequestError
from fathom.serving.application import Application
from fathom.serving.house import House
from fathom.serving.limits import Limits

logger = logging.getLogger("fathom.serving")

BACKLOG = 128  # connections that the system holds until they are taken
LOOK_SECONDS = 0.05  # between two looks at whether all is done


def bounded(limits: Limits) -> type[H11Protocol]:
    """Return uvicorn's own protocol with bounds on connections and on the time for headers."""

    class Bounded(H11Protocol):
        """A connection that is refused when there are too many, and closed when it dawdles."""

        _head: asyncio.TimerHandle | None = None
        access_log = property(lambda _: False, lambda *_: None)  # its lines hold queries

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            if len(self.connections) > limits.connections:
                transport.close()
                return
            self._wait_for_head()

        def data_received(self, data: bytes) -> None:
            if self._head is None and self.conn.their_state is h11.IDLE:
                self._wait_for_head()
            super().data_received(data)
            if self._head is not None and self.conn.their_state is not h11.IDLE:
                self._head.cancel()
                self._head = None

        def connection_lost(self, exc: Exception | None) -> None:
            if self._head is not None:
                self._head.cancel()
            super().connection_lost(exc)

        def _wait_for_head(self) -> None:
            self._head = self.loop.call_later(limits.header_seconds, self._late)

        def _late(self) -> None:
            self._head = None
            if self.conn.their_state is h11.IDLE and not self.transport.is_closing():
                self.transport.write(b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\n\r\n")
                self.transport.close()

    return Bounded


class Running(uvicorn.Server):
    """A server that drains before it ends.

    Told to end, it takes nothing new and says so, finishes what it has, and after
    `limits.drain_seconds` tells the rest. Told twice, it ends at once.
    """

    def __init__(self, config: uvicorn.Config, house: House) -> None:
        super().__init__(config)
        self._house = house
        self._draining: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until told to end."""
        self._loop = asyncio.get_running_loop()
        await super().serve(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to drain at the first signal, end at the second."""
        if self._house.admission.closed or self._loop is None:
            self.force_exit = self.should_exit = True
            return
        self._house.admission.closed = True
        self._loop.call_soon_threadsafe(self._begin_to_drain)

    def _begin_to_drain(self) -> None:
        self._draining = asyncio.ensure_future(self._drain())

    async def _drain(self) -> None:
        house = self._house
        end = monotonic() + house.limits.drain_seconds
        while house.admission.inside and monotonic() < end and not self.force_exit:
            await asyncio.sleep(LOOK_SECONDS)
        if house.admission.inside:
            logger.warning("%d asks are ended unfinished", house.admission.inside)
            await house.residents.close()  # which tells all that wait
        self.should_exit = True


def run(application: Application, listening: socket.socket) -> None:
    """Serve an application until a signal ends it; returns when everything is let go."""
    server = Running(configuration(application), application.house)
    signals = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        asyncio.run(server.serve([listening]))
    finally:
        for each, handler in signals.items():
            signal.signal(each, handler)


def configuration(application: Application) -> uvicorn.Config:
    """Return how uvicorn serves an application: bounded, quiet, no name of ours in headers."""
    limits = application.house.limits
    return uvicorn.Config(
        application.asgi,
        http=bounded(limits),
        ws="none",
        lifespan="on",
        proxy_headers=False,  # what a caller says of itself is not believed
        server_header=False,
        access_log=False,
        log_config=None,
        backlog=BACKLOG,
        h11_max_incomplete_event_size=limits.header,
        timeout_graceful_shutdown=2,
    )


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that is bound; port 0 for any that is free.

    Raises:
        RequestError: naming what is in the way.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    found = socket.socket(family, socket.SOCK_STREAM)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind((host.strip("[]"), port))
    except OSError as error:
        found.close()
        raise RequestError(
            f"{host}:{port} cannot be listened at ({error.strerror}); take another --port"
        ) from error
    return found
