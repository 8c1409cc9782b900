"""A model that segments, and its tasks."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from fathom.library.processors import read_picture_processor
from fathom.library.staged import StagedModel, task
from fathom.spec.segmenter import Segmenter

if TYPE_CHECKING:
    from fathom.inputs.pictures import Source
    from fathom.tasks.segmenting import Everything, Marker, Mask, Prompt


class SegmenterModel(StagedModel):
    """A segmenter. Made by `open`."""

    spec: Segmenter

    @task
    def segment(
        self, picture: Source, prompts: Sequence[Prompt], *, several: bool | None = None
    ) -> list[list[Mask]]:
        """Return the masks that each prompt means in a picture, best first.

        What was seen in the last pictures is kept, so that further prompts cost little.

        Args:
            prompts: points, boxes, or both, in the picture's own pixels.
            several: several masks for each prompt, or a single one; by default several where a
                prompt is a single point, which may mean a part or the whole.

        Raises:
            RequestError: for no prompts, or one that is empty.
            PictureError: for what is no sound picture, or a place outside of it.
            NotFoundError: when nothing beside the weights says how pictures are prepared.
        """
        return self._marker.segment(picture, prompts, several)

    @task
    def everything(self, picture: Source, how: Everything | None = None) -> list[Mask]:
        """Return masks of all that a picture shows, best first.

        Raises:
            RequestError: for a grid of no points, or limits that are no parts of one.
            PictureError, NotFoundError: as `segment`.
        """
        from fathom.tasks.segmenting import Everything

        return self._marker.everything(picture, how or Everything())

    @cached_property
    def _marker(self) -> Marker:
        from fathom.tasks.segmenting import Marker

        how = read_picture_processor(self._description)
        return Marker(self._module, how, self._meter)  # type: ignore[arg-type]  # by the table of kinds
