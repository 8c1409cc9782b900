"""Steps of texts that look at a source: what was read or heard before, whose keys lie in pages.

A step that looks reads as many tokens of its sequence's source as `ops.program.Batch.read` says.
`ops/kernels/cross_steps.hpp` has what each does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fathom.programs.steps import Heads

if TYPE_CHECKING:
    from fathom.programs.assembly import Assembly


@dataclass(frozen=True)
class Accept:
    """target = the rows that came with the batch, in place of a table's."""

    target: str

    def build(self, to: Assembly) -> None:
        to.program.accept(to.number(self.target))


@dataclass(frozen=True)
class Waves:
    """target += sines, then cosines, of the token's position, as `ops.sinusoid.waves`."""

    target: str

    def build(self, to: Assembly) -> None:
        to.program.waves(to.number(self.target))


@dataclass(frozen=True)
class Look:
    """target = where chosen heads look: the softmax over a source's tokens, head after head.

    Each head has room for `most` tokens, the first one from `offset` on.
    """

    heads: Heads
    target: str
    offset: int
    chosen: tuple[int, ...]
    most: int
    scale: float

    def build(self, to: Assembly) -> None:
        target = to.number(self.target)
        heads, chosen = to.heads(self.heads), list(self.chosen)
        to.program.look(heads, target, self.offset, chosen, self.most, self.scale)
