"""A model that turns pictures into latents and back, and its tasks."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from fathom.library.staged import StagedModel, task
from fathom.spec.autoencoder import Autoencoder

if TYPE_CHECKING:
    from fathom.inputs.pictures import Pixels, Source
    from fathom.tasks.autoencode import Coder, Reconstruction


class AutoencoderModel(StagedModel):
    """An autoencoder of pictures. Made by `open`."""

    spec: Autoencoder

    @cached_property
    def coder(self) -> Coder:
        """What drives it, for whoever has latents already."""
        from fathom.tasks.autoencode import Coder

        return Coder(self._module, self.spec, self.dtype, meter=self._meter)  # type: ignore[arg-type]  # by `kinds`

    @task
    def autoencode(
        self,
        picture: Source,
        *,
        size: tuple[int, int] | None = None,
        tile: int | None = None,
    ) -> Reconstruction:
        """Return a picture after the way to latents and back, and how close it is.

        Args:
            picture: a file, its bytes, (height, width, 3) pixels, or a Pillow picture.
            size: (width, height) to give it first.
            tile: the side in pixels of pieces that pass one by one; by default it passes whole
                where the memory that is free holds that, and else in pieces.

        Raises:
            PictureError: for what is no picture, or a broken one.
            RequestError: for a size or a tile that cannot be.
        """
        return self.coder.autoencode(picture, size, tile)

    @task
    def interpolate(self, first: Source, second: Source, *, count: int = 5) -> list[Pixels]:
        """Return `count` pictures on the straight way between the latents of two.

        Raises:
            PictureError: as `autoencode`.
            RequestError: for fewer than two.
        """
        return self.coder.interpolate(first, second, count)
