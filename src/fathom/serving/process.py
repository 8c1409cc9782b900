"""A worker as the server sees it: started, asked, watched, and ended."""

from __future__ import annotations

import asyncio
import itertools
import os
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from time import monotonic
from typing import cast

import psutil

from fathom.errors import AnswerLostError, FathomError
from fathom.serving.frames import KINDS, LARGEST, LENGTH, Frame, packed, unpacked
from fathom.serving.limits import Limits
from fathom.serving.service import Ask, Ended, Event

PROGRAM = ("-P", "-s", "-m", "fathom.serving.worker")  # of a worker
SECRETS = ("KEY", "TOKEN", "SECRET", "PASSWORD", "CREDENTIAL")  # in names of the environment
ENDING_SECONDS = 2.0  # for a worker that was told to close and has nothing to do


class Stream:
    """The answer to one ask: events in the order in which the worker sent them.

    Attributes:
        model: the name that was asked for.
        warnings: what was asked for and is not done.
    """

    def __init__(self, worker: Worker, number: int, ask: Ask) -> None:
        self.model = ask.model
        self.warnings: Sequence[str] = ()
        self.begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._worker = worker
        self._number = number
        self._open = ask.count  # answers that have not ended
        self._events: asyncio.Queue[Event | FathomError] = asyncio.Queue()

    async def __aiter__(self) -> AsyncIterator[Event]:
        """Yield events until every answer has ended.

        Raises:
            FathomError: what ended them before their time.
        """
        try:
            while self._open:
                event = await self._events.get()
                if isinstance(event, Exception):
                    self._open = 0
                    raise event
                self._open -= isinstance(event, Ended)
                yield event
        finally:
            await self.close()

    async def close(self) -> None:
        """Cancel what is not done and give its memory back. Harmless after the end."""
        self._open = 0
        self._worker.forget(self._number)

    def take(self, frame: Frame) -> None:
        """Take what the worker says about this ask."""
        if frame.kind == "begun":
            self.warnings = tuple(cast("list[str]", frame.content))
            if not self.begun.done():
                self.begun.set_result(None)
            return
        content = cast("Event | FathomError", frame.content)
        if isinstance(content, Exception) and not self.begun.done():
            self.begun.set_exception(content)
            return
        self._events.put_nowait(content)


