"""Looking at pictures: their features, labels for them, and how alike they are.

A picture is prepared as the publisher says, a tower looks at it, and what it saw is put into
numbers or words.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from fathom.errors import ContextLengthError, RequestError, UnsupportedTaskError
from fathom.generation.labelling import Label, scaled
from fathom.generation.stage_meter import StageMeter
from fathom.inputs.picture_processing import PictureProcessor
from fathom.inputs.pictures import Source, read_picture
from fathom.inputs.tokenizer import Tokenizer
from fathom.models.vision import PictureEncoder, PictureText
from fathom.spec import vision as spec

T = TypeVar("T")
TEMPLATE = "This is a photo of {}."
BATCH = 8  # pictures or texts that one pass takes


@dataclass(frozen=True)
class Features:
    """What a tower makes of a picture, float32.

    `vector` is of the whole picture, None where the model makes none; `patches` (rows, columns,
    width) of each part of it, before any projection.
    """

    vector: NDArray[np.float32] | None
    patches: NDArray[np.float32]


class Looker:
    """A tower that sees, and how its publisher prepares pictures for it."""

    def __init__(
        self,
        sight: torch.nn.Module,
        described: spec.Sight,
        how: PictureProcessor,
        meter: StageMeter | None = None,
    ) -> None:
        self.sight = sight
        self.spec = described
        self.how = how
        self.meter = meter or StageMeter()
        self.device = next(sight.parameters()).device

    def features(self, picture: Source) -> Features:
        """Return the features of one picture."""
        pixels = self.prepared([picture])
        with torch.inference_mode(), self.meter.stage("vision"):
            states, vectors = self.sight(pixels)
        rows, columns = self.spec.tower.embedding.cut(*pixels.shape[2:])
        patches = states[0, self.spec.tower.embedding.before :].unflatten(0, (rows, columns))
        vector = None if vectors is None else vectors[0].float().cpu().numpy()
        return Features(vector, patches.float().cpu().numpy())

    def vectors(self, pictures: Sequence[Source]) -> Tensor:
        """Return a vector per picture, (pictures, vector) float32.

        Raises:
            RequestError: for no pictures.
            UnsupportedTaskError: where the model makes no vector of a whole picture.
        """
        if not pictures:
            raise RequestError("give at least one picture")
        found = []
        for some in _batches(pictures):
            pixels = self.prepared(some)
            with torch.inference_mode(), self.meter.stage("vision"):
                vectors = self.sight(pixels)[1]
            if vectors is None:
                raise UnsupportedTaskError(
                    "this tower makes no vector of a whole picture; take its `features`"
                )
            found.append(vectors.float())
        return torch.cat(found)

    def prepared(self, pictures: Sequence[Source]) -> Tensor:
        """Return what the tower is given: (pictures, 3, height, width) float32.

        Raises:
            PictureError: for what is no sound picture.
        """
        prepared = [self.how(read_picture(one)).values for one in pictures]
        sizes = {values.shape for values in prepared}
        if len(sizes) > 1:
            raise RequestError(
                "these pictures have different sizes after processing; look at one at a time"
            )
        return torch.from_numpy(np.stack(prepared)).to(self.device)


class Classifier:
    """A tower under a head, whose labels are those that it was trained on."""

    def __init__(self, model: PictureEncoder, looker: Looker) -> None:
        self.model = model
        self.looker = looker

    def classify(self, picture: Source) -> list[Label]:
        """Return every label with its score, best first."""
        pixels = self.looker.prepared([picture])
        with torch.inference_mode(), self.looker.meter.stage("vision"):
            scores = self.model(pixels).scores
        return _labels(self.model.spec.labels, scaled(scores[0].float(), self.model.spec.kind))


class Comparer:
    """Two towers: pictures are compared with words that are given."""

    def __init__(self, model: PictureText, looker: Looker, tokenizer: Tokenizer) -> None:
        self.model = model
        self.looker = looker
        self.tokenizer = tokenizer

    def classify(self, picture: Source, labels: Sequence[str], template: str) -> list[Label]:
        """Return the labels with their scores, best first.

        Raises:
            RequestError: for no labels, one twice, or a template without its place.
            ContextLengthError: for a label that is too long.
        """
        if isinstance(labels, str) or not labels or not all(label.strip() for label in labels):
            raise RequestError("give at least one label, each with some words")
        if len(set(labels)) != len(labels):
            raise RequestError("a label is given twice; give each once")
        if template.count("{}") != 1:
            raise RequestError(f"the template {template!r} must have {{}} once, for the label")
        texts = self.texts([template.replace("{}", label) for label in labels])
        with torch.inference_mode():
            fits = self.model.scores(self.looker.vectors([picture]), texts)[0]
        return _labels(labels, scaled(fits, self.model.spec.kind))

    def texts(self, texts: Sequence[str]) -> Tensor:
        """Return a vector per text, (texts, vector) float32.

        Raises:
            RequestError: for no texts.
            ContextLengthError: for one that is too long; nothing is cut off.
        """
        if isinstance(texts, str) or not texts:
            raise RequestError("give at least one text")
        found = []
        for some in _batches([self._tokens(text) for text in texts]):
            longest = max(map(len, some))
            rows = torch.tensor([[*row, *[row[-1]] * (longest - len(row))] for row in some])
            ends = torch.tensor([len(row) - 1 for row in some])
            with torch.inference_mode(), self.looker.meter.stage("text"):
                vectors = self.model.text(rows.to(self.looker.device), ends.to(self.looker.device))
            found.append(vectors.float())
        return torch.cat(found)

    def _tokens(self, text: str) -> list[int]:
        tower = self.model.spec.text
        tokens = self.tokenizer.encode(text)
        if len(tokens) > tower.context:
            raise ContextLengthError(
                f"the text {text[:40]!r} has {len(tokens)} tokens, and the model reads"
                f" {tower.context}; say it in fewer words"
            )
        missing = 0 if tower.filler is None else tower.context - len(tokens)
        return [*tokens, *[tower.filler or 0] * missing]


def likeness(one: Tensor, other: Tensor) -> NDArray[np.float32]:
    """Return the cosine of each vector (n, vector) with each other (m, vector): (n, m)."""
    cosines = functional.normalize(one, dim=-1) @ functional.normalize(other, dim=-1).T
    return cosines.cpu().numpy()


def _labels(names: Sequence[str], scores: Tensor) -> list[Label]:
    found = [Label(name, score) for name, score in zip(names, scores.tolist(), strict=True)]
    return sorted(found, key=lambda label: -label.score)


def _batches(items: Sequence[T]) -> Iterator[Sequence[T]]:
    yield from (items[start : start + BATCH] for start in range(0, len(items), BATCH))
