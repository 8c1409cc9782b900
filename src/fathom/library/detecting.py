"""A model that detects, and its task."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from fathom.library.cards import read_tokenizer
from fathom.library.processors import read_picture_processor
from fathom.library.staged import StagedModel
from fathom.spec.detector import Detector

if TYPE_CHECKING:
    from fathom.inputs.pictures import Source
    from fathom.inputs.tokenizer import Tokenizer
    from fathom.tasks.detecting import Detection, Finder


class DetectorModel(StagedModel):
    """A model that finds what words name. Made by `open`."""

    spec: Detector

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The checkpoint's own tokenizer.

        Raises:
            TokenizerError: when there is none, or it is broken.
        """
        return read_tokenizer(self._description)

    def detect(
        self, picture: Source, phrases: str | Sequence[str], *, threshold: float | None = None
    ) -> list[Detection]:
        """Return boxes for what is named in a picture, best first, in the picture's pixels.

        Args:
            phrases: what to find, several of them, or one text with a full stop after each.
            threshold: the score from which a box counts, from 0 to 1; 0.25 unless said.

        Raises:
            RequestError: for no words, or a threshold that makes no sense.
            ContextLengthError: for too many words; nothing is cut off.
            PictureError: for what is no sound picture.
            NotFoundError: when nothing beside the weights says how pictures are prepared.
        """
        from fathom.tasks.detecting import THRESHOLD

        limit = THRESHOLD if threshold is None else threshold
        return self._finder.detect(picture, phrases, limit)

    @cached_property
    def _finder(self) -> Finder:
        from fathom.tasks.detecting import Finder

        how = read_picture_processor(self._description)
        return Finder(self._module, how, self.tokenizer)  # type: ignore[arg-type]  # by its kind
