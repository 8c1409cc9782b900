"""What may not be written, held to transformers' logits processors; publishers' options."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from transformers.generation import logits_process as theirs

from fathom.errors import ConfigError, RequestError
from fathom.generation.adjusting import Adjuster
from fathom.generation.constraints import Beams, Constraints, Limits
from fathom.generation.published import (
    APPLIED,
    ELSEWHERE,
    UNAPPLIED,
    UNAPPLIED_DRAWING,
    Published,
    legacy,
)
from fathom.generation.request import Request, Sampling
from fathom.generation.sampling import Sampler

VOCABULARY = 12
BEFORE = 3  # tokens before the answer
END = (2, 7)
MOST = 9

# A constraint, alone, beside the processor that means the same.
CASES: dict[str, tuple[Constraints, object]] = {
    "no_repeat_ngram_size": (
        Constraints(no_repeat_ngram_size=2),
        theirs.NoRepeatNGramLogitsProcessor(2),
    ),
    "no repeated token": (
        Constraints(no_repeat_ngram_size=1),
        theirs.NoRepeatNGramLogitsProcessor(1),
    ),
    "min_tokens": (
        Constraints(min_tokens=4),
        theirs.MinNewTokensLengthLogitsProcessor(BEFORE, 4, list(END)),
    ),
    "suppress_tokens": (
        Constraints(suppress_tokens=(1, 5)),
        theirs.SuppressTokensLogitsProcessor([1, 5]),
    ),
    "begin_suppress_tokens": (
        Constraints(begin_suppress_tokens=(0, 2)),
        theirs.SuppressTokensAtBeginLogitsProcessor([0, 2], BEFORE),
    ),
    "bad_words": (
        Constraints(bad_words=((4,), (7,), (3, 5), (1, 2, 3))),
        theirs.NoBadWordsLogitsProcessor([[4], [7], [3, 5], [1, 2, 3]], list(END)),
    ),
    "forced_end": (
        Constraints(forced_end=7),
        theirs.ForcedEOSTokenLogitsProcessor(BEFORE + MOST, [7]),
    ),
}
ROWS = st.integers(BEFORE, BEFORE + MOST - 1).flatmap(
    lambda length: st.lists(
        st.lists(st.integers(0, VOCABULARY - 1), min_size=length, max_size=length),
        min_size=1,
        max_size=3,
    )
)


def adjuster(sampling: Sampling, constraints: Constraints) -> Adjuster:
    return Adjuster(sampling, Limits(constraints, frozenset(END), MOST), BEFORE, VOCABULARY)


def scores_for(rows: list[list[int]]) -> Tensor:
    generator = torch.Generator().manual_seed(len(rows[0]))
    return torch.randn(len(rows), VOCABULARY, generator=generator)


def test_every_constraint_has_its_case() -> None:
    stated = {
        part.name
        for constraints, _ in CASES.values()
        for part in fields(constraints)
        if getattr(constraints, part.name) != part.default
    }
    assert stated == {part.name for part in fields(Constraints)}


@pytest.mark.parametrize("name", CASES)
@given(rows=ROWS)
def test_a_constraint_is_the_references(name: str, rows: list[list[int]]) -> None:
    constraints, processor = CASES[name]
    scores = scores_for(rows)
    found = torch.from_numpy(adjuster(Sampling(), constraints)(scores.numpy(), rows))
    expected = processor(torch.tensor(rows), scores.clone())  # type: ignore[operator]
    assert torch.equal(found, expected)


@given(rows=ROWS, penalty=st.floats(0.5, 2))
def test_rows_are_penalised_each_for_its_own(rows: list[list[int]], penalty: float) -> None:
    scores = scores_for(rows)
    adjusted = adjuster(Sampling(repetition_penalty=penalty), Constraints())(scores.numpy(), rows)
    found = torch.from_numpy(adjusted)
    expected = theirs.RepetitionPenaltyLogitsProcessor(penalty)(torch.tensor(rows), scores.clone())
    torch.testing.assert_close(found, expected)


def test_where_nothing_may_be_written_says_so() -> None:
    every = Constraints(suppress_tokens=tuple(range(VOCABULARY)))
    sampler = Sampler(Sampling(), (1,), VOCABULARY, limits=Limits(every))
    with pytest.raises(RequestError, match="no token may be written"):
        sampler.choose(np.zeros(VOCABULARY, dtype=np.float32))
    all_but_one = Constraints(suppress_tokens=tuple(range(1, VOCABULARY)))
    assert (
        Sampler(Sampling(), (1,), VOCABULARY, limits=Limits(all_but_one)).choose(
            np.zeros(VOCABULARY, dtype=np.float32)
        )
        == 0
    )


def test_every_option_of_the_reference_is_applied_or_told() -> None:
    config = transformers.GenerationConfig()
    named = {key for key in vars(config) if not key.startswith("_")}
    known = APPLIED | ELSEWHERE | UNAPPLIED.keys() | UNAPPLIED_DRAWING.keys()
    assert named <= known
    assert len(known) == sum(map(len, (APPLIED, ELSEWHERE, UNAPPLIED, UNAPPLIED_DRAWING)))


@pytest.mark.parametrize("key", [*UNAPPLIED, *UNAPPLIED_DRAWING])
def test_what_is_not_applied_is_told(key: str) -> None:
    neutral = {**UNAPPLIED, **UNAPPLIED_DRAWING}[key]
    drawn = {"do_sample": True}
    assert Published.read({**drawn, key: neutral}).notes == ()
    assert Published.read({**drawn, key: 0.37}).notes == (
        f"the publisher's {key} = 0.37 is not applied",
    )


@pytest.mark.parametrize(
    ("config", "opening", "told"),
    [
        ({"num_beams": 4}, 1, None),
        ({"num_beams": 4}, None, "num_beams = 4"),
        ({"num_beams": 4, "do_sample": True}, 1, "num_beams = 4"),
        ({"typical_p": 0.5}, None, None),  # says nothing without a draw
        ({"transformers_version": "9", "_from_model_config": True}, None, None),
        ({"chat_format": "x", "wings": 2}, None, "chat_format, wings"),
    ],
)
def test_notes_are_of_what_changes_an_answer(
    config: dict[str, object], opening: int | None, told: str | None
) -> None:
    notes = Published.read(config, opening=opening).notes
    assert notes == () if told is None else told in notes[0]


@pytest.mark.parametrize(
    ("config", "opening", "most", "least"),
    [
        ({}, None, 50, 0),
        ({"max_length": 20}, None, 16, 0),  # the prompt has four
        ({"max_length": 4}, None, 50, 0),  # no room for an answer, so not meant for it
        ({"max_new_tokens": 6, "max_length": 20}, None, 6, 0),
        ({"max_length": 80, "min_length": 10}, None, 50, 6),
        ({"min_new_tokens": 5}, None, 50, 5),
        ({"max_length": 20, "min_length": 10}, 1, 19, 9),
        ({"max_length": 20, "min_length": 10}, 2, 18, 8),
        ({"max_new_tokens": 20, "min_new_tokens": 10}, 2, 19, 9),
    ],
)
def test_lengths_count_what_stands_before(
    config: dict[str, object], opening: int | None, most: int, least: int
) -> None:
    request, _ = Published.read(config, opening=opening).request([5, 5, 5, 5], {}, 50)
    assert (request.max_tokens, request.constraints.min_tokens) == (most, least)
    own, _ = Published.read(config, opening=opening).request(
        [5], {"max_tokens": 3, "min_tokens": 2, "stop": "x"}, 50
    )
    assert (own.max_tokens, own.constraints.min_tokens, own.stop) == (3, 2, ("x",))


def test_older_configurations_are_read_for_options_alone() -> None:
    config = {"num_beams": 3, "d_model": 32, "typical_p": 0.3, "use_cache": True}
    assert legacy(config) == {"num_beams": 3, "typical_p": 0.3}


@pytest.mark.parametrize(
    "bad",
    [{"beams": 0}, {"length_penalty": float("nan")}, {"early_stopping": "soon"}, {"beams": True}],
)
def test_beams_have_their_ranges(bad: dict[str, object]) -> None:
    assert Beams(2, 0.5, "never").beams == 2
    with pytest.raises(RequestError, match=f"^{next(iter(bad))} must be"):
        Beams(**bad)  # type: ignore[arg-type]


def test_ids_that_may_not_be_written_are_of_the_model() -> None:
    Request([1], constraints=Constraints(suppress_tokens=(9,))).check_vocabulary(10)
    with pytest.raises(RequestError, match="names token 10"):
        Request([1], constraints=Constraints(suppress_tokens=(10,))).check_vocabulary(10)
    with pytest.raises(ConfigError, match="stop_strings must be"):
        Published.read({"stop_strings": 3})
