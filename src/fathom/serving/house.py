"""The house: every model that is offered behind one door, each in a process of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from time import monotonic
from typing import cast

from fathom.errors import BusyError, DeadlineError
from fathom.library import fit
from fathom.planning.fit import Fit
from fathom.planning.machine import this_machine
from fathom.planning.staged_fit import StagedFit
from fathom.serving.admission import Admission
from fathom.serving.limits import USUAL, Limits
from fathom.serving.metrics import Metrics
from fathom.serving.process import Stream, Worker
from fathom.serving.residents import Residents, Tenant
from fathom.serving.service import (
    Answer,
    Ask,
    ChatAsk,
    Ended,
    Event,
    Offered,
    Ranking,
    Resident,
    TextAsk,
    Vectors,
)
from fathom.serving.shelf import Shelf

SHARE = 0.9  # of the memory that is free when the server starts; the rest is others'
TICK = 0.5  # seconds between two looks at what has expired


class Leased:
    """An answer, and the use of a model that ends with it."""

    def __init__(
        self, stream: Stream, residents: Residents, tenant: Tenant, metrics: Metrics
    ) -> None:
        self.model = tenant.offered.name
        self.warnings: Sequence[str] = (*tenant.allotment.notes, *stream.warnings)
        self._stream = stream
        self._residents = residents
        self._metrics = metrics
        self._tenant: Tenant | None = tenant

    async def __aiter__(self) -> AsyncIterator[Event]:
        """Yield events until every answer has ended.

        Raises:
            FathomError: what ended them before their time.
        """
        try:
            async for event in self._stream:
                if isinstance(event, Ended):
                    self._metrics.ended(self.model, event)
                yield event
        finally:
            await self.close()

    async def close(self) -> None:
        """Cancel what is not done and give its memory back. Harmless after the end."""
        await self._stream.close()
        tenant, self._tenant = self._tenant, None
        if tenant is not None:
            self._residents.release(tenant)


class House:
    """What the server can do: `serving.service.Service`, with models opened as they are asked for.

    Attributes:
        residents: the models in memory.
        admission: who is let in.
        metrics: what is counted.
        limits: how much of everything is taken.
    """

    def __init__(
        self,
        names: Sequence[str] = (),
        *,
        memory: int | None = None,
        context: int | None = None,
        quant: str | None = None,
        limits: Limits = USUAL,
    ) -> None:
        """Offer these models, or all that this machine has, in `memory` bytes together.

        `context` and `quant` are those of `library.open`, for every model.

        Raises:
            RequestError: for an unknown `quant`.
        """
        if memory is None:
            memory = int(SHARE * this_machine().memory_available)
        self.limits = limits
        self.shelf = Shelf.of(names, quant)
        self.residents = Residents(memory, limits, context=context, quant=quant)
        self.admission = Admission(limits.requests)
        self.metrics = Metrics(self)
        self.started = monotonic()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Keep the house: what expires goes, and in the end everything."""
        keeping = asyncio.create_task(self._keep())
        try:
            yield
        finally:
            keeping.cancel()
            with suppress(asyncio.CancelledError):
                await keeping
            await self.residents.close()

    def offered(self) -> Sequence[Offered]:
        """Return the models that may be asked for, without opening any."""
        return self.shelf.offered()

    def resident(self) -> Sequence[Resident]:
        """Return the models in memory."""
        return self.residents.resident()

    async def chat(self, ask: ChatAsk) -> Answer:
        """Begin to answer a conversation; a refusal comes before the first event."""
        return await self._begin(ask, "chat")

    async def write(self, ask: TextAsk) -> Answer:
        """Begin to continue a text."""
        return await self._begin(ask, "generate" if ask.suffix is None else "infill")

    async def embed(self, model: str, texts: Sequence[str], **options: object) -> Vectors:
        """Return vectors; options are those of `TextModel.embed`."""
        return cast(Vectors, await self._call(model, "embed", [list(texts), options], "embed"))

    async def rank(self, model: str, query: str, documents: Sequence[str]) -> Ranking:
        """Return documents by their relevance to a query."""
        return cast(Ranking, await self._call(model, "rank", [query, list(documents)], "rerank"))

    async def encode(self, model: str, text: str, *, special: bool = True) -> Sequence[int]:
        """Return a text as token ids."""
        return cast("Sequence[int]", await self._call(model, "encode", [text, special]))

    async def decode(self, model: str, tokens: Sequence[int]) -> str:
        """Return token ids as text."""
        return cast(str, await self._call(model, "decode", list(tokens)))

    async def count(self, ask: ChatAsk) -> int:
        """Return the tokens of a conversation as its model would read it."""
        return cast(int, await self._call(ask.model, "count", ask, "chat"))

    async def unload(self, model: str) -> bool:
        """Take a model out of memory when its answers are done; False where it is not there."""
        return await self.residents.unload(self.shelf.find(model).name)

    async def fit(self, model: str, **wanted: object) -> Fit | StagedFit:
        """Return what a model or a request would take here; options are those of `library.fit`.

        Raises:
            NotFoundError: for a model that is not offered.
            RequestError: for numbers out of range, or an unknown type or encoding.
        """
        name = (await self._offered(model)).name
        if self.shelf.quant is not None:
            wanted.setdefault("quant", self.shelf.quant)
        return await asyncio.to_thread(fit, name, **wanted)  # type: ignore[arg-type]

    async def _begin(self, ask: Ask, task: str) -> Answer:
        offered = await self._offered(ask.model)
        self.shelf.require(offered, task)
        tenant = await self.residents.use(offered, ask.keep_alive)
        try:
            stream = await tenant.worker.begin(ask)
        except BaseException:
            self.residents.release(tenant)
            raise
        return Leased(stream, self.residents, tenant, self.metrics)

    async def _call(self, model: str, kind: str, content: object, *tasks: str) -> object:
        offered = await self._offered(model)
        if tasks:
            self.shelf.require(offered, *tasks)
        tenant = await self.residents.use(offered, None)
        try:
            return await self._bounded(tenant.worker, kind, content)
        finally:
            self.residents.release(tenant)

    async def _bounded(self, worker: Worker, kind: str, content: object) -> object:
        if worker.busy > self.limits.queue_requests + self.limits.sequences:
            raise BusyError(f"{worker.busy:,} asks wait for this model; ask again later")
        try:
            return await asyncio.wait_for(worker.call(kind, content), self.limits.answer_seconds)
        except TimeoutError:
            raise DeadlineError("this took longer than it may; ask for less at once") from None

    async def _offered(self, name: str) -> Offered:
        if self.shelf.read:
            return self.shelf.find(name)
        return await asyncio.to_thread(self.shelf.find, name)

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(TICK)
            await self.residents.expire()
