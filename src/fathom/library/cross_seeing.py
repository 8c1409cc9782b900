"""Models that see and write, at whose pictures a decoder looks beside its text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, cast

from fathom.errors import ConfigError
from fathom.library.answering import PictureAnsweringModel
from fathom.library.processors import read_picture_processor
from fathom.spec.cross_vision_language import CrossVisionLanguage
from fathom.spec.work import Work

if TYPE_CHECKING:
    from fathom.generation.generate import Engine
    from fathom.generation.inserts import Placed
    from fathom.inputs.content import Kind, Medium
    from fathom.inputs.picture_canvas import PictureCanvas
    from fathom.inputs.pictures import Source
    from fathom.models.cross_vision_language import CrossVisionLanguage as Module


class CrossSeeingModel(PictureAnsweringModel):
    """A decoder beside whose prompt pictures lie. Made by `open`."""

    spec: CrossVisionLanguage

    @property
    def marks(self) -> Mapping[Kind, int]:
        return {"image": self.spec.placeholder}

    def _placed(self, media: Sequence[Medium]) -> list[Placed]:
        return [self._seen(medium) for medium in media]  # each alone: memory is that of one

    def _seen(self, medium: Medium) -> Placed:
        import torch

        from fathom.generation.looking import Sighted
        from fathom.inputs.pictures import read_picture

        module = cast("Module", self._module)
        tiled = self._canvas(read_picture(cast("Source", medium.source)))
        pixels = torch.from_numpy(tiled.values).to(self.device, getattr(torch, self.dtype))
        with self._meter.stage("vision"):
            vectors = module.look(pixels, tiled.arrangement)
        placeholder, real = self.spec.placeholder, len(pixels) * self.spec.vision.places
        return Sighted([placeholder], placeholder, vectors, real=real)

    def _text_work(self, prompt: int, media: int, answer: int) -> Work:
        return Work(frames=media, tokens=prompt - media, written=answer)

    @cached_property
    def _canvas(self) -> PictureCanvas:
        from fathom.inputs.picture_canvas import PictureCanvas
        from fathom.inputs.picture_processing import Exactly

        how, side = read_picture_processor(self._description), self.spec.vision.side
        if how.resize != Exactly(side, side):
            raise ConfigError(
                f"preprocessor_config.json: 'size' must be {side} by {side}, which is what the"
                " tower's tiles are; take the file of the original model"
            )
        return PictureCanvas(how, side, self.spec.vision.arranged)

    @cached_property
    def _engine(self) -> Engine:
        import torch

        from fathom.generation.generate import Engine
        from fathom.generation.looking import LookingForward

        module = cast("Module", self._module)
        return Engine(
            LookingForward(module, dtype=getattr(torch, self.dtype), device=self.device),
            self.tokenizer,
            context=self.spec.context,
            load_seconds=self.load_seconds,
        )
