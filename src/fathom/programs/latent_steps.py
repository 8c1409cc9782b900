"""Steps of attention over latents, in the absorbed form of `ops.latent_attention`.

A token leaves one narrow key for all heads: its normed latent, of which values are read too, and
the numbers that are turned. Pages hold (tokens, latent + turned).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fathom.programs.layout import StateType
from fathom.programs.recurrent_steps import Column
from fathom.programs.steps import Matrix, NormShape

if TYPE_CHECKING:
    from fathom.programs.assembly import Assembly


@dataclass(frozen=True)
class MultiplyHeads:
    """Each head's part of the source through its own matrix; results fill the target in order.

    Parts begin at the column, `stride` numbers apart. `room` has a row for each head.
    """

    source: Column
    stride: int
    target: str
    room: str
    matrices: tuple[Matrix, ...]

    def build(self, to: Assembly) -> None:
        to.program.multiply_heads(
            to.column(self.source),
            self.stride,
            to.number(self.target),
            to.number(self.room),
            [to.matrix(each) for each in self.matrices],
        )


@dataclass(frozen=True)
class LatentHeads:
    """Heads of one layer: in the rows of each `plain` numbers, then `turned` ones."""

    queries: str
    heads: int
    plain: int
    latent: int
    turned: int
    pool: int
    page_offset: int  # bytes of a page before this layer's
    state: StateType

    def described(self, to: Assembly) -> tuple[object, ...]:
        """Return them as the native module takes them."""
        widths = self.heads, self.plain, self.latent, self.turned
        exact = self.state == "float32"
        return to.number(self.queries), *widths, self.pool, self.page_offset, exact


@dataclass(frozen=True)
class PlaceLatent:
    """Norms the latent, turns keys and queries, and writes keys to their pages."""

    heads: LatentHeads
    latents: str
    angles: str
    interleaved: bool
    norm: NormShape

    def build(self, to: Assembly) -> None:
        to.program.place_latent(
            self.heads.described(to),
            to.number(self.latents),
            to.number(self.angles),
            self.interleaved,
            to.norm(self.norm),
        )


@dataclass(frozen=True)
class AttendLatent:
    """Queries, mapped to the latent in `asked`, meet the keys before them: sums of latents."""

    heads: LatentHeads
    asked: str
    target: str
    scale: float

    def operations(self, seen: int) -> int:
        """Return the floating-point operations of one token with so many keys before it."""
        return 2 * self.heads.heads * seen * (2 * self.heads.latent + self.heads.turned)

    def build(self, to: Assembly) -> None:
        to.program.attend_latent(
            self.heads.described(to), to.number(self.asked), to.number(self.target), self.scale
        )
