"""One sequence on its way: scores in, a token chosen, the text that is certain out.

It knows nothing of the model, of state or of other sequences. An engine that runs many at once
hands each its own row of scores.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from fathom.generation.coder import TextCoder
from fathom.generation.constraints import Constraints, Limits
from fathom.generation.greedy import likeliest, require_finite
from fathom.generation.reasoning import Budget, Piece, Splitter
from fathom.generation.request import Request, Sampling
from fathom.generation.results import TokenLogprob, Usage
from fathom.generation.sampling import Sampler, likeliest_of, log_probabilities
from fathom.generation.stopping import Stopper

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fathom.generation.forward import Scores
    from fathom.generation.grammar import Guide

    Floats = NDArray[np.float32]

FinishReason: TypeAlias = Literal["stop", "length"]


class TokenSequence:
    """What a request has become so far.

    Attributes:
        tokens: the ids chosen, in order; the one that ended the answer is the last of them.
        end: ids that end the answer.
        limits: what may not be written in it.
        finish_reason: "stop" after an end token or a stop text, "length" at `max_tokens`.
        reused: prompt tokens that an engine knew from before, set by it.
        logprobs: one entry per token, None unless the request asks for them.
    """

    def __init__(
        self,
        request: Request,
        coder: TextCoder,
        *,
        max_tokens: int,
        vocabulary: int,
        before: Sequence[int] | None = None,
    ) -> None:
        """Begin an answer after the prompt, or after the tokens `before` that open it."""
        self.request = request
        self.max_tokens = max_tokens
        self.tokens: list[int] = []
        self.reused = 0
        self.finish_reason: FinishReason | None = None
        self.logprobs: list[TokenLogprob] | None = None if request.logprobs is None else []
        self._coder = coder
        self.end = _end(request, coder)
        self.limits = Limits(request.constraints, self.end, max_tokens)
        self._before = request.prompt if before is None else before
        self._vocabulary = vocabulary
        self._guide = self._guided()
        self._plain = _plain(request)
        self._stopper = Stopper(request.stop)
        self._splitter = Splitter(coder, request.prompt, request.spelled)
        self._budget = Budget(coder, request.reasoning_budget)
        self._pieces: list[Piece] = []

    @cached_property
    def sampler(self) -> Sampler:
        """What chooses tokens, made when the first one is chosen other than as the likeliest."""
        sampling = self.request.sampling
        return Sampler(sampling, self._before, self._vocabulary, self.limits)

    @property
    def text(self) -> str:
        """The answer so far, without what is held back as a possible stop text."""
        return "".join(self._pieces)

    @property
    def reasoning(self) -> str:
        """What was thought so far, without the white space around it."""
        return "".join(piece.reasoning for piece in self._pieces).strip()

    @property
    def stop(self) -> str | None:
        """The stop text that ended the answer; None where none did."""
        if self._stopper.stopped:
            return self._stopper.found
        last = self.tokens[-1] if self.tokens else None
        ended = self.finish_reason == "stop"
        spelled = (text for text in self.request.stop if self._coder.token_to_id(text) == last)
        return next(spelled, None) if ended and last is not None else None

    @property
    def usage(self) -> Usage:
        """Tokens so far."""
        prompt, completion = len(self.request.prompt), len(self.tokens)
        return Usage(prompt, completion, self._splitter.count, self.reused)

    def _guided(self) -> Guide | None:
        form = self.request.form
        if form is None:
            return None
        from fathom.generation.grammar import guide

        return guide(form, self._coder, self._vocabulary, self.end)

    def take(self, scores: Scores) -> Piece:
        """Choose the next token from scores (vocabulary,) and return the text that is certain.

        Raises:
            NumericError: when the scores are not finite.
        """
        row = array(scores)
        token = self._next(row)
        self.tokens.append(token)
        if self.logprobs is not None:
            self.logprobs.append(self._logprob(row, token))
        return self._accepted(token)

    def replay(self, tokens: Sequence[int]) -> Piece:
        """Take tokens that were chosen elsewhere, up to the end of the answer, as one piece."""
        pieces = []
        for token in tokens:
            if self.finish_reason is not None:
                break
            self.tokens.append(token)
            pieces.append(self._accepted(token))
        return Piece("".join(pieces), "".join(piece.reasoning for piece in pieces))

    def _accepted(self, token: int) -> Piece:
        piece = self._advance(token)
        self._pieces.append(piece)
        return piece

    def _next(self, scores: Floats) -> int:
        """Return the token that the model chooses, or has to take to end its reasoning."""
        forced = self._forced(scores)
        if forced is not None:
            if not self._plain:
                self.sampler.remember(forced)
            return forced
        if self._guide is None or self._splitter.inside:
            return self._chosen(scores)
        token = self._chosen(self._guide.narrowed(scores))
        self._guide.take(token)
        return token

    def _forced(self, scores: Scores) -> int | None:
        """Return the token that must come next: dictated, or of what ends the reasoning."""
        dictated = self.request.dictated
        if len(self.tokens) < len(dictated):
            require_finite(float(scores.max()))
            return dictated[len(self.tokens)]
        return self._budget.forced(self._splitter)

    def _chosen(self, scores: Floats) -> int:
        return likeliest(scores) if self._plain else self.sampler.choose(scores)

    def _advance(self, token: int) -> Piece:
        if token in self.end:
            forced = token == self.request.constraints.forced_end
            cut = forced and len(self.tokens) == self.max_tokens
            self.finish_reason = "length" if cut else "stop"
            return self._last_text()
        certain = self._splitter.push(token)
        piece = Piece(self._stopper.push(certain), certain.reasoning)
        whole = self._guide is not None and self._guide.finished
        if self._stopper.stopped:
            self.finish_reason = "stop"
        elif whole or len(self.tokens) == self.max_tokens:
            self.finish_reason = "stop" if whole else "length"
            last = self._last_text()
            piece = Piece(piece + last, piece.reasoning + last.reasoning)
        return piece

    def _last_text(self) -> Piece:
        """Return what was held back: half a character, what began a marker or a stop text."""
        rest = self._splitter.flush()
        answer = self._stopper.push(rest)
        if self._stopper.stopped:
            self.finish_reason = "stop"
        return Piece(answer + self._stopper.flush(), rest.reasoning)

    def _logprob(self, scores: Floats, token: int) -> TokenLogprob:
        logprobs = log_probabilities(scores)
        best = likeliest_of(logprobs, self.request.logprobs or 0).tolist()
        top = tuple(TokenLogprob(id, self._spelled(id), float(logprobs[id])) for id in best)
        return TokenLogprob(token, self._spelled(token), float(logprobs[token]), top)

    def _spelled(self, token: int) -> str:
        return self._coder.decode([token], skip_special=False)


def _plain(request: Request) -> bool:
    """Return whether the likeliest token is taken as it is: nothing adjusts the scores."""
    sampling = request.sampling
    adjusts = replace(sampling, temperature=0.0, top_k=0, top_p=1.0, min_p=0.0, seed=None)
    unadjusted = adjusts == Sampling() and request.constraints == Constraints()
    return sampling.greedy and unadjusted


def array(scores: Scores) -> Floats:
    """Return scores as float32 on the processor, where tokens are chosen."""
    return scores if isinstance(scores, np.ndarray) else scores.float().cpu().numpy()


def _end(request: Request, coder: TextCoder) -> frozenset[int]:
    """Return the ids that end the answer.

    Special tokens never show in the text, so a stop text that spells one is such an id.
    """
    own = coder.special.eos if request.end is None else request.end
    spelled = (coder.token_to_id(text) for text in request.stop)
    return own | {id for id in spelled if id is not None and id in coder.special_ids}
