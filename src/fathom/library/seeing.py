"""Models that see and write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, cast

from fathom.library.answering import AnsweringModel
from fathom.library.processors import read_picture_processor
from fathom.spec.vision_language import VisionLanguage

if TYPE_CHECKING:
    from fathom.generation.inserts import Placed
    from fathom.generation.results import Generation
    from fathom.inputs.content import Kind, Medium
    from fathom.inputs.picture_processing import PictureProcessor
    from fathom.inputs.pictures import Source
    from fathom.models.vision_language import VisionLanguage as Module


class SeeingModel(AnsweringModel):
    """A decoder in whose prompt pictures stand. Made by `open`."""

    spec: VisionLanguage

    @property
    def marks(self) -> Mapping[Kind, int]:
        return {"image": self.spec.placeholder}

    def generate(
        self, prompt: str, pictures: Sequence[Source] = (), **options: object
    ) -> Generation:
        """Continue a text in which the publisher's placeholder stands for each picture, in order.

        Raises:
            RequestError: for more pictures than placeholders, or fewer; else as `chat`.
        """
        from fathom.inputs.content import Medium

        media = [Medium("image", picture) for picture in pictures]
        return self._begun(self.tokenizer.encode(prompt), media, options)

    def _placed(self, media: Sequence[Medium]) -> list[Placed]:
        return [self._seen(medium) for medium in media]  # each alone: memory is that of one

    def _seen(self, medium: Medium) -> Placed:
        import torch

        from fathom.generation.inserts import Placed
        from fathom.inputs.pictures import read_picture

        module = cast("Module", self._module)
        picture = read_picture(cast("Source", medium.source))
        pixels = torch.from_numpy(self._how(picture).values)[None]
        vectors = module.look(pixels.to(self.device, getattr(torch, self.dtype)))[0]
        placeholder = self.spec.placeholder
        return Placed([placeholder] * len(vectors), placeholder, vectors)

    @cached_property
    def _how(self) -> PictureProcessor:
        return read_picture_processor(self._description)
