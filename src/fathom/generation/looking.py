"""A decoder that looks at pictures beside its text, a chunk of tokens at a time.

A prompt stays a list of token ids, in which one stands for each picture. What the model saw lies
beside it for as long as the text is written about, as keys and values in the layers that look.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from fathom.blocks.state import MixerState, Passing
from fathom.generation.forward import CHUNK
from fathom.generation.inserts import Insert, Placed, digest
from fathom.generation.modules import TensorForward
from fathom.generation.state import ContiguousState
from fathom.models.cross_vision_language import CrossVisionLanguage, looked_at, sights
from fathom.spec import cross_vision_language as spec
from fathom.spec.encoder_decoder import LookingLayer, Stack


@dataclass(frozen=True, eq=False)
class Sighting(Insert):
    """Vectors (n, width) that a text looks at from the place `start` on, where their token is.

    The first `real` of them are of the picture; the rest fills up its tiles.
    """

    real: int = 0

    @property
    def end(self) -> int:
        return self.start + 1

    @property
    def known(self) -> int:
        """Tokens before a picture look at it too."""
        return 0


@dataclass(frozen=True, eq=False)
class Sighted(Placed):
    """A picture that lies beside a prompt; its one token is the placeholder."""

    real: int = 0

    def inserts(self, start: int) -> Iterator[Insert]:
        yield Sighting(start, self.vectors, digest(self.vectors), real=self.real)


class LookingForward(TensorForward[CrossVisionLanguage]):
    """A model that looks, in PyTorch."""

    @property
    def spec(self) -> spec.CrossVisionLanguage:
        """The description that the model runs by."""
        return self.model.spec

    def begin(self, capacity: int) -> LookingCourse:
        """Return an empty course, the memory of its text taken."""
        state = LookingState(self.spec.decoder, capacity, self.dtype, self.device)
        return LookingCourse(self.model, state)


class LookingState:
    """Keys and values of one text, and in the layers that look of what lies beside it."""

    def __init__(
        self, described: spec.LookingDecoder, capacity: int, dtype: torch.dtype, device: str
    ) -> None:
        reading = Stack(described.embedding, described.reading)
        self.own = ContiguousState(reading, batch=1, capacity=capacity, dtype=dtype, device=device)
        own = iter(self.own.layers)
        self.layers: Sequence[MixerState] = [
            Remembering() if isinstance(layer, LookingLayer) else next(own)
            for layer in described.layers
        ]

    def reset(self) -> None:
        """Forget everything, keeping the memory of the text."""
        self.own.reset()
        for layer in self.layers:
            if isinstance(layer, Remembering):
                layer.arrays.clear()


class Remembering(Passing):
    """What a layer that looks has made of what it saw."""

    def __init__(self) -> None:
        self.arrays: dict[str, Tensor] = {}

    def recall(self, name: str) -> Tensor | None:
        """Return an array, or None before anything was seen."""
        return self.arrays.get(name)

    def remember(self, name: str, value: Tensor) -> None:
        """Keep an array for as long as the text is written about."""
        self.arrays[name] = value


class LookingCourse:
    """One text, and what it looks at."""

    def __init__(self, model: CrossVisionLanguage, state: LookingState) -> None:
        self.ids: list[int] = []
        self.inserts: Sequence[Insert] = ()
        self._model = model
        self._state = state

    @property
    def capacity(self) -> int:
        """The most tokens that it can hold."""
        return self._state.own.capacity

    @torch.inference_mode()
    def scores(self, tokens: Sequence[int]) -> Tensor:
        """Take tokens in, and return the scores after the last one, (vocabulary,)."""
        sightings = [one for one in self.inserts if isinstance(one, Sighting)]
        for start in range(0, len(tokens), CHUNK):
            hidden = self._read(tokens[start : start + CHUNK], sightings)
        scores = self._model.decoder.scores(hidden[:, -1])[0].float()
        unwritten = self._model.spec.vocabulary - len(scores)
        return functional.pad(scores, (0, unwritten), value=float("-inf"))

    def _read(self, chunk: Sequence[int], sightings: Sequence[Sighting]) -> Tensor:
        """Take a few tokens in, and return their last hidden states, (1, length, width)."""
        own = self._state.own
        row = torch.tensor([list(chunk)], dtype=torch.long, device=own.device)
        source = None
        if sightings:
            first, spans = len(self.ids), spec.spans([one.start for one in sightings])
            source = looked_at(
                [one.vectors for one in sightings],
                [one.real for one in sightings],
                sights(spans, first, first + len(chunk)),
            )
        step = own.advance(len(chunk))
        hidden = self._model.decoder.hidden(row, source, step=step, state=self._state)
        self.ids += chunk
        return hidden

    def reset(self) -> None:
        """Forget everything, keeping the memory of the text."""
        self._state.reset()
        self.ids, self.inserts = [], ()
