"""What a mixer keeps between tokens, stated as shapes: the engine allocates just these."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod


@dataclass(frozen=True)
class StateArray:
    """One array of a sequence's state. `exact` arrays stay in float32 whatever the cache's type."""

    name: str
    shape: tuple[int, ...]
    exact: bool = False

    @property
    def elements(self) -> int:
        return prod(self.shape)
