"""Two programs over one source: what leaves its keys and values, and what writes about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fathom.ops.program import Program
from fathom.programs.plan import Plan
from fathom.programs.steps import Matrix


@dataclass(frozen=True)
class ProgramPair:
    """A reader and a writer that share their packed matrices."""

    reader: Program
    writer: Program

    @property
    def plans(self) -> tuple[Plan, ...]:
        """What reads, then what writes."""
        return self.reader.plan, self.writer.plan

    @property
    def matrices(self) -> Mapping[Matrix, Any]:
        """Packed matrices of both, those that both read once."""
        return {**self.reader.matrices, **self.writer.matrices}

    @property
    def weight_bytes(self) -> int:
        """Bytes of packed weights alone."""
        return sum(each.nbytes for each in self.matrices.values())
