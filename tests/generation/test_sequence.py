"""A sequence by itself: scores that force a token stand in for a model."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fathom.generation.request import Request
from fathom.generation.sequence import TokenSequence
from fathom.inputs.tokenizer import Tokenizer

VOCABULARY = 260
END, OPEN, CLOSE = 257, 258, 259


def forced(token: int) -> torch.Tensor:
    scores = torch.zeros(VOCABULARY)
    scores[token] = 10.0
    return scores


def run(
    tokenizer: Tokenizer, tokens: list[int] | bytes, max_tokens: int = 1000, **options: object
) -> tuple[TokenSequence, list[str]]:
    request = Request(**{"prompt": [256], **options})  # type: ignore[arg-type]
    sequence = TokenSequence(request, tokenizer, max_tokens=max_tokens, vocabulary=VOCABULARY)
    pieces = []
    for token in tokens:
        if sequence.finish_reason is not None:
            break
        pieces.append(sequence.take(forced(token)))
    return sequence, pieces


def test_it_ends_at_an_end_token_and_does_not_print_it(tokenizer: Tokenizer) -> None:
    sequence, _ = run(tokenizer, [*b"Hi", END, *b"more"])
    assert (sequence.text, sequence.finish_reason) == ("Hi", "stop")
    assert sequence.tokens == [*b"Hi", END]
    assert sequence.usage.completion_tokens == 3


@pytest.mark.parametrize(
    ("end", "text", "reason"),
    [(None, "H", "stop"), (frozenset(), "Hi", "length"), (frozenset(b"i"), "H", "stop")],
)
def test_the_request_may_name_the_end(
    tokenizer: Tokenizer, end: frozenset[int] | None, text: str, reason: str
) -> None:
    sequence, _ = run(tokenizer, [ord("H"), END, ord("i")], max_tokens=3, end=end)
    assert (sequence.text, sequence.finish_reason) == (text, reason)


def test_it_ends_at_max_tokens_with_what_was_held_back(tokenizer: Tokenizer) -> None:
    sequence, pieces = run(tokenizer, b"one two", max_tokens=5, stop="two")
    assert (sequence.text, sequence.finish_reason) == ("one t", "length")
    assert pieces[-1] == "t"


def test_an_end_at_the_last_token_is_no_cut(tokenizer: Tokenizer) -> None:
    half = "é".encode()[:1]
    assert run(tokenizer, half, max_tokens=1)[0].finish_reason == "length"
    spelled = run(tokenizer, half, max_tokens=1, stop="\N{REPLACEMENT CHARACTER}")[0]
    assert (spelled.text, spelled.finish_reason) == ("", "stop")
    assert run(tokenizer, [*b"Hi", END], max_tokens=3)[0].finish_reason == "stop"
    assert run(tokenizer, b"one two", max_tokens=7, stop="two")[0].finish_reason == "stop"


def test_half_a_character_waits_for_the_rest(tokenizer: Tokenizer) -> None:
    sequence, pieces = run(tokenizer, "é€".encode(), max_tokens=4)
    assert pieces == ["", "é", "", "\N{REPLACEMENT CHARACTER}"]
    assert sequence.finish_reason == "length"
    assert sequence.text == "".join(pieces)


def test_a_stop_text_that_is_a_special_token_ends(tokenizer: Tokenizer) -> None:
    sequence, _ = run(tokenizer, [*b"Hi", CLOSE, *b"more"], stop="</think>")
    assert (sequence.text, sequence.finish_reason) == ("Hi", "stop")
    assert run(tokenizer, [*b"Hi", CLOSE, *b"more"])[0].text == "Himore"


@given(
    st.text("ab€🙂", max_size=20), st.lists(st.text("ab€🙂", min_size=1, max_size=3), max_size=3)
)
def test_bytes_give_the_text_cut_at_the_first_stop(
    tokenizer: Tokenizer, text: str, stops: list[str]
) -> None:
    sequence, pieces = run(tokenizer, [*text.encode(), END], stop=stops)
    ends = [text.find(stop) + len(stop) for stop in stops if stop in text]
    if not ends:
        assert sequence.text == text
    else:
        first = text[: min(ends)]
        longest = max(len(stop) for stop in stops if first.endswith(stop))
        assert sequence.text == first[:-longest]
    assert sequence.finish_reason == "stop"
    assert sequence.text == "".join(pieces)


@pytest.mark.parametrize(
    ("prompt", "answer", "reasoning"),
    [
        ([256], [OPEN, *b"hmm", CLOSE, *b"yes", END], 3),
        ([256, OPEN, 10], [*b"hmm", CLOSE, *b"yes", END], 3),  # the template opened it
        ([256, OPEN, 10, 10, CLOSE, 10], [*b"yes", END], 0),  # and closed it: thinking is off
        ([256], [*b"yes", END], 0),
        ([256], [OPEN, *b"hmm", END], 3),  # cut short
        ([256], [OPEN, *b"a", CLOSE, *b"b", OPEN, *b"cd", CLOSE, END], 3),
        ([256], [OPEN, CLOSE, END], 0),
        ([256], [OPEN, *"é".encode(), CLOSE, END], 2),
    ],
)
def test_reasoning_is_counted_between_its_markers(
    tokenizer: Tokenizer, prompt: list[int], answer: list[int], reasoning: int
) -> None:
    sequence, _ = run(tokenizer, answer, prompt=prompt)
    usage = sequence.usage
    assert usage.reasoning_tokens == reasoning
    assert usage.prompt_tokens == len(prompt)
    assert usage.completion_tokens == len(answer)


def test_markers_of_several_tokens(tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokenizer, "reasoning", ("<a>", "</a>"))
    sequence, _ = run(tokenizer, [*b"x<a>hm</a>yes", END])
    assert (sequence.text, sequence.reasoning) == ("xyes", "hm")
    # What begins the closing marker counts until the marker is complete.
    assert sequence.usage.reasoning_tokens == len("hm</a")


def test_log_probabilities_are_of_the_model_itself(tokenizer: Tokenizer) -> None:
    from fathom.generation.request import Sampling

    sampling = Sampling(temperature=0.5, top_k=1, logit_bias={65: 100})
    sequence, _ = run(tokenizer, b"xyz", logprobs=3, sampling=sampling)
    assert sequence.tokens == [65, 65, 65]  # forced by the bias, against the model
    assert sequence.logprobs is not None
    for entry, wanted in zip(sequence.logprobs, b"xyz", strict=True):
        expected = forced(wanted).double().log_softmax(dim=0)
        assert (entry.token, entry.text) == (65, "A")
        assert entry.logprob == pytest.approx(expected[65].item())
        assert len(entry.top) == 3
        assert (entry.top[0].token, entry.top[0].text) == (wanted, chr(wanted))
        assert entry.top[0].logprob == pytest.approx(expected[wanted].item())
        values = [other.logprob for other in entry.top]
        assert values == sorted(values, reverse=True)


def test_log_probabilities_of_the_chosen_alone(tokenizer: Tokenizer) -> None:
    sequence, _ = run(tokenizer, [*b"x", END], logprobs=0)
    assert sequence.logprobs is not None
    assert [(entry.text, entry.top) for entry in sequence.logprobs] == [("x", ()), ("</s>", ())]
    assert run(tokenizer, b"x")[0].logprobs is None
