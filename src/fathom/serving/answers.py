"""Answers whole: events gathered, and those to several asks as if to one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Sequence
from dataclasses import dataclass, field, replace

import anyio

from fathom.generation.results import TokenLogprob
from fathom.serving.service import (
    Answer,
    Called,
    Echoed,
    Ended,
    Event,
    ToolCall,
    Written,
)


@dataclass
class Whole:
    """All that came of one answer."""

    text: str = ""
    reasoning: str = ""
    calls: list[ToolCall] = field(default_factory=list)
    logprobs: list[TokenLogprob] = field(default_factory=list)
    echoed: Echoed | None = None
    ended: Ended | None = None

    def add(self, event: Event) -> None:
        """Take what came next."""
        match event:
            case Written():
                self.text += event.text
                self.reasoning += event.reasoning
                self.logprobs += event.logprobs
            case Called():
                self.calls.append(event.call)
            case Echoed():
                self.echoed = event
            case Ended():
                self.ended = event

    @property
    def end(self) -> Ended:
        """How it ended."""
        if self.ended is None:
            raise RuntimeError("an answer stopped without its last event")
        return self.ended


async def gathered(answer: Answer, count: int = 1) -> list[Whole]:
    """Return the answers by their indexes; given up where whoever awaits is cancelled.

    Raises:
        FathomError: what ended an answer before its time.
    """
    found = [Whole() for _ in range(count)]
    try:
        async for event in answer:
            found[event.index].add(event)
    finally:
        await closed(answer)
    return found


def noted(answer: Answer, found: Sequence[Whole]) -> list[str]:
    """Return what was not done of an ask, and what went otherwise than it should."""
    notes = (line for whole in found for line in whole.end.notes)
    return list(dict.fromkeys((*answer.warnings, *notes)))


async def closed(answer: Answer) -> None:
    """Close an answer, though the task that does so is itself being cancelled."""
    with anyio.CancelScope(shield=True):
        await answer.close()


class Several:
    """Answers to several asks as one: that to the first has the first indexes, and so on."""

    def __init__(self, answers: Sequence[Answer], count: int) -> None:
        """Take answers of `count` indexes each."""
        self.model = answers[0].model
        self._answers = answers
        self._count = count

    @property
    def warnings(self) -> Sequence[str]:
        """What of any ask is not done."""
        return tuple(dict.fromkeys(line for each in self._answers for line in each.warnings))

    async def __aiter__(self) -> AsyncIterator[Event]:
        """Yield the events of all, as they come."""
        queue: asyncio.Queue[Event | Exception | None] = asyncio.Queue(maxsize=64)

        async def pour(at: int, answer: Answer) -> None:
            try:
                async for event in answer:
                    await queue.put(replace(event, index=at * self._count + event.index))
                await queue.put(None)
            except Exception as error:  # noqa: BLE001  # raised again to whoever iterates
                await queue.put(error)

        tasks = [asyncio.ensure_future(pour(*pair)) for pair in enumerate(self._answers)]
        running = len(tasks)
        try:
            while running:
                found = await queue.get()
                if isinstance(found, Exception):
                    raise found
                if found is None:
                    running -= 1
                else:
                    yield found
        finally:
            for task in tasks:
                task.cancel()

    async def close(self) -> None:
        """Close them all."""
        for answer in self._answers:
            await answer.close()


async def begun(asks: Sequence[Awaitable[Answer]], count: int) -> Answer:
    """Begin several asks, all or none, and return their answers as one.

    Raises:
        FathomError: of the first that is refused.
    """
    answers: list[Answer] = []
    waiting = list(asks)
    try:
        while waiting:
            answers.append(await waiting.pop(0))
    except BaseException:
        for answer in answers:
            await closed(answer)
        for each in waiting:
            if asyncio.iscoroutine(each):
                each.close()
        raise
    return answers[0] if len(answers) == 1 else Several(answers, count)
