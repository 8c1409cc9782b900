"""Scores that depend on the distance between two tokens, learned once for a whole stack."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fathom.spec.parts import Part, Table
from fathom.spec.roles import Role


@dataclass(frozen=True)
class DistanceScores:
    """A learned score per head and bucket of distances, added to every layer's scores.

    Near distances have a bucket each, farther ones share, in logarithmic steps up to `furthest`;
    all beyond share the last (Raffel et al., 2020, arXiv 1910.10683). With `both_directions` half
    of the buckets are for tokens ahead.
    """

    buckets: int
    furthest: int
    heads: int
    both_directions: bool

    def parts(self) -> Mapping[str, Part | None]:
        return {"scores": Table(self.buckets, self.heads, Role.DENSE)}
