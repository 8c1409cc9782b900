"""Which models are in memory: opened when asked for, evicted by bytes, one budget for all.

use(A) ── there? ──► lease                      (its answers count until released)
   └── no ─► wait in line ─► evict idle, least recently used first ─► open ─► lease
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from time import monotonic, time

from fathom.errors import BusyError
from fathom.serving.allotting import Allotment, allot
from fathom.serving.limits import Limits
from fathom.serving.process import Worker
from fathom.serving.service import Offered, Resident

MOST_BACKOFF = 60.0  # seconds
CALM = 120.0  # seconds without a loss after which earlier ones are forgotten


@dataclass
class Tenant:
    """A model in memory. Times are of the steady clock."""

    offered: Offered
    allotment: Allotment
    worker: Worker
    keep_alive: float
    used: float = field(default_factory=monotonic)
    leases: int = 0
    leaving: bool = False

    @property
    def idle(self) -> bool:
        """Whether nobody waits for it."""
        return self.leases == 0

    @property
    def expires(self) -> float | None:
        """When it may go, on the steady clock; None for one that stays or is at work."""
        return None if self.keep_alive < 0 or not self.idle else self.used + self.keep_alive


@dataclass
class Losses:
    """How often a model's process was lost lately."""

    count: int = 0
    last: float = 0.0

    def note(self) -> None:
        """Note one more."""
        now = monotonic()
        self.count = 1 if now - self.last > CALM else self.count + 1
        self.last = now

    @property
    def wait(self) -> float:
        """Seconds until the model is tried again: none after the first loss, then more and more."""
        if self.count < 2:
            return 0.0
        return self.last + min(MOST_BACKOFF, 2.0 ** (self.count - 2)) - monotonic()


