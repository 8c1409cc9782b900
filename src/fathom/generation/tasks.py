"""Tasks beside generating: each asks whether the model can, and says which class can if not.

Mixins, so that every task is a method of the model itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, TypeVar

from fathom.errors import RequestError, UnsupportedTaskError
from fathom.spec.classes import model_class, model_outputs
from fathom.spec.encoder import Encoder
from fathom.spec.encoder_decoder import EncoderDecoder
from fathom.spec.heads import MaskedHead, SequenceHead, SpanHead, TokenHead
from fathom.spec.model import TextModel as Spec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fathom.generation.embedding import Embedder
    from fathom.generation.labelling import Answer, Filling, Label, Labeller, Ranked, Span
    from fathom.generation.results import Generation
    from fathom.inputs.tokenizer import Tokenizer

H = TypeVar("H", MaskedHead, SequenceHead, TokenHead, SpanHead)


class _Opened(Protocol):
    """What a task needs of an opened model."""

    @property
    def spec(self) -> Spec: ...

    def _embedder(self, pooling: str | None) -> Embedder: ...

    @property
    def _labeller(self) -> Labeller: ...


class ReadingTasks:
    """Tasks that read a text whole: vectors, masks, labels, spans, answers, ranks."""

    def embed(
        self: _Opened,
        texts: Sequence[str],
        *,
        prompt: str | None = None,
        normalise: bool | None = None,
        pooling: str | None = None,
        batch: int = 32,
        truncate: bool = False,
    ) -> NDArray[np.float32]:
        """Return one vector per text: (texts, width) float32.

        Args:
            prompt: the name of one of the publisher's prompts, or a text of one's own to stand
                before each text; by default what the publisher says.
            normalise: to length one or not; by default what the publisher says.
            pooling: "first", "last", "mean" or "max"; by default what the publisher says.
            batch: texts per pass.
            truncate: cut off what exceeds the longest text that the model takes.

        Raises:
            RequestError: for no texts, an unknown prompt, or where nobody says how to pool.
            ContextLengthError: for a text that is too long.
        """
        return self._embedder(pooling).embed(
            texts, prompt=prompt, normalise=normalise, batch=batch, truncate=truncate
        )

    def fill(self: _Opened, text: str, top: int = 5) -> list[Filling]:
        """Return the likeliest tokens for the one mask in a text, best first.

        Raises:
            UnsupportedTaskError: for a model that was not trained on masks.
            RequestError: for a text without a mask or with several.
        """
        head_for(self.spec, MaskedHead, "fill a mask", "an MLM, such as BERT")
        return self._labeller.fill(text, top)

    def classify(self: _Opened, text: str) -> list[Label]:
        """Return every label of a text with its score, best first.

        Raises:
            UnsupportedTaskError: for a model without labels for texts.
        """
        head = head_for(self.spec, SequenceHead, "classify a text", "a classifier")
        return self._labeller.classify(text, head.labels, head.kind)

    def rerank(
        self: _Opened, query: str, documents: Sequence[str], *, batch: int = 32
    ) -> list[Ranked]:
        """Return documents by how well they answer a query, best first.

        Raises:
            UnsupportedTaskError: for a model that does not score pairs of texts by one number.
            RequestError: for no documents.
        """
        head = head_for(self.spec, SequenceHead, "rank documents", "a reranker")
        if len(head.labels) != 1:
            raise _unsupported(self.spec, "rank documents", "a reranker")
        return self._labeller.rerank(query, documents, head.kind, batch)

    def tag(self: _Opened, text: str) -> list[Span]:
        """Return the labelled spans of a text, such as names of people and places, in order.

        Raises:
            UnsupportedTaskError: for a model without labels for tokens.
        """
        head = head_for(self.spec, TokenHead, "tag spans", "a tagger")
        return self._labeller.tag(text, head.labels)

    def answer(self: _Opened, question: str, context: str) -> Answer:
        """Return the stretch of `context` that answers a question best.

        Raises:
            UnsupportedTaskError: for a model that does not mark answers.
        """
        head_for(self.spec, SpanHead, "mark an answer in a text", "an extractive QA model")
        return self._labeller.answer(question, context)


class _Writing(_Opened, Protocol):
    """What a task that writes needs of an opened model."""

    @property
    def _config(self) -> Mapping[str, object]: ...

    @property
    def tokenizer(self) -> Tokenizer: ...

    def _generate(
        self, prompt: Sequence[int], options: Mapping[str, object], task: str | None = None
    ) -> Generation: ...


class PairTasks:
    """Tasks that read one text and write another."""

    @property
    def task_prompts(self: _Writing) -> Mapping[str, str]:
        """What the publisher puts before a text, by the publisher's name of the task."""
        return _prefixes(self._config)

    def summarize(self: _Writing, text: str, **options: object) -> Generation:
        """Write a summary; iterate over the result for pieces of it. Options as for `generate`.

        Raises:
            UnsupportedTaskError: for a model that does not read one text to write another.
        """
        _require_pair(self.spec, "summarize a text by itself")
        before = _prefixes(self._config).get("summarization", "")
        return self._generate(self.tokenizer.encode(before + text), options, "summarization")

    def translate(
        self: _Writing, text: str, *, languages: tuple[str, str] | None = None, **options: object
    ) -> Generation:
        """Write a translation; iterate over the result for pieces of it.

        Args:
            languages: from which and into which, such as ("en", "de"), for a model that was made
                for several pairs.
            options: as for `generate`.

        Raises:
            UnsupportedTaskError: for a model that does not read one text to write another.
            RequestError: for languages that the model's files do not name, or none where they do.
        """
        _require_pair(self.spec, "translate a text by itself")
        lead = "translation_"
        known = {
            task.removeprefix(lead): prefix
            for task, prefix in _prefixes(self._config).items()
            if task.startswith(lead)
        }
        asked = None if languages is None else "_to_".join(languages)
        if asked is None and not known:
            return self._generate(self.tokenizer.encode(text), options, "translation")
        if asked is None or asked not in known:
            pairs = ", ".join(pair.replace("_to_", " to ") for pair in known) or "one pair alone"
            raise RequestError(f"name languages that this model was made for: {pairs}")
        ids = self.tokenizer.encode(known[asked] + text)
        return self._generate(ids, options, lead + asked)


