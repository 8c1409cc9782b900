"""A detector: boxes in a picture for what a text names.

Liu et al., 2023 (arXiv 2303.05499). A tower sees the picture as maps of several sizes, another
reads the text phrase by phrase; layers let both see one another; the places that fit the text
best become queries, which a decoder turns into boxes, each with a score for every token.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from fathom.spec.decoder import Embedding, Layer
from fathom.spec.deformable import DeformableAttention
from fathom.spec.encoder_decoder import CrossAttention
from fathom.spec.feed_forward import Mlp
from fathom.spec.parts import Bare, Convolution, GroupNorm, Linear, Norm, Part, Table
from fathom.spec.roles import Role
from fathom.spec.segmenter import Chain, looking_operations
from fathom.spec.vision import layers_live, layers_operations
from fathom.spec.windowed import Grid, WindowTower
from fathom.spec.work import ADDED, MAPPED, About, Stage, Work, passing

USUAL_PICTURE = (800, 1066)  # the shorter side as trained, in the shape of most photographs
WAVED = 16  # numbers read and written for each that says where a place lies
SCORED = 16  # numbers read and written for each score of two that look at one another
USUAL_TOKENS = 16  # a few phrases


@dataclass(frozen=True)
class PhraseReader:
    """A tower that reads: a token sees those of its own phrase, and stands where it does in it.

    Phrases end with one of the tokens `ends`. States come out as wide as the detector is.
    """

    embedding: Embedding
    layers: tuple[Layer, ...]
    projection: Linear
    ends: tuple[int, ...]

    def parts(self) -> Mapping[str, Part | None]:
        return {"embedding": self.embedding, "layers": self.layers, "projection": self.projection}


@dataclass(frozen=True)
class Level:
    """A map of the tower, or of the level before it, becomes one of the detector's width."""

    convolution: Convolution
    norm: GroupNorm

    def parts(self) -> Mapping[str, Part | None]:
        return {"convolution": self.convolution, "norm": self.norm}

    def grid(self, grid: Grid) -> Grid:
        """Return the (rows, columns) that come out."""
        rows, columns = self.convolution.size(grid)
        return rows, columns


