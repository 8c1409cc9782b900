"""An opened model and its asks: what a worker does, in whichever process it lives.

An ask comes in from any thread. It is refused at once, or its events go out through a callback
as they happen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from fathom.errors import ContextLengthError, FathomError, RequestError, UnsupportedTaskError
from fathom.generation.batching.engine import Bounds
from fathom.inputs.conversation import encode_conversation
from fathom.library.answering import AnsweringModel
from fathom.library.model import Model
from fathom.library.text import TextModel
from fathom.planning.predict import Forecast
from fathom.serving.alone import Alone
from fathom.serving.calling import Calling
from fathom.serving.echoing import Echo
from fathom.serving.expecting import Expectation
from fathom.serving.following import Emit, Follower
from fathom.serving.gathering import Gatherer
from fathom.serving.service import Ask, ChatAsk, Ranking, Scored, TextAsk, Vectors
from fathom.spec.decoder import Decoder

if TYPE_CHECKING:
    from fathom.generation.batching.engine import BatchEngine
    from fathom.generation.batching.handle import Handle
    from fathom.generation.reasoning import Piece
    from fathom.generation.results import Generation
    from fathom.inputs.tokenizer import Tokenizer
    from fathom.serving.tool_calls.reader import CallReader

Cancel: TypeAlias = Callable[[], None]

# A text of more characters than this for each position cannot fit: published vocabularies hold
# no token that is longer on the average, and reading it first would take a minute and more.
CHARACTERS_PER_POSITION = 16


@dataclass(frozen=True)
class Begun:
    """An ask that was taken; `warnings` is what of it is not done."""

    cancel: Cancel
    warnings: tuple[str, ...] = ()


class Runner:
    """Runs the asks of one opened model, those of decoders together."""

    def __init__(self, model: Model, bounds: Bounds, *, seconds: float | None = None) -> None:
        """Take a model; an answer is given up after `seconds`."""
        self.model = model
        self.alone = Alone(bounds.queue_requests, model.card.name)
        self.gatherer = Gatherer(self.alone, model)
        self.engine: BatchEngine | None = None
        self._tasks = frozenset(model.tasks)  # which takes milliseconds to tell
        self._seconds = seconds
        self._expectation: Expectation | None = None
        if isinstance(model, TextModel) and isinstance(model.spec, Decoder):
            self.engine = model.batching(bounds)
            self._expectation = Expectation.of(model)
            law = self._expectation.law()
            if law is not None:
                self.engine.expect(law)

    def begin(self, ask: Ask, emit: Emit) -> Begun:
        """Begin to answer.

        Raises:
            UnsupportedTaskError: for a task that the model's class cannot do.
            ContextLengthError: for a prompt that is too long; nothing is ever cut.
            DoesNotFitError, BusyError: as the engine says.
            RequestError: for the rest.
        """
        if self.engine is not None:
            self.engine.require_place(ask.count)
        if isinstance(ask, ChatAsk):
            return self._chat(ask, emit)
        if isinstance(ask, TextAsk):
            return self._write(ask, emit)
        raise RequestError("this can only be asked to chat or to write")

    def count(self, ask: ChatAsk) -> int:
        """Return the tokens of a conversation as the model would read it."""
        return len(self._conversation(ask))

    def encode(self, text: str, special: bool) -> list[int]:
        """Return a text as token ids."""
        return self.tokenizer.encode(text, add_special=special)

    def decode(self, tokens: Sequence[int]) -> str:
        """Return token ids as text.

        Raises:
            RequestError: for an id that the vocabulary does not have.
        """
        most = getattr(self.model.spec, "vocabulary", 0)
        for token in tokens:
            if not 0 <= token < most:
                raise RequestError(f"token {token:,} is none of the {most:,} of this model")
        return self.tokenizer.decode(tokens, skip_special=False)

    def embed(self, texts: Sequence[str], options: Mapping[str, object]) -> Vectors:
        """Return vectors, computed together with those that others wait for."""
        self._require("embed")
        vectors = self.gatherer.embed(texts, options)
        return Vectors(vectors, sum(len(self.tokenizer.encode(text)) for text in texts))

    def rank(self, query: str, documents: Sequence[str]) -> Ranking:
        """Return documents by their relevance to a query."""
        self._require("rerank")
        work = partial(self.model.rerank, query, documents)
        found = self.alone.submit(work).result()
        asked = len(self.tokenizer.encode(query))
        read = sum(asked + len(self.tokenizer.encode(one)) for one in documents)
        return Ranking([Scored(one.index, one.score) for one in found], read)

    def close(self, *, drain: bool) -> None:
        """Take nothing more; finish what is there, or without `drain` end it."""
        self.alone.close()
        if self.engine is not None:
            self.engine.close(drain=drain)

    @property
    def tokenizer(self) -> Tokenizer:
        """The model's tokenizer.

        Raises:
            UnsupportedTaskError: for a model that reads no text.
        """
        if isinstance(self.model, TextModel | AnsweringModel):
            return self.model.tokenizer
        raise UnsupportedTaskError(
            f"this model reads no text; it can {', '.join(self.model.tasks)}"
        )

    def _require(self, task: str) -> None:
        if task not in self._tasks:
            getattr(self.model, task)  # which says what it can do instead, where its class cannot
            raise UnsupportedTaskError(
                f"this model cannot {task}; it can {', '.join(self.model.tasks)}"
            )

    def _chat(self, ask: ChatAsk, emit: Emit) -> Begun:
        self._require("chat")
        calling = Calling.of(self.tokenizer, ask)
        options: Mapping[str, object] = {**ask.options, **calling.options}
        if self.engine is None:
            options, left = self._thinking(options)
            begin = partial(self.model.chat, ask.messages, tools=calling.shown, **options)
            return self._one(ask, emit, begin, left, calling.reader())
        return self._batched(self._conversation(ask), ask, options, emit, calling)

    def _write(self, ask: TextAsk, emit: Emit) -> Begun:
        self._require("generate" if ask.suffix is None else "infill")
        if self.engine is None:
            if not isinstance(ask.prompt, str) or ask.suffix is not None or ask.echo:
                raise RequestError("this model continues texts alone: no ids, suffix or echo")
            return self._one(ask, emit, partial(self.model.generate, ask.prompt, **ask.options))
        ids, options = self._text(ask)
        if not ask.echo:
            return self._batched(ids, ask, options, emit)
        text = self.tokenizer.decode(ids, skip_special=False)
        echo = Echo(emit, ids, text, ask.count)
        begun = self._batched(ids, ask, options, echo.emit)
        try:
            stop = echo.score(self.engine, _top(options), self._seconds)
        except FathomError:
            begun.cancel()
            raise

        def cancel() -> None:
            begun.cancel()
            stop()

        return Begun(cancel, begun.warnings)

    def _text(self, ask: TextAsk) -> tuple[Sequence[int], Mapping[str, object]]:
        """Return the ids that are continued, with what ends them between two texts."""
        from fathom.generation.infill import gap

        if not isinstance(ask.prompt, str):
            return ask.prompt, ask.options
        self._require_short(ask.prompt, ask.suffix or "")
        if ask.suffix is None:
            return self.tokenizer.encode(ask.prompt), ask.options
        found = gap(self.tokenizer, ask.prompt, ask.suffix)
        return found.prompt, {"end": found.end, **ask.options}

    def _conversation(self, ask: ChatAsk) -> list[int]:
        self._require("chat")
        texts = [message.get("content") for message in ask.messages]
        self._require_short(*(text for text in texts if isinstance(text, str)))
        tools = Calling.of(self.tokenizer, ask).shown
        return encode_conversation(self.tokenizer, ask.messages, tools)

    def _require_short(self, *texts: str) -> None:
        """Refuse a text of which it is plain, without reading it, that it is too long."""
        most = CHARACTERS_PER_POSITION * getattr(self.model.spec, "context", 0)
        length = sum(map(len, texts))
        if length > most:
            raise ContextLengthError(
                f"a text of {length:,} characters is more than the {most:,} that"
                " the context can hold at the very most; shorten it"
            )

    def _batched(
        self,
        ids: Sequence[int],
        ask: Ask,
        options: Mapping[str, object],
        emit: Emit,
        calling: Calling | None = None,
    ) -> Begun:
        """Queue an ask for as many answers as it wants."""
        if self.engine is None or not isinstance(self.model, TextModel):
            raise RequestError("this model answers one at a time")
        options, left = self._thinking(options)
        request, notes = self.model.request(ids, options)
        handles = self.engine.submit_several(request, ask.count, deadline=self._seconds)
        expected = self._expected(handles[0])
        for index, handle in enumerate(handles):
            reader = None if calling is None else calling.reader()
            follower = Follower(index, handle, emit, lambda: expected, reader)
            handle.add_listener(partial(_heard, follower, handle))

        def cancel() -> None:
            for handle in handles:
                handle.cancel()

        return Begun(cancel, (*left, *notes))

    def _thinking(
        self, options: Mapping[str, object]
    ) -> tuple[Mapping[str, object], tuple[str, ...]]:
        """Leave out how much is to be thought where the model marks no thinking, and say so."""
        if "reasoning_budget" not in options or self.tokenizer.reasoning is not None:
            return options, ()
        rest = {name: value for name, value in options.items() if name != "reasoning_budget"}
        return rest, ("this model marks no thinking; how much of it there may be changes nothing",)

    def _expected(self, handle: Handle) -> Forecast:
        """Return what an answer should take: here, for the engine's thread has better to do."""
        prompt = len(handle.sequence.request.prompt)
        if self._expectation is None:
            return Forecast()
        return self._expectation.forecast(prompt, prompt + handle.sequence.max_tokens)

    def _one(
        self,
        ask: Ask,
        emit: Emit,
        begin: Callable[[], Generation],
        warnings: tuple[str, ...] = (),
        reader: CallReader | None = None,
    ) -> Begun:
        if ask.count != 1:
            raise RequestError("this model writes one answer at a time; ask with n=1, repeatedly")
        return Begun(self.alone.write(begin, emit, reader), warnings)


def _top(options: Mapping[str, object]) -> int | None:
    """Return how many likeliest tokens are to be listed."""
    asked = options.get("logprobs")
    return asked if isinstance(asked, int) else None


def _heard(follower: Follower, handle: Handle, piece: Piece | None) -> None:
    """Pass on what an engine's thread tells of one answer."""
    if piece is not None:
        follower.piece(piece)
    elif handle.error is not None or handle.finish_reason is not None:
        follower.end(handle.error)
