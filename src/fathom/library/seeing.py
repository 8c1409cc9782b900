"""Models that see and write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from fathom.errors import RequestError
from fathom.library.answering import AnsweringModel
from fathom.library.processors import read_picture_processor
from fathom.spec.vision_language import VisionLanguage

if TYPE_CHECKING:
    import torch

    from fathom.generation.results import Generation
    from fathom.inputs.picture_processing import PictureProcessor
    from fathom.inputs.pictures import Source
    from fathom.models.vision_language import VisionLanguage as Module

NAMES = ("image", "path", "picture", "image_url")  # under which a part holds its picture


class SeeingModel(AnsweringModel["Source"]):
    """A decoder in whose prompt pictures stand. Made by `open`."""

    spec: VisionLanguage

    def chat(self, messages: Sequence[Mapping[str, object]], **options: object) -> Generation:
        """Answer a conversation in which pictures may stand beside text.

        Args:
            messages: each with a ``role`` and a ``content``: a text, or a list of parts, such as
                ``{"type": "text", "text": …}`` and ``{"type": "image", "image": …}``, the latter
                a file, the bytes of one, an array of pixels or a Pillow picture.
            options: as for `TextModel.generate`.

        Raises:
            TokenizerError: when there is no template, or it refuses the messages.
            NotFoundError: when nothing beside the weights says how pictures are prepared.
            PictureError: for what is no sound picture.
            RequestError, ContextLengthError: for options that make no sense, or too long a prompt.
        """
        return self._answered(messages, options)

    def generate(
        self, prompt: str, pictures: Sequence[Source] = (), **options: object
    ) -> Generation:
        """Continue a text in which the publisher's placeholder stands for each picture, in order.

        Raises:
            RequestError: for more pictures than placeholders, or fewer; else as `chat`.
        """
        return self._begun(self.tokenizer.encode(prompt), pictures, options)

    def _medium(self, part: Mapping[str, object]) -> tuple[Source, Mapping[str, object]] | None:
        import numpy as np

        from fathom.inputs.pictures import Picture

        held = next((part[name] for name in NAMES if part.get(name) is not None), None)
        if held is None and part.get("type") not in ("image", "picture", "image_url"):
            return None
        known = (str, Path, bytes, np.ndarray, Picture)
        if not isinstance(held, known) and not hasattr(held, "convert"):  # Pillow's pictures do
            raise RequestError(
                'a part of type "image" needs its picture: {"type": "image", "image": a file,'
                " bytes, an array of pixels or a Pillow picture}"
            )
        return held, {"type": "image"}  # type: ignore[return-value]  # checked above

    def _vectors(self, media: Sequence[Source]) -> list[torch.Tensor]:
        import torch

        from fathom.inputs.pictures import read_picture

        module: Module = self._module  # type: ignore[assignment]  # by the table of kinds
        found = []
        for picture in media:  # each alone: sizes may differ, and memory is that of one
            pixels = torch.from_numpy(self._how(read_picture(picture)).values)[None]
            found.append(module.look(pixels.to(self.device, getattr(torch, self.dtype)))[0])
        return found

    @cached_property
    def _how(self) -> PictureProcessor:
        return read_picture_processor(self._description)