@dataclass(frozen=True)
class PlacePositions:
    """What tells a place where it lies: waves of its row and column, or a learned row for each.

    Waves grow longer up to `longest` times the shortest. There are at most `most` learned rows,
    and as many columns.
    """

    width: int
    learned: bool
    longest: float
    most: int = 50

    def parts(self) -> Mapping[str, Part | None]:
        table = Table(self.most, self.width // 2) if self.learned else None
        return {"rows": table, "columns": table}


@dataclass(frozen=True)
class Exchange:
    """Places look at tokens and tokens at places, by the same scores, each in its own direction.

    Both are normed first, and what was normed is what the findings, scaled, are added to.
    """

    width: int
    inner: int
    heads: int
    epsilon: float

    def parts(self) -> Mapping[str, Part | None]:
        into = Linear(self.width, self.inner, Role.INTO_HEADS, bias=True)
        out = Linear(self.inner, self.width, Role.OUT_OF_HEADS, bias=True)
        norm = Norm(self.width, self.epsilon, "layer", bias=True)
        return {
            "places_norm": norm,
            "tokens_norm": norm,
            "query": into,  # of places
            "key": into,  # of tokens
            "places_value": into,
            "tokens_value": into,
            "places_output": out,
            "tokens_output": out,
            "places_scales": Bare((self.width,), Role.NORM),
            "tokens_scales": Bare((self.width,), Role.NORM),
        }

    def operations(self, places: int, tokens: int) -> int:
        """Floating-point operations of one picture and one text."""
        maps = 2 * 3 * self.width * self.inner * (places + tokens)
        return maps + 8 * places * tokens * self.inner


@dataclass(frozen=True)
class EnhancerLayer:
    """Both see one another; then tokens see their phrase, and places a few others. Norms close."""

    exchange: Exchange
    phrase: CrossAttention
    words_feed_forward: Mlp
    places: DeformableAttention
    feed_forward: Mlp
    epsilon: float

    def parts(self) -> Mapping[str, Part | None]:
        norm = Norm(self.phrase.width, self.epsilon, "layer", bias=True)
        return {
            "exchange": self.exchange,
            "phrase": self.phrase,
            "phrase_norm": norm,
            "words_feed_forward": self.words_feed_forward,
            "words_feed_forward_norm": norm,
            "places": self.places,
            "places_norm": norm,
            "feed_forward": self.feed_forward,
            "feed_forward_norm": norm,
        }

    def operations(self, places: int, tokens: int) -> int:
        """Floating-point operations of one picture and one text."""
        return (
            self.exchange.operations(places, tokens)
            + looking_operations(self.phrase, tokens, tokens)
            + passing(self.words_feed_forward, tokens)
            + self.places.operations(places, places)
            + passing(self.feed_forward, places)
        )

    def moved(self, places: int, tokens: int) -> int:
        """Numbers that one picture has read and written here, beside products.

        Places are normed, put into heads and together, and added to, four times; scores of tokens
        are bounded and shared out in both directions.
        """
        stream = 4 * (2 * MAPPED + ADDED) * self.phrase.width + MAPPED * self.feed_forward.inner
        scores = SCORED * self.exchange.heads * tokens
        return places * (stream + scores) + self.places.moved(places)

    def live(self, places: int, largest: int) -> int:
        """Numbers held at the largest moment: the stream as it came in and as it is, and more."""
        exchanging = 4 * places * self.exchange.inner
        looking = self.places.live(places, places, largest)
        feeding = 2 * places * self.feed_forward.inner
        return 2 * places * self.phrase.width + max(exchanging, looking, feeding)


@dataclass(frozen=True)
class Proposing:
    """Every place says how well it fits the text and which box it stands for; the best are kept."""

    width: int
    epsilon: float

    def parts(self) -> Mapping[str, Part | None]:
        return {
            "dense": Linear(self.width, self.width, Role.DENSE, bias=True),
            "norm": Norm(self.width, self.epsilon, "layer", bias=True),
            "boxes": Chain(self.width, self.width, 4, 3),
        }

    def operations(self, places: int, tokens: int, kept: int) -> int:
        """Floating-point operations of one picture and one text; boxes are of those `kept`."""
        boxes = passing(Chain(self.width, self.width, 4, 3), kept)
        return 2 * places * self.width * (self.width + tokens) + boxes


@dataclass(frozen=True)
class QueryLayer:
    """Queries see one another, the text, and a few places around their boxes. Norms close each."""

    own: CrossAttention
    words: CrossAttention
    places: DeformableAttention
    feed_forward: Mlp
    epsilon: float

    def parts(self) -> Mapping[str, Part | None]:
        norm = Norm(self.own.width, self.epsilon, "layer", bias=True)
        return {
            "own": self.own,
            "own_norm": norm,
            "words": self.words,
            "words_norm": norm,
            "places": self.places,
            "places_norm": norm,
            "feed_forward": self.feed_forward,
            "feed_forward_norm": norm,
        }

    def operations(self, queries: int, places: int, tokens: int) -> int:
        """Floating-point operations of one picture and one text."""
        return (
            looking_operations(self.own, queries, queries)
            + looking_operations(self.words, queries, tokens)
            + self.places.operations(queries, places)
            + passing(self.feed_forward, queries)
        )


@dataclass(frozen=True)
class QueryDecoder:
    """Layers that refine boxes; queries begin as learned rows, their boxes as proposed.

    `boxes` make of a query's state how its box changes, after each layer: one chain for each, or
    a single one for all.
    """

    width: int
    queries: int
    proposing: Proposing
    layers: tuple[QueryLayer, ...]
    norm: Norm
    boxes: tuple[Chain, ...]

    def parts(self) -> Mapping[str, Part | None]:
        return {
            "begin": Table(self.queries, self.width),
            "proposing": self.proposing,
            "lying": Chain(2 * self.width, self.width, self.width, 2),
            "layers": self.layers,
            "norm": self.norm,
            "boxes": self.boxes,
        }

    def operations(self, places: int, tokens: int) -> int:
        """Floating-point operations of one picture and one text."""
        lying = Chain(2 * self.width, self.width, self.width, 2)
        each = passing(lying, self.queries) + passing(self.boxes[0], self.queries)
        layers = sum(each + one.operations(self.queries, places, tokens) for one in self.layers)
        proposing = self.proposing.operations(places, tokens, self.queries)
        return proposing + layers + 2 * self.queries * tokens * self.width

    def moved(self, places: int, tokens: int) -> int:
        """Numbers that one picture has read and written here, beside products.

        All places are proposed from: left out at borders, normed, scored. Queries are few beside
        them, but for where they look.
        """
        proposing = places * (2 * (MAPPED + ADDED) * self.width + ADDED * tokens)
        looking = sum(one.places.moved(self.queries) + places * self.width for one in self.layers)
        return proposing + looking


@dataclass(frozen=True)
class Detector:
    """Two towers, what lets both see one another, and what finds boxes.

    A text is at most `context` tokens.
    """

    context: int
    vision: WindowTower
    levels: tuple[Level, ...]
    positions: PlacePositions
    text: PhraseReader
    enhancer: tuple[EnhancerLayer, ...]
    decoder: QueryDecoder

    about: ClassVar[About] = About(
        "detection",
        "a tower that sees and one that reads, and queries that find boxes for what is named",
        ("picture", "text"),
        ("boxes",),
        ("detect",),
    )

    def parts(self) -> Mapping[str, Part | None]:
        return {
            "vision": self.vision,
            "levels": self.levels,
            "positions": self.positions,
            "level_marks": Bare((len(self.levels), self.decoder.width), Role.EMBEDDING),
            "text": self.text,
            "enhancer": self.enhancer,
            "decoder": self.decoder,
        }

    @property
    def vocabulary(self) -> int:
        return self.text.embedding.vocabulary

    @property
    def usual(self) -> Work:
        height, width = USUAL_PICTURE
        return Work(height=height, width=width, tokens=min(USUAL_TOKENS, self.context))

    def grids(self, height: int, width: int) -> tuple[Grid, ...]:
        """Return the (rows, columns) of each level for a picture."""
        read = self.vision.read_grids(height, width)
        found: list[Grid] = []
        for number, level in enumerate(self.levels):
            before = read[number] if number < len(read) else read[-1]
            found.append(level.grid(found[-1] if number > len(read) else before))
        return tuple(found)

    def stages(self, work: Work) -> tuple[Stage, ...]:
        """Four: seeing, reading, letting both see one another, and finding boxes."""
        usual = self.usual
        height, width = work.height or usual.height or 1, work.width or usual.width or 1
        tokens, batch = work.tokens or usual.tokens or 1, work.batch
        grids = [rows * columns for rows, columns in self.grids(height, width)]
        places, wide = sum(grids), self.decoder.width
        levels = sum(passing(one, n) for one, n in zip(self.levels, grids, strict=True))
        seeing = self.vision.operations(batch, height, width) + batch * levels
        reading = layers_operations(self.text.layers, batch, tokens)
        reading += passing(self.text.projection, batch * tokens)
        enhancing = sum(layer.operations(places, tokens) for layer in self.enhancer)
        live = max(layer.live(places, max(grids)) for layer in self.enhancer)
        finding = self.decoder
        pixels = batch * self.vision.patches.inputs * height * width
        return (
            Stage(
                "vision",
                (self.vision, self.levels, self.positions),
                seeing,
                live=pixels + self.vision.live(batch, height, width),
                kept=2 * batch * places * wide,  # states of places, and where they lie
                moved=self.vision.moved(batch, height, width) + batch * WAVED * places * wide,
            ),
            Stage(
                "text",
                self.text,
                reading,
                live=layers_live(self.text.layers, batch * tokens),
                kept=batch * tokens * wide,
                rows=batch * tokens,
            ),
            Stage(
                "enhancer",
                self.enhancer,
                batch * enhancing,
                live=batch * live,
                moved=batch * sum(layer.moved(places, tokens) for layer in self.enhancer),
            ),
            Stage(
                "decoder",
                finding,
                batch * finding.operations(places, tokens),
                live=batch * self._finding_live(places, max(grids), tokens),
                kept=batch * finding.queries * (tokens + 4),
                moved=batch * finding.moved(places, tokens),
            ),
        )

    def _finding_live(self, places: int, largest: int, tokens: int) -> int:
        """Numbers held at the decoder's largest moment, for one picture."""
        wide, finding = self.decoder.width, self.decoder
        return max(
            places * (2 * wide + tokens),
            *(one.places.live(finding.queries, places, largest) for one in finding.layers),
        )