def _prefixes(config: Mapping[str, object]) -> dict[str, str]:
    """Return what a publisher puts before a text, by task."""
    listed = config.get("task_specific_params")
    tasks = listed.items() if isinstance(listed, Mapping) else ()
    return {
        str(task): str(stated["prefix"])
        for task, stated in tasks
        if isinstance(stated, Mapping) and "prefix" in stated
    }


def _require_pair(spec: Spec, task: str) -> None:
    if not isinstance(spec, EncoderDecoder):
        raise _unsupported(spec, task, "a seq2seq model, such as T5, or ask an LLM in a chat")


def head_for(spec: Spec, kind: type[H], task: str, able: str) -> H:
    """Return the head that a task needs.

    Raises:
        UnsupportedTaskError: when the model has another head or none.
    """
    if isinstance(spec, Encoder) and isinstance(spec.head, kind):
        return spec.head
    raise _unsupported(spec, task, able)


def require_writing(spec: Spec) -> None:
    """Refuse to write with a model that only reads.

    Raises:
        UnsupportedTaskError: for an encoder, or a decoder made to read in both directions.
    """
    if isinstance(spec, Encoder) or model_outputs(spec) == ("embeddings",):
        raise _unsupported(spec, "write text", "an LLM or SLM, such as smollm2:135m")


def require_beams(spec: Spec, options: Mapping[str, object]) -> None:
    """Refuse several beams for a model that continues its prompt.

    Raises:
        UnsupportedTaskError: saying what to do instead.
    """
    if options.get("beams") not in (None, 1) and not isinstance(spec, EncoderDecoder):
        raise _unsupported(
            spec, "follow several beams", "a seq2seq model, such as T5, or leave out beams"
        )


def require_texts(spec: Spec, given: int) -> None:
    """Refuse to score one text with a model that needs two, or two with one that takes one.

    Raises:
        UnsupportedTaskError: saying what to pass.
    """
    wanted = 2 if isinstance(spec, EncoderDecoder) else 1
    if given != wanted:
        decided, rule = model_class(spec)
        call = "logits(read, written)" if wanted == 2 else "logits(token_ids)"
        raise UnsupportedTaskError(f"this model's class is {decided} ({rule}); call {call}")


def require_reading(spec: Spec) -> None:
    """Refuse vectors of a model that reads one text in order to write another.

    Raises:
        UnsupportedTaskError: for a sequence-to-sequence model.
    """
    if isinstance(spec, EncoderDecoder):
        raise _unsupported(spec, "embed texts", "an embedding model, such as minilm:l6")


def _unsupported(spec: Spec, task: str, able: str) -> UnsupportedTaskError:
    decided, rule = model_class(spec)
    return UnsupportedTaskError(
        f"this model cannot {task}: its class is {decided} ({rule}); take {able}"
    )
