"""How much this process had to wait for a core: a busy machine is no measure of a model.

Linux counts, for each thread, the time that it ran and the time that it could have run but waited
for its turn (`/proc/self/schedstat`). Elsewhere nobody tells, and nothing is known.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

_STATISTICS = Path("/proc/self/schedstat")
BUSY = 0.1  # above this share of waiting, a measurement says more about the neighbours


@dataclass(frozen=True, slots=True)
class Turns:
    """Nanoseconds that the main thread ran and waited since it began."""

    ran: int = 0
    waited: int = 0

    def since(self, before: Turns) -> float | None:
        """Return the share of waiting from `before` until now, 0 to 1; None if unknown."""
        ran, waited = self.ran - before.ran, self.waited - before.waited
        return waited / (ran + waited) if ran + waited else None


def turns(statistics: Path = _STATISTICS) -> Turns:
    """Return the count so far; nothing but zeros where the system keeps none."""
    try:
        ran, waited, _ = map(int, statistics.read_text().split())
    except (OSError, ValueError):
        return Turns()
    return Turns(ran, waited)
