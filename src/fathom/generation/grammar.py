"""Answers of a given form: at every step, only tokens with which it can still be completed.

llguidance works out which those are (an Earley parser over derivatives of regular expressions);
what it may spend is bounded in steps of its own, which do not depend on the machine's speed.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from threading import Lock
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np

from fathom.errors import RequestError, UnsupportedTaskError
from fathom.generation.coder import TextCoder
from fathom.generation.forms import Form
from fathom.generation.greedy import require_finite

if TYPE_CHECKING:
    from llguidance import LLMatcher, LLParserLimits
    from numpy.typing import NDArray

KEPT = 32  # forms that are ready to be used again, of each tokenizer
LEXER_STATES = 20_000  # of 1 to 2 kB
GRAMMAR_SIZE = 100_000  # symbols
TOLD = 200  # characters of a complaint


class Guide:
    """Where one answer is in its form.

    Attributes:
        finished: whether the form is complete, and nothing can follow.
    """

    def __init__(self, matcher: LLMatcher, vocabulary: int) -> None:
        self._matcher = matcher
        self._vocabulary = vocabulary
        self.finished = False

    def narrowed(self, scores: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return scores (vocabulary,) that are -infinity for what the form does not allow next.

        Raises:
            NumericError: when the best score is not a finite number.
            RequestError: when nothing may follow, or working that out costs too much.
        """
        require_finite(float(scores.max()))
        return np.where(self._allowed(), scores, np.float32(-np.inf))

    def take(self, token: int) -> None:
        """Go on by a token of the answer.

        Raises:
            RequestError: for one that the form does not allow.
        """
        if not self._matcher.consume_token(token):
            raise RequestError(f"the form of the answer was left: {_complaint(self._matcher)}")
        self.finished = self._matcher.is_stopped() and self._matcher.is_accepting()

    def _allowed(self) -> NDArray[np.bool_]:
        """(vocabulary,), True at tokens that may follow."""
        packed = np.frombuffer(self._matcher.compute_bitmask(), dtype=np.uint8)
        if self._matcher.is_error():
            raise RequestError(
                f"the form of the answer costs too much; simplify it ({_complaint(self._matcher)})"
            )
        bits = np.unpackbits(packed, count=self._vocabulary, bitorder="little")
        if not bits.any():
            raise RequestError(
                "the vocabulary has no token that goes on in the form of the answer; ask for a form"
                " in other characters"
            )
        return bits.view(np.bool_)


class Grammars:
    """Forms over one vocabulary, those used lately ready to be used again."""

    def __init__(self, coder: TextCoder, vocabulary: int, end: frozenset[int]) -> None:
        """Take a tokenizer, the scores that its model gives, and the ids that end an answer.

        Raises:
            UnsupportedTaskError: without llguidance, or for a tokenizer that it cannot read.
        """
        try:
            from llguidance import LLTokenizer
        except ImportError:
            raise UnsupportedTaskError(
                "answers of a form need llguidance: pip install 'fathom-models[serve]'"
            ) from None
        self.vocabulary = vocabulary
        backend = coder.backend
        tokens = max(vocabulary, backend.get_vocab_size(with_added_tokens=True))
        try:
            self._tokens = LLTokenizer(backend.to_str(), n_vocab=tokens, eos_token=sorted(end))
        except ValueError as error:
            raise UnsupportedTaskError(
                f"no answer of a form can be had with this tokenizer: {str(error)[:TOLD]};"
                " leave the form out"
            ) from error
        self._ready: OrderedDict[Form, LLMatcher] = OrderedDict()
        self._lock = Lock()

    def guide(self, form: Form) -> Guide:
        """Return the beginning of a form.

        Raises:
            RequestError: for a form that cannot be read, or is too large.
        """
        with self._lock:
            matcher = self._ready.get(form)
            if matcher is None:
                matcher = self._read(form)
                self._ready[form] = matcher
            self._ready.move_to_end(form)
            if len(self._ready) > KEPT:
                self._ready.popitem(last=False)
            return Guide(matcher.deep_copy(), self.vocabulary)

    def _read(self, form: Form) -> LLMatcher:
        from llguidance import LLMatcher
        from llguidance.gbnf_to_lark import GbnfToLarkError

        try:
            text = _grammar(form)
        except (ValueError, GbnfToLarkError, RecursionError) as error:
            raise RequestError(f"{form.kind} cannot be read: {_line(error)}; correct it") from error
        matcher = LLMatcher(self._tokens, text, log_level=0, limits=_limits())
        if matcher.is_error():
            raise RequestError(f"{form.kind} cannot be read: {_complaint(matcher)}; correct it")
        return matcher


_grammars: WeakKeyDictionary[TextCoder, dict[tuple[int, frozenset[int]], Grammars]] = (
    WeakKeyDictionary()
)
_lock = Lock()


def guide(form: Form, coder: TextCoder, vocabulary: int, end: frozenset[int]) -> Guide:
    """Return the beginning of a form, for a model's tokenizer and as many scores as it gives.

    `end` are the ids that end an answer. The first form of a tokenizer takes a second or so.

    Raises:
        RequestError: for a form that cannot be read, or is too large.
        UnsupportedTaskError: without llguidance, or for a tokenizer that it cannot read.
    """
    end = end or coder.special.eos or frozenset({0})
    with _lock:
        own = _grammars.setdefault(coder, {})
        if (vocabulary, end) not in own:
            own[vocabulary, end] = Grammars(coder, vocabulary, end)
        grammars = own[vocabulary, end]
    return grammars.guide(form)


def _grammar(form: Form) -> str:
    """Return a form as llguidance reads it."""
    from llguidance import LLMatcher
    from llguidance.gbnf_to_lark import any_to_lark

    match form.kind:
        case "schema":
            # Spaces as Python and most texts write them, and no others: none can fill an answer.
            return LLMatcher.grammar_from_json_schema(
                form.text,
                overrides={
                    "whitespace_flexible": False,
                    "item_separator": ", ",
                    "key_separator": ": ",
                    "coerce_one_of": True,
                },
            )
        case "regex":
            return LLMatcher.grammar_from_regex(form.text)
        case "choice":
            texts = (json.dumps(text, ensure_ascii=False) for text in form.choices)
            return LLMatcher.grammar_from_lark("start: " + " | ".join(texts))
        case "grammar":
            return LLMatcher.grammar_from_lark(any_to_lark(form.text))


def _limits() -> LLParserLimits:
    from llguidance import LLParserLimits

    return LLParserLimits(
        max_lexer_states=LEXER_STATES, max_grammar_size=GRAMMAR_SIZE, verbose_errors=False
    )


def _complaint(matcher: LLMatcher) -> str:
    return _line(matcher.get_error())


def _line(told: object) -> str:
    """Return the beginning of a complaint, on one line."""
    return " ".join(str(told).split())[:TOLD]
