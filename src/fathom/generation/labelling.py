"""What an encoder's head says, in words: tokens for a mask, labels, spans, answers, ranks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fathom.errors import RequestError
from fathom.generation.reading import Reading, batches, read_text
from fathom.inputs.tokenizer import Tokenizer
from fathom.models.encoder import Encoder
from fathom.spec.heads import Labelling

LONGEST_ANSWER = 30  # tokens
NO_LABEL = "O"  # of tokens outside every span


@dataclass(frozen=True, slots=True)
class Filling:
    """A token that may stand for a mask, its probability, and the text with it in place."""

    token: str
    probability: float
    text: str


@dataclass(frozen=True, slots=True)
class Label:
    """A label and its score: a probability, or a plain number where the model gives those."""

    name: str
    score: float


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of a text from character `start` to before `end`, and what it is."""

    label: str
    text: str
    start: int
    end: int
    score: float


@dataclass(frozen=True, slots=True)
class Answer:
    """The stretch of a text that answers a question best."""

    text: str
    start: int
    end: int
    score: float


@dataclass(frozen=True, slots=True)
class Ranked:
    """A document, its place in the list that was given, and its score."""

    index: int
    score: float
    document: str


class Labeller:
    """An encoder with a head, and its tokenizer."""

    def __init__(self, model: Encoder, tokenizer: Tokenizer, longest: int) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.longest = longest
        self.device = next(model.parameters()).device

    def fill(self, text: str, top: int) -> list[Filling]:
        """Return the `top` likeliest tokens for the one mask in a text, best first.

        Raises:
            RequestError: for a text without a mask or with several.
        """
        mask = self.tokenizer.special.mask
        spelled = None if mask is None else self.tokenizer.id_to_token(mask)
        if mask is None or spelled is None:
            raise RequestError("this model's tokenizer has no mask token; take one that fills gaps")
        if top < 1:
            raise RequestError(f"top must be at least 1, not {top}")
        reading = self._read(text)
        places = [place for place, token in enumerate(reading.ids) if token == mask]
        if len(places) != 1:
            raise RequestError(
                f"the text has {len(places)} masks; write {spelled} once where a word is missing"
            )
        scores = self._scores([reading])[0][places[0]].softmax(dim=-1)
        best = scores.topk(min(top, len(scores)))
        return [
            self._filling(reading, places[0], token, probability)
            for token, probability in zip(best.indices.tolist(), best.values.tolist(), strict=True)
        ]

    def _filling(self, reading: Reading, place: int, token: int, probability: float) -> Filling:
        filled = [*reading.ids[:place], token, *reading.ids[place + 1 :]]
        spelled = self.tokenizer.decode([token], skip_special=False).strip()
        return Filling(spelled, probability, self.tokenizer.decode(filled))

    def classify(self, text: str, labels: Sequence[str], kind: Labelling) -> list[Label]:
        """Return every label of a text with its score, best first."""
        scores = scaled(self._scores([self._read(text)])[0], kind)
        found = [Label(name, score) for name, score in zip(labels, scores.tolist(), strict=True)]
        return sorted(found, key=lambda label: -label.score)

    def rerank(
        self, query: str, documents: Sequence[str], kind: Labelling, batch: int
    ) -> list[Ranked]:
        """Return documents by how well they answer a query, best first."""
        if isinstance(documents, str) or not documents or batch < 1:
            raise RequestError("give a list of at least one document, and a batch of at least 1")
        readings = [self._read(query, document) for document in documents]
        scores = [scaled(row, kind)[0].item() for row in self._scores(readings, batch)]
        ranked = [
            Ranked(index, score, document)
            for index, (score, document) in enumerate(zip(scores, documents, strict=True))
        ]
        return sorted(ranked, key=lambda one: -one.score)

    def tag(self, text: str, labels: Sequence[str]) -> list[Span]:
        """Return the labelled spans of a text in order.

        Tokens of one kind that follow one another are one span, unless a label begins with B-,
        which opens a new one; a span's score is the mean of its tokens'.
        """
        reading = self._read(text)
        best = self._scores([reading])[0].softmax(dim=-1).max(dim=-1)
        spans: list[_Open] = []
        for place, (score, label) in enumerate(
            zip(best.values.tolist(), best.indices.tolist(), strict=True)
        ):
            if not reading.special[place]:
                _extend(spans, labels[label], reading.offsets[place], score)
        return [span.closed(text) for span in spans if span.label != NO_LABEL]

    def answer(self, question: str, context: str) -> Answer:
        """Return the stretch of `context` that answers a question best.

        Its score is the probability that it begins there times that it ends there.
        """
        reading = self._read(question, context)
        places = [place for place, second in enumerate(reading.second) if second]
        if not places:
            raise RequestError("the context to find an answer in is empty; give a text")
        scores = self._scores([reading])[0][places]
        begin, end = scores.softmax(dim=0).unbind(dim=-1)
        joint = (begin[:, None] * end[None, :]).triu().tril(LONGEST_ANSWER - 1)
        first, last = divmod(int(joint.argmax()), len(places))
        start, stop = reading.offsets[places[first]][0], reading.offsets[places[last]][1]
        return Answer(context[start:stop], start, stop, float(joint[first, last]))

    def _read(self, text: str, second: str | None = None) -> Reading:
        return read_text(self.tokenizer, text, second, longest=self.longest)

    @torch.inference_mode()
    def _scores(self, readings: Sequence[Reading], batch: int = 1) -> list[Tensor]:
        """Return what the head says of each text, in order, float32 on the processor."""
        found: dict[int, Tensor] = {}
        for one in batches(readings, batch, self.device):
            scores = self.model(one.tokens, step=one.step, types=one.types).float().cpu()
            found.update(zip(one.rows, scores, strict=True))
        return [found[row] for row in range(len(readings))]


def scaled(scores: Tensor, kind: Labelling) -> Tensor:
    """Turn scores (…, labels) into what they mean."""
    match kind:
        case "one":
            return scores.softmax(dim=-1)
        case "several":
            return scores.sigmoid()
        case "number":
            return scores


@dataclass(slots=True)
class _Open:
    """A span that may still grow."""

    label: str
    start: int
    end: int
    scores: list[float]

    def closed(self, text: str) -> Span:
        mean = sum(self.scores) / len(self.scores)
        return Span(self.label, text[self.start : self.end], self.start, self.end, mean)


def _extend(spans: list[_Open], label: str, place: tuple[int, int], score: float) -> None:
    """Add a token to the last span or open a new one."""
    begins, kind = label.startswith("B-"), label.removeprefix("B-").removeprefix("I-")
    if spans and spans[-1].label == kind and not begins:
        spans[-1].end = place[1]
        spans[-1].scores.append(score)
    else:
        spans.append(_Open(kind, *place, [score]))
