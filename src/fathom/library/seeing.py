"""Models that see and write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, cast

from fathom.errors import ContextLengthError, RequestError
from fathom.library.answering import PictureAnsweringModel
from fathom.library.processors import Views, read_picture_processor, read_views
from fathom.spec.picture_sizes import Shown, Whole
from fathom.spec.vision_language import Layout, Moving, VisionLanguage

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from fathom.generation.inserts import Extent, Insert, Placed
    from fathom.inputs.content import Kind, Medium
    from fathom.inputs.picture_processing import PictureProcessor
    from fathom.inputs.pictures import Picture, Source
    from fathom.models.vision_language import VisionLanguage as Module


class SeeingModel(PictureAnsweringModel):
    """A decoder in whose prompt pictures stand, and videos. Made by `open`."""

    spec: VisionLanguage

    @property
    def marks(self) -> Mapping[Kind, int]:
        mark = self.spec.placeholder if self.spec.mark is None else self.spec.mark
        moving = self.spec.moving
        return {"image": mark, **({} if moving is None else {"video": moving.placeholder})}

    def _encoded(
        self,
        shown: Sequence[Mapping[str, object]],
        tools: Sequence[Mapping[str, object]] | None = None,
    ) -> list[int]:
        """Return a conversation as tokens; one question where nobody was trained to converse."""
        if self.spec.question is None or self.tokenizer.templates:
            return super()._encoded(shown, tools)
        from fathom.inputs.content import questioned

        before, after = self.spec.question
        pictures, text = questioned(shown)
        encode = self.tokenizer.encode
        return [
            *[self.marks["image"]] * pictures,
            *encode(before, add_special=False),
            *encode(text + after, add_special=False, parse_special=False),
        ]

    def _composed(
        self, ids: Sequence[int], media: Sequence[Medium]
    ) -> tuple[list[int], tuple[Insert, ...]]:
        prompt, inserts = super()._composed(ids, media)
        ranges = {
            "picture": [(one.start, one.end) for one in inserts],
            "prompt": [(0, len(prompt))] * len(inserts),
        }
        if self.spec.ahead is None:
            return prompt, inserts
        if self.spec.ahead == "prompt" and not inserts:
            raise RequestError("this model answers about pictures: give one beside the text")
        together, bound = ranges[self.spec.ahead], self.spec.ahead == "prompt"
        return prompt, tuple(
            replace(one, together=them, bound=bound)
            for one, them in zip(inserts, together, strict=True)
        )

    def _placed(self, media: Sequence[Medium]) -> list[Placed]:
        return [self._seen(medium) for medium in media]  # each alone: memory is that of one

    def _seen(self, medium: Medium) -> Placed:
        from fathom.inputs.pictures import read_picture

        if medium.kind == "video" and self.spec.moving is not None:
            return self._watched(medium.source, self.spec.moving)
        picture = read_picture(cast("Source", medium.source))
        pixels, shown = self._prepared(picture)
        vectors = self._looked(pixels)
        extents = (self._extent(1, shown),) if self.spec.spread else ()
        return self._standing(vectors, shown, extents)

    def _prepared(self, picture: Picture) -> tuple[NDArray[np.float32], Shown]:
        """Return what the tower is shown, (pictures, 3, height, width), and how it is cut."""
        from fathom.inputs.picture_views import frames, tiles
        from fathom.spec.picture_sizes import Tiled

        if isinstance(self.spec.sizing, Whole):
            pixels = self._how(picture).values[None]
            return pixels, Shown(*pixels.shape[2:])
        rule, how = self._views.rule, self._views.how
        shown = rule.shown(picture.height, picture.width)
        if isinstance(rule, Tiled):
            return tiles(picture, rule, how), shown
        return frames([picture], rule, how), shown

    def _standing(self, vectors: torch.Tensor, shown: Shown, extents: Sequence[Extent]) -> Placed:
        """Return a picture's vectors, (tiles, places, width), with the text around them."""
        from fathom.generation.inserts import Placed

        placeholder, layout = self.spec.placeholder, self.spec.layout
        marks = [placeholder] * shown.count
        if layout != Layout():
            name = self.tokenizer.id_to_token(placeholder) or ""
            marks = self.tokenizer.encode(layout.written(shown, name), add_special=False)
        each = [placeholder] * vectors.shape[1]
        tokens = [token for mark in marks for token in (each if mark == placeholder else [mark])]
        return Placed(tokens, placeholder, vectors.flatten(0, 1), extents)

    def _watched(self, source: object, moving: Moving) -> Placed:
        """Return what a video becomes: its frames by groups, one after the other."""
        import numpy as np

        from fathom.generation.inserts import Placed
        from fathom.inputs.picture_views import frames
        from fathom.inputs.videos import read_video, sampled

        views, group = self._video_views(moving), moving.frames
        video = sampled(read_video(source), moving.rate, moving.least, moving.most, group)
        self._require_room(video.frames, views, group)
        pixels = frames(video.frames, views.rule, views.how)
        missing = -len(pixels) % group
        pixels = np.concatenate([pixels, np.repeat(pixels[-1:], missing, axis=0)])
        shown = Shown(*pixels.shape[2:])
        vectors = self._looked(pixels.reshape(-1, group, *pixels.shape[1:])).flatten(0, 1)
        seconds = group / (video.rate or moving.rate)
        interval = 1.0 if moving.per_second is None else moving.per_second * seconds
        extents = (self._extent(len(pixels) // group, shown, interval),) if self.spec.spread else ()
        tokens = [moving.placeholder] * len(vectors)
        return Placed(tokens, moving.placeholder, vectors, extents)

    def _require_room(self, frames: Sequence[Picture], views: Views, group: int) -> None:
        """Refuse a video that no prompt can hold before its pixels are."""
        size = views.rule.resized(frames[0].height, frames[0].width)
        places = -(-len(frames) // group) * self.spec.seen(*size)
        if places > self.spec.context:
            raise ContextLengthError(
                f"a video of {len(frames):,} frames takes {places:,} places, and the context has"
                f" {self.spec.context:,}; give fewer or smaller frames"
            )

    def _looked(self, pixels: NDArray[np.float32]) -> torch.Tensor:
        """Return the vectors of pictures, or of groups of frames, (…, places, width)."""
        import torch

        frames = self.spec.vision.embedding.frames
        found = torch.from_numpy(pixels)
        if frames > 1 and found.ndim == 4:  # one that does not move is every frame
            found = found[:, None].expand(-1, frames, -1, -1, -1)
        if found.ndim == 5:
            found = found.transpose(1, 2)
        module = cast("Module", self._module)
        moved = found.to(self.device, getattr(torch, self.dtype))
        with self._meter.stage("vision"):
            return module.look(moved)

    def _extent(self, frames: int, shown: Shown, interval: float = 1.0) -> Extent:
        from fathom.generation.inserts import Extent

        rows, columns = self.spec.vision.embedding.cut(shown.height, shown.width)
        side, moving = self.spec.connector.side, self.spec.moving
        timed = moving is not None and moving.timed
        return Extent(frames, rows // side, columns // side, interval, timed)

    @cached_property
    def _how(self) -> PictureProcessor:
        return read_picture_processor(self._description)

    @cached_property
    def _views(self) -> Views:
        if isinstance(self.spec.sizing, Whole):
            raise TypeError("pictures that are seen as one are prepared by a processor")
        return read_views(self._description, self.spec.sizing)

    def _video_views(self, moving: Moving) -> Views:
        return read_views(self._description, moving.sizing, videos=True)