class Residents:
    """The models in memory, within `budget` bytes together."""

    def __init__(
        self,
        budget: int,
        limits: Limits,
        *,
        context: int | None = None,
        quant: str | None = None,
    ) -> None:
        self.budget = budget
        self.evictions = 0
        self.losses: dict[str, Losses] = {}
        self._limits = limits
        self._context = context
        self._quant = quant
        self._tenants: dict[str, Tenant] = {}
        self._line = asyncio.Lock()  # of those that open: first come, first served
        self._freed = asyncio.Event()

    @property
    def tenants(self) -> Mapping[str, Tenant]:
        """Models in memory by name."""
        return self._tenants

    async def use(self, offered: Offered, keep_alive: float | None) -> Tenant:
        """Return a model in memory, opening it first if need be; `release` it afterwards.

        Raises:
            BusyError: when no room came free in time, or after its process was lost repeatedly.
            FathomError: what planning or opening found wrong.
        """
        tenant = self._there(offered.name)
        if tenant is None:
            async with self._line:
                tenant = self._there(offered.name)
                if tenant is None:
                    tenant = await self._open(offered)
        tenant.leases += 1
        if keep_alive is not None:
            tenant.keep_alive = keep_alive
        return tenant

    def release(self, tenant: Tenant) -> None:
        """Give up one's use of a model."""
        tenant.leases -= 1
        tenant.used = monotonic()
        if tenant.idle:
            self._freed.set()

    async def unload(self, name: str) -> bool:
        """Take a model out when its answers are done; False where it is not there."""
        tenant = self._tenants.get(name)
        if tenant is None:
            return False
        tenant.leaving = True
        await self._until(lambda: tenant.idle, self._limits.answer_seconds)
        await self._remove(tenant)
        return True

    async def expire(self) -> None:
        """Take out what nobody asked for in its time, and what is lost."""
        now = monotonic()
        for tenant in list(self._tenants.values()):
            if tenant.worker.lost is not None and tenant.idle:
                self._note_loss(tenant)
                await self._remove(tenant)
            elif tenant.expires is not None and tenant.expires <= now:
                self.evictions += 1
                await self._remove(tenant)

    async def close(self) -> None:
        """Take all out at once."""
        for tenant in list(self._tenants.values()):
            await self._remove(tenant)

    def resident(self) -> list[Resident]:
        """Return what is in memory, in words for others."""
        return [self._described(tenant) for tenant in self._tenants.values()]

    def _there(self, name: str) -> Tenant | None:
        tenant = self._tenants.get(name)
        if tenant is None or tenant.leaving:
            return None
        if tenant.worker.lost is not None:
            tenant.leaving = True
            self._note_loss(tenant)
            return None
        return tenant

    async def _open(self, offered: Offered) -> Tenant:
        """Make room and open a model; the line is held meanwhile."""
        losses = self.losses.get(offered.name)
        if losses is not None and losses.wait > 0:
            raise BusyError(
                f"{offered.name} was lost {losses.count} times; it is tried again soon", losses.wait
            )
        gone = self._tenants.get(offered.name)
        if gone is not None:  # on its way out: its last answers first
            await self._vacate(gone)
        room, limits = self.budget, self._limits
        wanted = await asyncio.to_thread(
            allot, offered.card, room, context=self._context, quant=self._quant, limits=limits
        )
        await self._make_room(wanted.total_bytes)
        opening: dict[str, object] = {"name": offered.name}
        if self._context is not None or wanted.notes:
            opening["context"] = wanted.context
        if self._quant is not None:
            opening["quant"] = self._quant
        bounds: dict[str, float] = {
            "memory": wanted.state_bytes,
            "most_sequences": limits.sequences,
            "queue_requests": limits.queue_requests,
            "queue_tokens": limits.queue_tokens,
            "most_wait": limits.most_wait,
            "silent_seconds": limits.silent_seconds,
        }
        worker = await Worker.start(opening, bounds, limits)
        tenant = Tenant(offered, wanted, worker, limits.keep_alive)
        self._tenants[offered.name] = tenant
        return tenant

    async def _make_room(self, needed: int) -> None:
        """Evict until so many bytes are free: idle models first, the least recently used of them.

        Where all are at work, the least recently used takes nothing new until it is idle.
        """
        while self._free() < needed:
            staying = [one for one in self._tenants.values() if not one.leaving]
            chosen = min(staying, key=lambda one: (not one.idle, one.used), default=None)
            if chosen is None:
                raise BusyError("there is no room for another model yet; ask again later", 5.0)
            await self._vacate(chosen)

    async def _vacate(self, tenant: Tenant) -> None:
        tenant.leaving = True
        try:
            await self._until(lambda: tenant.idle, self._limits.queue_seconds)
        except BusyError:
            tenant.leaving = False
            raise
        self.evictions += 1
        await self._remove(tenant)

    async def _until(self, come: Callable[[], bool], seconds: float) -> None:
        """Wait until a release makes something true.

        Raises:
            BusyError: when it did not in time.
        """
        end = monotonic() + seconds
        while not come():
            self._freed.clear()
            left = end - monotonic()
            try:
                await asyncio.wait_for(self._freed.wait(), max(0.0, left))
            except TimeoutError:
                raise BusyError("other models are at work; ask again later", 5.0) from None

    async def _remove(self, tenant: Tenant) -> None:
        if self._tenants.get(tenant.offered.name) is tenant:
            del self._tenants[tenant.offered.name]
        await tenant.worker.close()
        self._freed.set()

    def _free(self) -> int:
        return self.budget - sum(one.allotment.total_bytes for one in self._tenants.values())

    def _note_loss(self, tenant: Tenant) -> None:
        self.losses.setdefault(tenant.offered.name, Losses()).note()

    def _described(self, tenant: Tenant) -> Resident:
        figures = {} if tenant.idle else tenant.worker.figures or {}
        expires = tenant.expires
        return Resident(
            tenant.offered.name,
            tenant.offered.card,
            tenant.allotment.total_bytes,
            tenant.allotment.context or 0,
            None if expires is None else time() + expires - monotonic(),
            int(figures.get("running", tenant.leases)),
            int(figures.get("waiting", 0)),
        )
