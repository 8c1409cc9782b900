"""Runs a request on a model that reads one text and writes another."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass

from fathom.errors import ConfigError, ContextLengthError
from fathom.generation.adjusting import Adjuster
from fathom.generation.beams import BeamSearch
from fathom.generation.coder import TextCoder
from fathom.generation.measuring import Meter
from fathom.generation.pair_forward import PairCourse, PairForward
from fathom.generation.reasoning import Piece
from fathom.generation.request import Request
from fathom.generation.results import Generation
from fathom.generation.sequence import TokenSequence, array
from fathom.spec.encoder_decoder import EncoderDecoder


@dataclass(frozen=True)
class Opening:
    """What stands before a text that is written."""

    tokens: tuple[int, ...]

    @classmethod
    def published(cls, *configs: Mapping[str, object]) -> Opening:
        """Read it from configurations, the first one that says something winning.

        Raises:
            ConfigError: when none says which token to start from.
        """
        stated: dict[str, object] = {}
        for config in reversed(configs):
            stated |= {key: value for key, value in config.items() if value is not None}
        start, first = stated.get("decoder_start_token_id"), stated.get("forced_bos_token_id")
        if not isinstance(start, int):
            raise ConfigError(
                "config.json names no 'decoder_start_token_id' to begin an answer; take it from the"
                " original model"
            )
        return cls((start, first) if isinstance(first, int) else (start,))


class PairEngine:
    """Reads the prompt whole, then writes token by token, or follows several beams."""

    def __init__(
        self,
        forward: PairForward,
        spec: EncoderDecoder,
        coder: TextCoder,
        opening: Opening,
        *,
        context: int | None = None,
        load_seconds: float | None = None,
    ) -> None:
        """Take a loaded model; `context` bounds the text read and the text written, each."""
        self.forward = forward
        self.spec = spec
        self.coder = coder
        self.opening = opening
        self.context = spec.context if context is None else context
        self.load_seconds = load_seconds

    def generate(self, request: Request) -> Generation:
        """Return the answer to a request, computed while it is iterated over.

        Raises:
            ContextLengthError: when the prompt or the answer exceeds the context.
            RequestError: when the model does not know a token that the request names.
        """
        spec = self.spec
        request.check_vocabulary(max(spec.vocabulary, spec.encoder.embedding.vocabulary))
        room = self.context - len(self.opening.tokens)
        wanted = request.max_tokens or room
        if len(request.prompt) > self.context or wanted > room:
            raise ContextLengthError(
                f"a prompt of {len(request.prompt):,} tokens and an answer of {wanted:,} do not"
                f" fit: this model reads up to {self.context:,} and writes up to {room:,}"
            )
        sequence = TokenSequence(
            request,
            self.coder,
            max_tokens=wanted,
            vocabulary=spec.vocabulary,
            before=self.opening.tokens,
        )
        meter = Meter(self.forward.device, self.load_seconds)
        return Generation(sequence, self._pieces(sequence, meter), meter)

    def capacity(self, prompt_tokens: int, max_tokens: int) -> int:
        """Return the positions that the larger of both texts takes."""
        return min(max(prompt_tokens, max_tokens + len(self.opening.tokens)), self.context)

    def _pieces(self, sequence: TokenSequence, meter: Meter) -> Generator[Piece, None, None]:
        meter.start()
        request = sequence.request
        course = self.forward.begin(
            rows=request.beams.beams,
            capacity=sequence.max_tokens + len(self.opening.tokens),
            source=len(request.prompt),
        )
        written = self._searched if request.beams.beams > 1 else self._written
        try:
            yield from written(sequence, course, meter)
        finally:
            meter.end()

    def _written(
        self, sequence: TokenSequence, course: PairCourse, meter: Meter
    ) -> Generator[Piece, None, None]:
        """Write one sequence, token by token."""
        prompt = sequence.request.prompt
        with meter.reading(len(prompt)):
            course.read([prompt])
            piece = sequence.take(course.scores([self.opening.tokens])[0])
        if piece:
            yield piece
        while sequence.finish_reason is None:
            with meter.writing():
                piece = sequence.take(course.scores([sequence.tokens[-1:]])[0])
            if piece:
                yield piece

    def _searched(
        self, sequence: TokenSequence, course: PairCourse, meter: Meter
    ) -> Generator[Piece, None, None]:
        """Follow several sequences, and give the best as one piece when nothing better can come."""
        request, rows = sequence.request, sequence.request.beams.beams
        opening = self.opening.tokens
        adjuster = Adjuster(request.sampling, sequence.limits, len(opening), self.spec.vocabulary)
        search = BeamSearch(
            request.beams,
            adjuster,
            opening,
            end=sequence.end,
            max_tokens=sequence.max_tokens,
        )
        with meter.reading(len(request.prompt)):
            course.read([request.prompt])
            course.reorder(search.take(array(course.scores([opening] * rows))))
        while not search.done:
            with meter.writing():
                last = [[token] for token in search.last]
                course.reorder(search.take(array(course.scores(last))))
        yield sequence.replay(search.best)
