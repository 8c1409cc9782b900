"""A model that makes pictures of seeds, and its tasks."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING

from fathom.library.staged import StagedModel
from fathom.spec.generator import Generator

if TYPE_CHECKING:
    from fathom.tasks.generating import Drawer, Generated


class GeneratorModel(StagedModel):
    """A generator that was trained against a judge. Made by `open`."""

    spec: Generator

    def imagine(
        self,
        *,
        seed: int = 0,
        truncation: float = 1.0,
        kind: int | None = None,
        fresh_noise: bool = False,
    ) -> Generated:
        """Return the picture of a seed; the same seed gives the same picture.

        Args:
            truncation: how far from the average style; with less than 1 pictures become more
                usual and more alike.
            kind: which of several kinds of pictures, where the generator has such.
            fresh_noise: draw noise anew, by the seed, instead of that of the weights.

        Raises:
            RequestError: for a seed, truncation or kind that makes no sense.
            UnsupportedTaskError: for a truncation where no average style is kept.
        """
        from fathom.tasks.generating import Chosen

        return self._drawer.picture(Chosen(seed, truncation, kind, fresh_noise))

    def interpolate(
        self,
        seed: int,
        other: int,
        *,
        frames: int = 8,
        truncation: float = 1.0,
        kind: int | None = None,
    ) -> Iterator[Generated]:
        """Yield pictures from one seed to another, both included, evenly along their styles.

        Raises:
            RequestError: for fewer than two frames or too many, and as `imagine`.
            UnsupportedTaskError: as `imagine`.
        """
        from fathom.tasks.generating import Chosen

        return self._drawer.between(Chosen(seed, truncation, kind), other, frames)

    @cached_property
    def _drawer(self) -> Drawer:
        from fathom.tasks.generating import Drawer

        return Drawer(self._module)  # type: ignore[arg-type]  # by the table of kinds
