"""Models that see and write, whose decoder looks at pictures that stand beside its text.

Alayrac et al., 2022 (arXiv 2204.14198); Llama Team, 2024 (arXiv 2407.21783, §7): among the layers
of a decoder stand others that look at a tower's states. A picture takes one place of the prompt,
whatever its size, and a model that is shown none is the text model that it was made of.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fathom.spec.decoder import Embedding, Layer, Output
from fathom.spec.encoder_decoder import LookingLayer
from fathom.spec.parts import Linear, Norm, Part
from fathom.spec.roles import Role
from fathom.spec.tiles import TileEncoder, arrangements
from fathom.spec.vision import layers_live
from fathom.spec.work import About, Stage, Work, passing
from fathom.spec.writing import USUAL_TOKENS, USUAL_WRITTEN


def spans(starts: Sequence[int]) -> tuple[tuple[int, int | None], ...]:
    """Return from which place to which a text looks at each of several pictures.

    A picture that stands at a place is looked at from there until the next one stands; the last
    one to the end (None), and pictures that stand side by side as long as the last of them.
    """
    found: list[tuple[int, int | None]] = []
    end: int | None = None
    for number in reversed(range(len(starts))):
        following = starts[number + 1] if number + 1 < len(starts) else None
        end = end if following is None or following == starts[number] + 1 else following
        found.insert(0, (starts[number], end))
    return tuple(found)


@dataclass(frozen=True)
class LookingDecoder:
    """A decoder, some of whose layers look at what was seen in the place of its text."""

    context: int
    embedding: Embedding
    layers: tuple[Layer | LookingLayer, ...]
    norm: Norm
    output: Output

    def parts(self) -> Mapping[str, Part | None]:
        return {
            "embedding": self.embedding,
            "layers": self.layers,
            "norm": self.norm,
            "output": self.output,
        }

    @property
    def reading(self) -> tuple[Layer, ...]:
        """The layers that look at the text."""
        return tuple(layer for layer in self.layers if isinstance(layer, Layer))

    @property
    def looking(self) -> tuple[LookingLayer, ...]:
        """The layers that look at what was seen."""
        return tuple(layer for layer in self.layers if isinstance(layer, LookingLayer))

    @property
    def width(self) -> int:
        return self.embedding.width

    @property
    def vocabulary(self) -> int:
        """Tokens that may be written; those that stand for pictures may only be read."""
        return self.output.vocabulary


@dataclass(frozen=True)
class CrossVisionLanguage:
    """A tower, a map, and a decoder that looks at the tower's states through it.

    `placeholder` is the token that stands for a picture, once for each.
    """

    vision: TileEncoder
    connector: Linear
    decoder: LookingDecoder
    placeholder: int

    def parts(self) -> Mapping[str, Part | None]:
        return {"vision": self.vision, "connector": self.connector, "decoder": self.decoder}

    @property
    def about(self) -> About:
        return About(
            "VLM",
            "a tower that sees, at whose states some layers of a decoder look while it writes",
            ("text", "picture"),
            ("text",),
            ("chat", "generate"),
        )

    @property
    def context(self) -> int:
        return self.decoder.context

    @property
    def vocabulary(self) -> int:
        """Tokens that may be read."""
        return self.decoder.embedding.vocabulary

    @property
    def usual(self) -> Work:
        """A question about a picture that fills all tiles."""
        side, known = self.vision.side, arrangements(self.vision.tiles)
        rows, columns = max(known, key=lambda one: (one[0] * one[1], -abs(one[0] - one[1])))
        return Work(
            height=rows * side,
            width=columns * side,
            frames=1,
            tokens=USUAL_TOKENS,
            written=USUAL_WRITTEN,
        )

    def taken(self, work: Work) -> Mapping[str, int]:
        """Return the places that a picture takes: it lies beside."""
        return {"picture": 1}

    def stages(self, work: Work) -> tuple[Stage, ...]:
        """Three: looking at pictures one by one, reading the prompt, and writing on.

        `frames` counts the pictures of a request.
        """
        height, width = work.height or 1, work.width or 1
        frames, written = work.frames or 0, work.written or 0
        read = (work.tokens or 0) + frames
        return (
            self._seeing(work.batch * frames, height, width),
            self._reading(work.batch, read, written, frames),
            self._writing(work.batch, read + written // 2, written, frames),
        )

    def _seeing(self, pictures: int, height: int, width: int) -> Stage:
        tower = self.vision
        joined = passing(self.connector, tower.length)
        vectors = tower.length * self.connector.outputs
        operations = tower.operations(height, width) + joined
        live = max(tower.live(height, width), tower.length * tower.vector + vectors)
        return Stage("vision", tower, operations, pictures, live, pictures * vectors)

    def _reading(self, batch: int, read: int, written: int, frames: int) -> Stage:
        decoder, source = self.decoder, frames * self.vision.length
        keys = sum(array.elements for one in decoder.looking for array in one.cross.state(source))
        own = sum(array.elements for one in decoder.reading for array in one.state(read + written))
        operations = self._operations(batch, read, 0, frames)
        operations += sum(passing(_keys(one), batch * source) for one in decoder.looking)
        rows = batch * read
        live = max(layers_live(decoder.reading, rows), rows * (source + 3 * decoder.width))
        kept = batch * (keys + own)
        return Stage("reading", decoder, operations, live=live, kept=kept, rows=rows)

    def _writing(self, batch: int, before: int, written: int, frames: int) -> Stage:
        operations = self._operations(batch, 1, before, frames)
        return Stage(
            "writing",
            self._passed(frames),
            operations,
            passes=written,
            rows=batch,
            attended=self._attended(batch, before, frames),
        )

    def _operations(self, batch: int, length: int, before: int, frames: int) -> int:
        """Return the operations of `length` more tokens in each row, and of the scores of one."""
        decoder, rows = self.decoder, batch * length
        seen = before + (length + 1) // 2  # half of one's own prompt, on average
        total = sum(passing(one, rows) + rows * one.operations(seen) for one in decoder.reading)
        if frames:
            source = frames * self.vision.length
            total += sum(
                passing(_asking(one), rows) + rows * one.cross.operations(source)
                for one in decoder.looking
            )
        return total + passing(Linear(decoder.width, decoder.vocabulary, Role.HEAD), batch)

    def _attended(self, batch: int, before: int, frames: int) -> int:
        """Return the operations of one more token in each row that looks at those before it."""
        decoder, source = self.decoder, frames * self.vision.length
        total = sum(one.operations(before) for one in decoder.reading)
        total += sum(one.cross.operations(source) for one in decoder.looking if frames)
        return batch * total

    def _passed(self, frames: int) -> Part:
        """What a token that is written passes: not the maps of keys, nor of what it cannot see."""
        decoder = self.decoder
        looking = tuple(_asking(one) for one in decoder.looking) if frames else ()
        return (*decoder.reading, *looking, decoder.output)


def _keys(layer: LookingLayer) -> Part:
    """The maps that each place of a picture passes once."""
    parts = layer.cross.parts()
    return tuple(part for name in ("key", "value") if (part := parts[name]) is not None)


def _asking(layer: LookingLayer) -> Part:
    """The maps that each token passes."""
    parts = layer.cross.parts()
    maps = tuple(part for name in ("query", "output") if (part := parts[name]) is not None)
    return (*maps, layer.feed_forward)
