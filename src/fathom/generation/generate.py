"""The engine: one decoder, one sequence at a time, a state as large as the request and no larger.

request ─ check ─► state ─ prefill in chunks ─► scores ─► TokenSequence ─► text
                     ▲                            ▲             │
                     └── kept for the next turn   └── decode ◄──┘ token
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from threading import Lock

from fathom.errors import ContextLengthError
from fathom.generation.coder import TextCoder
from fathom.generation.forward import Course, Forward, NativeCourse
from fathom.generation.inserts import alike
from fathom.generation.measuring import Meter
from fathom.generation.reasoning import Piece
from fathom.generation.request import Request
from fathom.generation.results import Generation
from fathom.generation.sequence import TokenSequence
from fathom.generation.speculation import Speculation

ROUNDING = 64  # the capacity of a small state is a multiple of this, within the context
DOUBLING = 1024  # beyond it, a power of two: the next turns of a chat fit in the same state


def capacity(needed: int, context: int) -> int:
    """Return the positions of the state of a sequence that needs so many.

    A function of the request alone, because scaling laws of positions may depend on it and
    answers must not depend on what else was asked.
    """
    small = -(-needed // ROUNDING) * ROUNDING
    rounded = small if needed <= DOUBLING else 1 << (needed - 1).bit_length()
    return min(rounded, context)


def room(request: Request, context: int) -> int:
    """Return how many tokens the answer to a request may have.

    Raises:
        ContextLengthError: when prompt and answer do not fit in the context.
    """
    prompt, asked = len(request.prompt), request.max_tokens
    if prompt + (asked or 1) <= context:
        return asked or context - prompt
    excess = "leaves no room" if asked is None else f"and an answer of {asked:,} do not fit"
    raise ContextLengthError(
        f"a prompt of {prompt:,} tokens {excess} in the context of {context:,}; "
        "shorten the prompt, ask for fewer tokens or open the model with a larger context"
    )


class Engine:
    """Runs requests on a decoder.

    After an answer its state is kept. If the next prompt begins with everything in it, as the
    next turn of a chat does, only the rest is computed. Any other prompt is computed afresh, so
    that repeating a request repeats its answer bit for bit.

    Several generations may be on their way at once; each has a state of its own.
    """

    def __init__(
        self,
        forward: Forward,
        coder: TextCoder,
        *,
        context: int | None = None,
        load_seconds: float | None = None,
    ) -> None:
        """Take a loaded model.

        Args:
            context: tokens of prompt and answer together that there may be; what the model's
                publisher states unless given.
            load_seconds: what opening the model took, for `Generation.measured`.
        """
        self.forward = forward
        self.coder = coder
        self.context = forward.spec.context if context is None else context
        self.load_seconds = load_seconds
        self._kept: Course | None = None
        self._lock = Lock()

    def generate(self, request: Request) -> Generation:
        """Return the answer to a request, computed while it is iterated over.

        Raises:
            ContextLengthError: when prompt and answer do not fit in the context.
            RequestError: when the model does not know a token that the request names.
        """
        vocabulary = self.forward.spec.vocabulary
        request.check_vocabulary(vocabulary)
        sequence = TokenSequence(
            request,
            self.coder,
            max_tokens=room(request, self.context),
            vocabulary=vocabulary,
        )
        meter = Meter(self.forward.device, self.load_seconds)
        return Generation(sequence, self._pieces(sequence, meter), meter)

    def capacity(self, prompt_tokens: int, max_tokens: int) -> int:
        """Return the positions of the state that a request gets."""
        return capacity(prompt_tokens + max_tokens, self.context)

    def forget(self) -> None:
        """Free the state that is kept for a next turn."""
        with self._lock:
            self._kept = None

    def _pieces(self, sequence: TokenSequence, meter: Meter) -> Generator[Piece, None, None]:
        """Yield the text of an answer, then keep its state, also when it is closed early.

        An error or an interrupt may leave a state half written: it is let go.
        """
        meter.start()
        held = self._take(sequence)
        try:
            yield from self._written(sequence, held, meter)
        except GeneratorExit:
            self._keep(held)
            raise
        finally:
            meter.end()
        self._keep(held)

    def _written(
        self, sequence: TokenSequence, held: Course, meter: Meter
    ) -> Generator[Piece, None, None]:
        sequence.reused = len(held.ids)
        rest = sequence.request.prompt[sequence.reused :]
        held.inserts = sequence.request.inserts
        with meter.reading(len(rest)):
            piece = sequence.take(held.scores(rest))
        if piece:
            yield piece
        step = _writing(held, sequence)
        while sequence.finish_reason is None:
            with meter.writing(sequence.tokens):
                piece = step()
            if piece:
                yield piece

    def _take(self, sequence: TokenSequence) -> Course:
        """Return a state for a sequence: the kept one where it can be used, else a new one."""
        prompt = sequence.request.prompt
        capacity = self.capacity(len(prompt), sequence.max_tokens)
        with self._lock:
            held, self._kept = self._kept, None
        if held is not None and held.capacity == capacity:
            length = len(held.ids)
            begins = length < len(prompt) and held.ids == list(prompt[:length])
            if begins and alike(held.inserts, sequence.request.inserts, length):
                return held
            held.reset()
            return held
        del held  # before there is another
        return self.forward.begin(capacity)

    def _keep(self, held: Course) -> None:
        with self._lock:
            self._kept = held


def _writing(held: Course, sequence: TokenSequence) -> Callable[[], Piece]:
    """Return what writes on: some tokens in a pass where guesses can be taken back, else one."""
    if isinstance(held, NativeCourse) and held.guessable:
        return Speculation(held, sequence).step
    return lambda: sequence.take(held.scores(sequence.tokens[-1:]))
