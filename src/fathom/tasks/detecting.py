"""Detecting: boxes in a picture for what a text names.

A text is phrases, each ended by a full stop. A box is kept where a token of the text fits it well
enough, and is named by the phrase that this token stands in.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from fathom.errors import ContextLengthError, RequestError
from fathom.inputs.picture_processing import PictureProcessor
from fathom.inputs.pictures import Picture, Source, read_picture
from fathom.inputs.tokenizer import Tokenizer
from fathom.models.detector import Detector
from fathom.tasks.segmenting import Box

THRESHOLD = 0.25  # the score from which a box counts, as its publisher has it


@dataclass(frozen=True)
class Detection:
    """A box in a picture's pixels, the phrase that it stands for, and how well it fits (0 to 1)."""

    box: Box
    phrase: str
    score: float


def phrases_text(phrases: str | Sequence[str]) -> str:
    """Return phrases as one text: in small letters, each ended by a full stop.

    Raises:
        RequestError: for no words.
    """
    listed = re.split("[.?]", phrases) if isinstance(phrases, str) else phrases
    words = [phrase.strip(" .?\t\n").lower() for phrase in listed]
    named = [word for word in words if word]
    if not named:
        raise RequestError('say what to find, such as "a cat. a dog."')
    return ". ".join(named) + "."


class Finder:
    """A detector, how its publisher prepares pictures, and its tokenizer."""

    def __init__(self, model: Detector, how: PictureProcessor, tokenizer: Tokenizer) -> None:
        self.model = model
        self.how = how
        self.tokenizer = tokenizer
        self.device = next(model.parameters()).device

    def detect(
        self, source: Source, phrases: str | Sequence[str], threshold: float
    ) -> list[Detection]:
        """Return what is found in a picture, best first.

        Raises:
            RequestError: for no words, or a threshold that is no part of one.
            ContextLengthError: for too many words; nothing is cut off.
            PictureError: for what is no sound picture.
        """
        if not 0 <= threshold <= 1:
            raise RequestError(
                f"a threshold of {threshold:g} is not possible; take one from 0 to 1"
            )
        tokens = self._tokens(phrases_text(phrases))
        picture = read_picture(source)
        pixels = torch.from_numpy(self.how(picture).values)[None].to(self.device)
        with torch.inference_mode():
            found = self.model(pixels, torch.tensor([tokens], device=self.device))
        scores, best = found.scores[0].sigmoid().max(dim=1)
        names = self._names(tokens)
        kept = (scores > threshold).nonzero()[:, 0]
        ordered = kept[scores[kept].argsort(descending=True, stable=True)].tolist()
        return [
            Detection(
                _box(found.boxes[0, one].tolist(), picture), names[best[one]], scores[one].item()
            )
            for one in ordered
        ]

    def _tokens(self, text: str) -> list[int]:
        tokens = self.tokenizer.encode(text)
        most = self.model.spec.context
        if len(tokens) > most:
            raise ContextLengthError(
                f"what to find has {len(tokens)} tokens, and the model reads {most};"
                " ask for fewer things at once"
            )
        return tokens

    def _names(self, tokens: Sequence[int]) -> list[str]:
        """Return the phrase of each token; an end belongs to the phrase before it."""
        ends, names = self.model.spec.text.ends, [""] * len(tokens)
        start = 0
        for place, token in enumerate(tokens):
            if token in ends:
                words = [each for each in tokens[start : place + 1] if each not in ends]
                phrase = self.tokenizer.decode(words) if words else ""
                names[start : place + 1] = [phrase] * (place + 1 - start)
                start = place + 1
        return names


def _box(box: Sequence[float], picture: Picture) -> Box:
    """Return a box in pixels, cut at the picture's border, of its middle, width and height."""
    x, y, width, height = box
    wide, high = picture.width, picture.height
    left, right = (min(max(x + side * width / 2, 0.0), 1.0) * wide for side in (-1, 1))
    top, bottom = (min(max(y + side * height / 2, 0.0), 1.0) * high for side in (-1, 1))
    return Box(left, top, right, bottom)
