"""Beam search, and what publishers wish of an answer, against transformers' own generation."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from fathom.errors import ConfigError, RequestError, UnsupportedTaskError
from library import pairs
from library.pairs import TEXT, opened

# What a publisher may wish, as transformers spells it: each alone, then several together.
WISHES: dict[str, dict[str, object]] = {
    "plain": {},
    "two beams": {"num_beams": 2},
    "five beams": {"num_beams": 5},
    "long answers": {"num_beams": 4, "length_penalty": 3.0},
    "short answers": {"num_beams": 4, "length_penalty": -2.0},
    "early": {"num_beams": 4, "early_stopping": True},
    "never early": {"num_beams": 3, "early_stopping": "never"},
    "no repetition": {"no_repeat_ngram_size": 2},
    "no repetition of beams": {"num_beams": 3, "no_repeat_ngram_size": 2},
    "least length": {"min_length": 12},
    "least new tokens": {"min_new_tokens": 9, "num_beams": 2},
    "penalty": {"repetition_penalty": 1.7},
    "penalty of beams": {"repetition_penalty": 1.7, "num_beams": 3},
    "forced beginning": {"forced_bos_token_id": 7, "num_beams": 3, "length_penalty": 2.0},
    "forced end": {"forced_eos_token_id": 3, "num_beams": 3},
    "forced end of one": {"forced_eos_token_id": 3},
    "bad words": {"bad_words_ids": [[9], [11, 12], [3]], "num_beams": 2},
    "suppressed": {"suppress_tokens": [5, 6, 7], "begin_suppress_tokens": [3, 20]},
    "as bart-large-cnn": {
        "num_beams": 4,
        "length_penalty": 2.0,
        "min_length": 9,
        "no_repeat_ngram_size": 3,
        "early_stopping": True,
        "forced_bos_token_id": 4,
        "forced_eos_token_id": 3,
    },
}

Pair = Callable[..., tuple[Path, Any]]


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    """Return what makes one of `KINDS`, with wishes."""
    return partial(pairs.make, tmp_path)


@pytest.mark.parametrize("ends", [(3,), (3, *range(8, 17))], ids=["rarely", "often"])
@pytest.mark.parametrize("wishes", WISHES)
@pytest.mark.parametrize("kind", ["t5", "bart"])
def test_tokens_are_the_references(
    pair: Pair, kind: str, wishes: str, ends: tuple[int, ...]
) -> None:
    wish = {**WISHES[wishes], "max_length": 18, "eos_token_id": list(ends)}
    folder, reference = pair(kind, wish, seed=len(wishes))
    model = opened(folder, natively=len(ends) > 1)  # one end or many is all the same to either
    generation = model.generate(TEXT)
    text = "".join(generation)
    ids = torch.tensor([model.tokenizer.encode(TEXT)])
    theirs = reference.generate(ids)[0].tolist()
    before = 2 if "forced_bos_token_id" in wish else 1
    assert list(generation.tokens) == theirs[before:]
    assert generation.notes == ()
    assert text == generation.text
    short = len(theirs) < 18
    assert not short or generation.finish_reason == "stop"


def test_any_search_is_the_references(pair: Pair) -> None:
    """Texts, beams, lengths and endings drawn at random, on models that end sooner or later."""
    chance = random.Random(11)
    lengths = Counter[int]()
    for seed in range(4):
        often = {"eos_token_id": [3, 5, 6] if seed % 2 else 3}
        folder, reference = pair("bart" if seed < 2 else "t5", often, seed=seed, scale=0.25)
        model = opened(folder)
        for _ in range(12):
            ids = chance.choices(range(7, 64), k=chance.randint(2, 12))
            beams, most = chance.randint(2, 6), chance.randint(2, 20)
            penalty = chance.choice([-1.0, 0.0, 0.4, 1.0, 2.5])
            early = chance.choice([True, False, "never"])
            shared = {"length_penalty": penalty, "early_stopping": early}
            ours = model._generate(ids, {**shared, "beams": beams, "max_tokens": most})
            list(ours)
            theirs = reference.generate(
                torch.tensor([ids]), num_beams=beams, max_new_tokens=most, **shared
            )
            assert list(ours.tokens) == theirs[0, 1:].tolist(), (seed, beams, most, shared)
            lengths[len(ours.tokens)] += 1
    assert len(lengths) > 6  # some end at once, some later, some are cut


def test_options_of_a_request_come_before_the_publishers(pair: Pair) -> None:
    folder, reference = pair("bart", {"num_beams": 4, "length_penalty": 0.5})
    model = opened(folder)
    ids = torch.tensor([model.tokenizer.encode(TEXT)])
    for options, theirs in (
        ({"beams": 1}, {"num_beams": 1}),
        ({"beams": 3, "length_penalty": 2.0}, {"num_beams": 3, "length_penalty": 2.0}),
        ({"min_tokens": 8, "no_repeat_ngram_size": 3}, {"min_new_tokens": 8}),
    ):
        if "no_repeat_ngram_size" in options:
            theirs["no_repeat_ngram_size"] = 3
        generation = model.generate(TEXT, max_tokens=14, **options)
        list(generation)
        expected = reference.generate(ids, max_new_tokens=14, **theirs)[0, 1:].tolist()
        assert list(generation.tokens) == expected


def test_a_stop_text_cuts_what_was_searched(pair: Pair) -> None:
    model = opened(pair("t5", {"num_beams": 3})[0])
    whole = model.generate(TEXT, max_tokens=12)
    list(whole)
    word = whole.text.split()[2]
    cut = model.generate(TEXT, max_tokens=12, stop=word)
    assert "".join(cut) == whole.text[: whole.text.index(word)]
    assert cut.finish_reason == "stop"


def test_beams_are_paid_for_in_the_forecast(pair: Pair) -> None:
    model = opened(pair("bart", {})[0])
    one, four = (model.generate(TEXT, max_tokens=5, beams=beams) for beams in (1, 4))
    assert four.predicted.memory_terms["state"] == 4 * one.predicted.memory_terms["state"]


def test_chance_leaves_the_beams_and_says_so(pair: Pair) -> None:
    model = opened(pair("bart", {"num_beams": 4})[0])
    drawn = model.generate(TEXT, max_tokens=5, temperature=1.0, seed=3)
    list(drawn)
    assert drawn.tokens and "4 beams" in drawn.notes[0]
    for options in ({"temperature": 1.0}, {"logprobs": 1}, {"reasoning_budget": 3}):
        with pytest.raises(RequestError, match="give beams=1"):
            model.generate(TEXT, beams=2, **options)


def test_a_task_has_the_publishers_own_defaults(pair: Pair) -> None:
    special = {"summarization": {"num_beams": 3, "min_length": 9, "max_length": 14}}
    folder, reference = pair("bart", {}, task_specific_params=special)
    model = opened(folder)
    assert model.tasks[0] == "summarize"
    generation = model.summarize(TEXT)
    list(generation)
    ids = torch.tensor([model.tokenizer.encode(TEXT)])
    assert (
        list(generation.tokens)
        == reference.generate(ids, **special["summarization"])[0, 1:].tolist()
    )


def test_older_files_state_it_in_the_configuration(pair: Pair) -> None:
    folder, reference = pair("bart", {})
    (folder / "generation_config.json").unlink()
    config = json.loads((folder / "config.json").read_text())
    config |= {"num_beams": 3, "length_penalty": 2.0, "max_length": 12}
    (folder / "config.json").write_text(json.dumps(config))
    model = opened(folder)
    generation = model.generate(TEXT)
    list(generation)
    ids = torch.tensor([model.tokenizer.encode(TEXT)])
    theirs = reference.generate(ids, num_beams=3, length_penalty=2.0, max_length=12)
    assert list(generation.tokens) == theirs[0, 1:].tolist()


@pytest.mark.parametrize(
    ("wish", "named"),
    [
        ({"num_beams": 0}, "beams must be"),
        ({"length_penalty": "long"}, "length_penalty must be"),
        ({"early_stopping": "soon"}, "early_stopping must be"),
        ({"no_repeat_ngram_size": -1}, "no_repeat_ngram_size must be"),
        ({"bad_words_ids": [[]]}, "bad_words"),
        ({"bad_words_ids": 3}, "bad_words_ids must be a list"),
        ({"suppress_tokens": ["a"]}, "token id"),
        ({"max_length": "20"}, "max_length must be"),
    ],
)
def test_a_broken_wish_is_refused(pair: Pair, wish: dict[str, object], named: str) -> None:
    folder, _ = pair("bart", {})
    file = folder / "generation_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **wish}))
    with pytest.raises(ConfigError, match=named):
        opened(folder).generate(TEXT)


def test_a_pair_scores_two_texts_and_others_one(pair: Pair, bert: Callable[..., Path]) -> None:
    folder, reference = pair("t5", {})
    model = opened(folder)
    read, written = torch.tensor([[5, 9, 12, 3]]), torch.tensor([[0, 7, 8]])
    with torch.inference_mode():
        expected = reference(input_ids=read, decoder_input_ids=written).logits
    torch.testing.assert_close(model.logits(read, written), expected, rtol=1e-4, atol=1e-4)
    with pytest.raises(UnsupportedTaskError, match=r"call logits\(read, written\)"):
        model.logits(read)
    masked = opened(bert("BertForMaskedLM"))
    assert masked.logits(read).shape == (1, 4, 64)
    with pytest.raises(UnsupportedTaskError, match=r"call logits\(token_ids\)"):
        masked.logits(read, written)