class Worker:
    """A model in a process of its own.

    Attributes:
        figures: what its engine said last; None for a model without one.
        lost: why it is of no use any more; None while it is.
    """

    def __init__(self, process: asyncio.subprocess.Process, limits: Limits) -> None:
        self.figures: Mapping[str, float] | None = None
        self.lost: FathomError | None = None
        self.tasks: Sequence[str] = ()
        self.load_seconds = 0.0
        self._process = process
        self._silent = limits.silent_seconds
        self._numbers = itertools.count(1)
        self._streams: dict[int, Stream] = {}
        self._calls: dict[int, asyncio.Future[object]] = {}
        self._ready: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        self._heard = monotonic()
        self._watching = [asyncio.create_task(each) for each in (self._read(), self._watch())]

    @classmethod
    async def start(
        cls, opening: Mapping[str, object], bounds: Mapping[str, float], limits: Limits
    ) -> Worker:
        """Start a process that opens a model, and wait until it has.

        Raises:
            FathomError: what opening found wrong.
        """
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, *PROGRAM),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=environment(),
        )
        worker = cls(process, limits)
        worker._calls[0] = worker._ready
        content = {"opening": opening, "bounds": bounds, "seconds": limits.answer_seconds}
        try:
            worker._send(Frame(0, "open", content))
            facts = cast("Mapping[str, object]", await worker._ready)
            del worker._calls[0]
        except BaseException:
            await worker.kill()
            raise
        worker.tasks = tuple(cast("list[str]", facts["tasks"]))
        worker.load_seconds = cast("float", facts["load_seconds"])
        return worker

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    @property
    def busy(self) -> int:
        """Asks on their way."""
        return len(self._streams) + len(self._calls)

    def resident_bytes(self) -> int:
        """Return the memory that the process holds; 0 where it has ended."""
        try:
            return int(psutil.Process(self.pid).memory_info().rss)
        except psutil.NoSuchProcess:
            return 0

    async def begin(self, ask: Ask) -> Stream:
        """Hand over an ask to write, and wait until it is taken.

        Raises:
            FathomError: why it is refused.
        """
        self._require()
        number = next(self._numbers)
        stream = Stream(self, number, ask)
        self._streams[number] = stream
        self._send(Frame(number, KINDS[type(ask)], ask))
        try:
            await stream.begun
        except BaseException:
            self.forget(number)
            raise
        return stream

    async def call(self, kind: str, content: object) -> object:
        """Ask for what comes back in one piece.

        Raises:
            FathomError: why it is refused.
        """
        self._require()
        number = next(self._numbers)
        found: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        self._calls[number] = found
        self._send(Frame(number, kind, content))
        try:
            return await found
        finally:
            self._calls.pop(number, None)

    def forget(self, number: int) -> None:
        """Tell the worker that an ask is done, or is to be."""
        if self._streams.pop(number, None) is not None and self.lost is None:
            self._send(Frame(number, "cancel"))

    async def close(self) -> None:
        """End the process; what is not finished is lost."""
        if self.lost is None:
            self._send(Frame(0, "close", False))
            with suppress(TimeoutError):
                await asyncio.wait_for(self._process.wait(), ENDING_SECONDS)
        await self.kill()

    async def kill(self) -> None:
        """End the process at once, and tell all that wait for it."""
        with suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()
        self._lose(AnswerLostError("the model was taken out of memory; ask again"))
        for task in self._watching:
            task.cancel()
        if self._process.stdin is not None:
            self._process.stdin.close()

    def _require(self) -> None:
        if self.lost is not None:
            raise self.lost

    def _send(self, frame: Frame) -> None:
        pipe = self._process.stdin
        if pipe is not None and not pipe.is_closing():
            pipe.write(packed(frame))

    async def _read(self) -> None:
        """Hand out what the worker says, until it ends."""
        pipe = self._process.stdout
        why = "the process of the model ended"
        try:
            while pipe is not None:
                (length,) = LENGTH.unpack(await pipe.readexactly(LENGTH.size))
                if length > LARGEST:
                    raise ValueError(f"a frame of {length:,} bytes")
                self._take(unpacked(await pipe.readexactly(length)))
        except asyncio.IncompleteReadError:
            code = await self._process.wait()
            why += f" with {code}" if code >= 0 else f" by signal {-code}"
        except (ValueError, TypeError) as error:
            why = f"the process of the model made no sense ({error})"
            with suppress(ProcessLookupError):
                self._process.kill()
        self._lose(AnswerLostError(f"{why}; it is started again when it is next asked"))

    def _take(self, frame: Frame) -> None:
        self._heard = monotonic()
        if frame.kind == "beat":
            self.figures = cast("Mapping[str, float] | None", frame.content)
            if self.figures and self.figures["step_seconds"] > self.figures["step_longest"]:
                self._end_hanging()
        elif frame.number in self._streams:
            self._streams[frame.number].take(frame)
        elif (call := self._calls.get(frame.number)) is not None and not call.done():
            if isinstance(frame.content, Exception):
                call.set_exception(frame.content)
            else:
                call.set_result(frame.content)

    async def _watch(self) -> None:
        """End a process that gives no sign of life once it was ready."""
        with suppress(FathomError):
            await asyncio.shield(self._ready)
        self._heard = monotonic()
        while self.lost is None:
            await asyncio.sleep(self._silent / 8)
            if monotonic() - self._heard > self._silent:
                self._end_hanging()

    def _end_hanging(self) -> None:
        """End a process that lives and does not get on."""
        self._lose(AnswerLostError("the process of the model hung; ask again"))
        with suppress(ProcessLookupError):
            self._process.kill()

    def _lose(self, error: AnswerLostError) -> None:
        """Tell all that wait that nothing more comes; only the first reason counts."""
        if self.lost is not None:
            return
        self.lost = error
        for number, stream in list(self._streams.items()):
            stream.take(Frame(number, "error", error))
        for call in self._calls.values():
            if not call.done():
                call.set_exception(error)
        self._streams.clear()


def environment() -> dict[str, str]:
    """Return the environment without what looks like a secret."""
    return {
        name: value
        for name, value in os.environ.items()
        if not any(word in name.upper() for word in SECRETS)
    }
