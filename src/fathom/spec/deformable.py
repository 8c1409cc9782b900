"""Attention to a few places only, which each query chooses itself, in maps of several sizes.

Zhu et al., 2020 (arXiv 2010.04159).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fathom.spec.parts import Linear, Part
from fathom.spec.roles import Role

GATHERED = 7  # numbers read and written for each that is found


@dataclass(frozen=True)
class DeformableAttention:
    """Each head of a query looks at `points` places in each of `levels` maps, and weighs them.

    Where those places lie is a map of the query: their distances from where the query itself
    lies, in places of the map, or in parts of the query's box where it has one.
    """

    width: int
    heads: int
    levels: int
    points: int

    def parts(self) -> Mapping[str, Part | None]:
        return {
            "distances": Linear(self.width, 2 * self.looks, Role.DENSE, bias=True),
            "weights": Linear(self.width, self.looks, Role.DENSE, bias=True),
            "value": Linear(self.width, self.width, Role.INTO_HEADS, bias=True),
            "output": Linear(self.width, self.width, Role.OUT_OF_HEADS, bias=True),
        }

    @property
    def looks(self) -> int:
        """How many places a query looks at, all heads together."""
        return self.heads * self.levels * self.points

    def operations(self, asking: int, seen: int) -> int:
        """Floating-point operations of so many queries over maps of as many places in all.

        What is found between four places, and weighed, is little beside the maps and not counted.
        """
        value_and_output = 2 * self.width**2 * (asking + seen)
        return value_and_output + 2 * self.width * 3 * self.looks * asking

    def moved(self, asking: int) -> int:
        """Numbers read and written to find values between places, beside products.

        Four values are gathered for each that is found, which is written, weighed and added up.
        """
        return asking * self.levels * self.points * self.width * GATHERED

    def live(self, asking: int, seen: int, largest: int) -> int:
        """Numbers held at the largest moment beside what came in; `largest` is the largest map's.

        Values of all maps, where queries look and how they weigh it, what they find in one map,
        and the sum; meanwhile one map is laid out head by head.
        """
        found = asking * self.width * self.points
        looking = 7 * asking * self.looks
        return (
            seen * self.width
            + looking
            + max(2 * found, largest * self.width + found)
            + (asking * self.width)
        )
