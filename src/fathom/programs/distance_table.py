"""Learned scores of distances as a table, for programs: what `ops.distance` says pair by pair."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float32]


@dataclass(frozen=True)
class Distances:
    """A score per head and bucket of distances, by the name of its parameter (buckets, heads)."""

    name: str
    buckets: int
    furthest: int
    heads: int
    both_directions: bool

    def expanded(self, scores: Floats) -> Floats:
        """Return a score per head and distance, (heads, 2 · furthest + 1).

        `scores` are the parameter's numbers. Keys that stand `furthest` behind come first, then
        nearer ones, then those ahead.
        """
        import numpy as np

        rows = scores.reshape(self.buckets, self.heads)[self.places()]
        return np.ascontiguousarray(rows.T, dtype=np.float32)

    def places(self) -> NDArray[np.intp]:
        """Return the bucket of every distance from -furthest to furthest (Raffel et al., 2020)."""
        import numpy as np

        ahead = np.arange(-self.furthest, self.furthest + 1)
        count = self.buckets // 2 if self.both_directions else self.buckets
        base = count * (ahead > 0) if self.both_directions else np.zeros_like(ahead)
        distance = np.abs(ahead) if self.both_directions else np.maximum(-ahead, 0)
        exact = count // 2
        shares = np.log(np.maximum(distance, 1).astype(np.float32) / np.float32(exact))
        growth = shares / np.float32(math.log(self.furthest / exact))
        far = exact + (growth * np.float32(count - exact)).astype(np.intp)
        return base + np.where(distance < exact, distance, np.minimum(far, count - 1))
