"""Reasoning parted from the answer, and ended when its budget is spent."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fathom.errors import RequestError
from fathom.generation.reasoning import Piece, Splitter
from fathom.generation.request import Request, Sampling
from fathom.generation.sequence import TokenSequence
from fathom.inputs.tokenizer import Tokenizer
from generation.conftest import Tiny

VOCABULARY = 260
END, OPEN, CLOSE = 257, 258, 259


def scores(token: int) -> torch.Tensor:
    wanted = torch.zeros(VOCABULARY)
    wanted[token] = 10.0
    return wanted


def written(
    tokenizer: Tokenizer, tokens: list[int], **options: object
) -> tuple[TokenSequence, list[Piece]]:
    """Run a sequence whose model wants these tokens one after the other, then the end."""
    request = Request(**{"prompt": [256], **options})  # type: ignore[arg-type]
    most = 1000 if request.max_tokens is None else request.max_tokens
    sequence = TokenSequence(request, tokenizer, max_tokens=most, vocabulary=VOCABULARY)
    pieces, wanted = [], iter(tokens)
    while sequence.finish_reason is None:
        pieces.append(sequence.take(scores(next(wanted, END))))
    return sequence, pieces


@pytest.mark.parametrize(
    ("prompt", "tokens", "answer", "reasoning"),
    [
        ([256], [OPEN, *b"\nhm, so\n", CLOSE, *b"\n\nyes"], "yes", "hm, so"),
        ([256, OPEN, 10], [*b"\nhm", CLOSE, *b" yes "], "yes ", "hm"),
        ([256], [*b"  yes"], "  yes", ""),
        ([256], [OPEN, *b"hm"], "", "hm"),  # cut short
        ([256], [OPEN, CLOSE, *b"yes"], "yes", ""),
        ([256], [*b"a ", OPEN, *b"b", CLOSE, *b"c", OPEN, *b"d", CLOSE, *b"e"], "a ce", "bd"),
        ([256], [CLOSE, *b"yes"], "yes", ""),  # nothing to close
        ([256], [OPEN, *"é…".encode(), CLOSE, *"ü".encode()], "ü", "é…"),
        ([256], [OPEN, *b"a <b", CLOSE, *b"c<"], "c<", "a <b"),  # no marker after all
    ],
)
def test_reasoning_and_answer_are_parted(
    tokenizer: Tokenizer, prompt: list[int], tokens: list[int], answer: str, reasoning: str
) -> None:
    sequence, pieces = written(tokenizer, tokens, prompt=prompt)
    assert (sequence.text, sequence.reasoning) == (answer, reasoning)
    assert "".join(pieces) == answer
    assert "".join(piece.reasoning for piece in pieces).strip() == reasoning


def test_reasoning_comes_as_it_is_written(tokenizer: Tokenizer) -> None:
    _, pieces = written(tokenizer, [OPEN, *b"ab", CLOSE, *b"c"])
    assert [(str(piece), piece.reasoning) for piece in pieces] == [
        ("", ""),
        ("", "a"),
        ("", "b"),
        ("", ""),
        ("c", ""),
        ("", ""),
    ]
    assert [bool(piece) for piece in pieces] == [False, True, True, False, True, False]


MARKERS = ("<a>", "</a>")


@given(
    st.lists(st.sampled_from([*MARKERS, "<", "a>", "/", "x", "é", "🙂"]), max_size=12),
    st.integers(0, 3),
)
def test_markers_in_plain_text_part_it_however_it_is_cut(
    tokenizer: Tokenizer, parts: list[str], mode: int
) -> None:
    text = "".join(parts)
    coder = Tokenizer(tokenizer.backend, tokenizer._source)
    coder.__dict__["reasoning"] = MARKERS
    splitter = Splitter(coder, [256])
    pieces = [splitter.push(token) for token in text.encode()] + [splitter.flush()]
    sides: tuple[list[str], list[str]] = ([], [])
    rest, inside = text, False
    while True:
        before, marker, rest = rest.partition(MARKERS[inside])
        sides[inside].append(before)
        if not marker:
            break
        inside = not inside
    assert "".join(pieces) == "".join(sides[0])
    assert "".join(piece.reasoning for piece in pieces) == "".join(sides[1])


def test_a_stop_text_ends_the_answer_and_no_reasoning(tokenizer: Tokenizer) -> None:
    tokens = [OPEN, *b"a.b", CLOSE, *b"c.d"]
    sequence, _ = written(tokenizer, tokens, stop=".")
    assert (sequence.text, sequence.reasoning, sequence.finish_reason) == ("c", "a.b", "stop")


@pytest.mark.parametrize("budget", [0, 1, 3, 5, 6, 100])
@pytest.mark.parametrize("opened", [False, True])
def test_a_spent_budget_closes_the_reasoning(
    tokenizer: Tokenizer, budget: int, opened: bool
) -> None:
    """The model thinks for six tokens; what it wants is ignored once, then it goes on."""
    prompt = [256, OPEN] if opened else [256]
    tokens = [*b"think!", CLOSE, *b"yes"] if opened else [OPEN, *b"think!", CLOSE, *b"yes"]
    sequence, _ = written(tokenizer, tokens, prompt=prompt, reasoning_budget=budget)
    spent = min(budget, 6)
    assert sequence.usage.reasoning_tokens == spent
    assert sequence.reasoning == "think!"[:spent]
    assert sequence.tokens.count(CLOSE) == (2 if budget < 6 else 1)
    # What the model still wanted to think is the answer now, less the token that was replaced.
    rest = b"think!"[spent + 1 :].decode() + "yes"
    assert sequence.text == rest


def test_reasoning_that_begins_again_is_ended_again(tokenizer: Tokenizer) -> None:
    tokens = [OPEN, *b"abc", CLOSE, *b"x", OPEN, *b"def", CLOSE, *b"y"]
    sequence, _ = written(tokenizer, tokens, reasoning_budget=3)
    assert (sequence.reasoning, sequence.usage.reasoning_tokens) == ("abc", 3)
    assert sequence.text.startswith("x")


def test_a_closing_marker_of_several_tokens_is_written_whole(
    tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokenizer, "reasoning", MARKERS)
    sequence, _ = written(tokenizer, [*b"<a>hmmmmmmmm"], reasoning_budget=2)
    assert bytes(sequence.tokens[:9]) == b"<a>hm</a>"
    assert (sequence.text, sequence.reasoning) == ("mmm", "hm")


def test_a_marker_that_never_comes_out_is_not_written_for_ever(
    tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokenizer, "reasoning", MARKERS)
    monkeypatch.setattr(tokenizer, "encode", lambda text, **_: list(b"?"))
    sequence, _ = written(tokenizer, [*b"<a>hmm"], reasoning_budget=1)
    assert bytes(sequence.tokens[:-1]) == b"<a>h?m"


def test_penalties_know_of_a_forced_token(tokenizer: Tokenizer) -> None:
    sampling = Sampling(presence_penalty=2.0)
    sequence, _ = written(tokenizer, [OPEN, *b"ab"], reasoning_budget=1, sampling=sampling)
    assert sequence.sampler.penalised(np.zeros(VOCABULARY, dtype=np.float32))[CLOSE] == -2.0


def test_a_budget_needs_markers(tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    assert written(tokenizer, [*b"yes"], reasoning_budget=5)[0].text == "yes"
    monkeypatch.setattr(tokenizer, "reasoning", None)
    assert written(tokenizer, [*b"yes"])[0].text == "yes"
    with pytest.raises(RequestError, match="marks no reasoning"):
        written(tokenizer, [*b"yes"], reasoning_budget=5)


@pytest.mark.parametrize(("budget", "fine"), [(0, True), (7, True), (-1, False), (1.5, False)])
def test_budgets_are_whole_numbers(budget: object, fine: bool) -> None:
    if fine:
        assert Request([1], reasoning_budget=budget).reasoning_budget == budget  # type: ignore[arg-type]
    else:
        with pytest.raises(RequestError, match="reasoning_budget must be a whole number"):
            Request([1], reasoning_budget=budget)  # type: ignore[arg-type]


def test_the_model_goes_on_from_what_was_written_for_it(tiny: Tiny) -> None:
    """Greedy, so each token of its own is the reference's best one after all before it."""
    prompt = [256, *b"Why?", OPEN]
    request = Request(prompt, max_tokens=12, reasoning_budget=3, end=frozenset())
    generation = tiny.engine().generate(request)
    pieces = list(generation)
    tokens = list(generation.tokens)
    assert tokens[3] == CLOSE
    assert generation.usage.reasoning_tokens == 3
    assert generation.text == "".join(pieces)
    for place, token in enumerate(tokens):
        if place != 3:
            with torch.inference_mode():
                row = torch.tensor([[*prompt, *tokens[:place]]])
                assert tiny.theirs(input_ids=row).logits[0, -1].argmax().item() == token


@pytest.mark.parametrize(("spelled", "text"), [((), "ab"), ((256,), "a<s>b")])
def test_special_tokens_show_where_they_are_spelled(
    tokenizer: Tokenizer, spelled: tuple[int, ...], text: str
) -> None:
    sequence, _ = written(tokenizer, [*b"a", 256, *b"b"], spelled=spelled)
    assert sequence.text == text
    thinking, _ = written(tokenizer, [OPEN, 256, CLOSE, *b"a", 256], spelled=spelled)
    assert thinking.text == text.removesuffix("b")
