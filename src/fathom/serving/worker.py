"""The process of one model: opens it, then answers what comes through its pipe until that ends.

It owns the memory of the model: ending the process gives all of it back, and what kills it kills
no other. What it reads comes from the server alone, and its environment holds no secret.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict
from queue import SimpleQueue
from typing import IO, Any, TypeAlias, cast

from fathom.errors import FathomError
from fathom.generation.batching.engine import Bounds
from fathom.serving.following import Emit
from fathom.serving.frames import KINDS, LENGTH, Frame, packed, unpacked
from fathom.serving.limits import BEAT_SECONDS
from fathom.serving.runner import Runner
from fathom.serving.service import ChatAsk, Event, TextAsk

logger = logging.getLogger(__name__)

Task: TypeAlias = Callable[[Runner, object], tuple[str, object]]
THREADS = 32  # for what takes no engine: templates, tokens, and waiting for a shared pass

TASKS: Mapping[str, Task] = {
    "count": lambda runner, ask: ("result", runner.count(cast(ChatAsk, ask))),
    "encode": lambda runner, given: ("result", runner.encode(*cast("list[object]", given))),  # type: ignore[arg-type]
    "decode": lambda runner, given: ("result", runner.decode(cast("list[int]", given))),
    "embed": lambda runner, given: ("vectors", runner.embed(*cast("list[object]", given))),  # type: ignore[arg-type]
    "rank": lambda runner, given: ("ranking", runner.rank(*cast("list[object]", given))),  # type: ignore[arg-type]
}


class Desk:
    """What a worker holds: a runner, the asks on their way, and what waits to be sent."""

    def __init__(self, reader: IO[bytes], writer: IO[bytes]) -> None:
        self._reader = reader
        self._writer = writer
        self._outbox: SimpleQueue[Frame | None] = SimpleQueue()
        self._ended = False
        self._asks: dict[int, Callable[[], None]] = {}
        self._beginning: set[int] = set()
        self._left: set[int] = set()  # given up while they began
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="fathom asks")
        self._runner: Runner | None = None

    def run(self) -> None:
        """Open the model that the first frame names, then serve until the pipe ends."""
        sender = threading.Thread(target=self._send, name="fathom sender", daemon=True)
        sender.start()
        first = self._read()
        if first is None:
            return
        try:
            self._runner = _opened(cast("Mapping[str, object]", first.content))
        except Exception as error:  # noqa: BLE001  # the server is told, whatever it is
            self._tell_fault(0, error)
        else:
            self._outbox.put(Frame(0, "ready", _facts(self._runner)))
            threading.Thread(target=self._beat, name="fathom beat", daemon=True).start()
            self._serve(self._runner)
        self._outbox.put(None)
        sender.join()

    def _serve(self, runner: Runner) -> None:
        while (frame := self._read()) is not None:
            if frame.kind == "cancel":
                self._cancel(frame.number)
            elif frame.kind == "close":
                runner.close(drain=bool(frame.content))
                return
            else:
                self._beginning.add(frame.number)
                self._pool.submit(self._do, runner, frame)
        runner.close(drain=False)

    def _do(self, runner: Runner, frame: Frame) -> None:
        """Do one thing that was asked for and say what came of it."""
        number = frame.number
        cancel: Callable[[], None] | None = None
        try:
            if frame.kind in TASKS:
                self._outbox.put(Frame(number, *TASKS[frame.kind](runner, frame.content)))
            else:
                begun = runner.begin(cast("ChatAsk | TextAsk", frame.content), self._emit(number))
                cancel = begun.cancel
                self._outbox.put(Frame(number, "begun", list(begun.warnings)))
        except Exception as error:  # noqa: BLE001  # whoever asked is told, whatever it is
            self._tell_fault(number, error)
        with self._lock:
            left = number in self._left
            self._left.discard(number)
            self._beginning.discard(number)
            if cancel is not None and not left:
                self._asks[number] = cancel
        if cancel is not None and left:
            cancel()

    def _emit(self, number: int) -> Emit:
        def emit(event: Event | Exception) -> None:
            if isinstance(event, Exception):
                self._tell_fault(number, event)
            else:
                self._outbox.put(Frame(number, KINDS[type(event)], event))

        return emit

    def _cancel(self, number: int) -> None:
        """Forget an ask that ended, or end it; the server says so of each that was begun."""
        with self._lock:
            cancel = self._asks.pop(number, None)
            if cancel is None and number in self._beginning:
                self._left.add(number)
        if cancel is not None:
            cancel()

    def _tell_fault(self, number: int, error: Exception) -> None:
        """Send an error; a bug is logged by its place, for its words may be a user's."""
        if not isinstance(error, FathomError):
            last = error.__traceback__
            while last is not None and last.tb_next is not None:
                last = last.tb_next
            place = "" if last is None else f"{last.tb_frame.f_code.co_qualname}:{last.tb_lineno}"
            logger.error("ask %d: %s in %s", number, type(error).__name__, place)
        self._outbox.put(Frame(number, "error", error))

    def _beat(self) -> None:
        """Say again and again that this process lives, and how its engine is."""
        wait = threading.Event()
        while not wait.wait(BEAT_SECONDS):
            engine = None if self._runner is None else self._runner.engine
            figures = None if engine is None else asdict(engine.figures())
            self._outbox.put(Frame(0, "beat", figures))

    def _read(self) -> Frame | None:
        """Return the next frame, None at the end of the pipe."""
        head = self._reader.read(LENGTH.size)
        if len(head) < LENGTH.size:
            return None
        return unpacked(self._reader.read(*LENGTH.unpack(head)))

    def _send(self) -> None:
        with suppress(BrokenPipeError):  # the server is gone: the reader ends the same way
            while frames := self._ready():
                self._writer.write(b"".join(map(packed, frames)))
                self._writer.flush()

    def _ready(self) -> list[Frame]:
        """Wait for a frame and return all that are there, none at the end.

        What a step wrote goes over at once: the server wakes for it once, and not beside every
        token of the next step, which needs the cores.
        """
        found: list[Frame] = []
        while not self._ended and (not found or not self._outbox.empty()):
            frame = self._outbox.get()
            if frame is None:
                self._ended = True
            else:
                found.append(frame)
        return found


def _opened(given: Mapping[str, object]) -> Runner:
    """Open the model of the first frame and make its runner."""
    from fathom import library

    opening = cast("dict[str, object]", given["opening"])
    model = library.open(**opening)  # type: ignore[arg-type]
    bounds = Bounds(**cast("dict[str, Any]", given["bounds"]))
    return Runner(model, bounds, seconds=cast("float | None", given.get("seconds")))


def _facts(runner: Runner) -> dict[str, object]:
    """Return what the server wants to know of an opened model."""
    return {"load_seconds": runner.model.load_seconds, "tasks": list(runner.model.tasks)}


def main() -> None:
    """Serve the pipe that is stdin and stdout; what else is printed goes to stderr."""
    logging.basicConfig(level=logging.WARNING, format="%(name)s: %(message)s")
    writer = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    Desk(sys.stdin.buffer, writer).run()
    os._exit(0)  # threads of an engine that was not drained end here


if __name__ == "__main__":
    main()
