"""Models that read one text and write another, against transformers' own generation."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from fathom import library as face
from fathom.errors import ConfigError, ContextLengthError, RequestError, UnsupportedTaskError
from library import pairs
from library.pairs import KINDS, TEXT, opened

WISHES: dict[str, dict[str, object]] = {
    "t5": {},
    "bart": {"forced_bos_token_id": 7},
    "marian": {"bad_words_ids": [[0], [9]]},
}


@pytest.fixture
def pair(tmp_path: Path) -> Callable[..., tuple[Path, Any]]:
    """Return what makes one of `KINDS` with its wishes."""
    return lambda kind, **config: pairs.make(tmp_path, kind, WISHES[kind], **config)


@pytest.mark.parametrize("natively", [True, False], ids=["native", "modules"])
@pytest.mark.parametrize("kind", KINDS)
def test_greedy_tokens_are_the_references(pair, kind: str, natively: bool) -> None:
    folder, reference = pair(kind)
    ours = opened(folder, natively=natively)
    assert ours.kernels.startswith("native program" if natively else "PyTorch modules")
    generation = ours.generate(TEXT, max_tokens=20)
    text = "".join(generation)
    ids = torch.tensor([ours.tokenizer.encode(TEXT)])
    # A forced first token is counted by the reference and part of our opening.
    forced = "forced_bos_token_id" in WISHES[kind]
    theirs = reference.generate(ids, max_new_tokens=20 + forced, do_sample=False, num_beams=1)
    assert list(generation.tokens) == theirs[0, 1 + forced :].tolist()
    whole = ours.tokenizer.decode(generation.tokens)
    assert text.replace(" ", "") == whole.replace(" ", "")
    assert generation.usage.prompt_tokens == ids.shape[1]
    assert generation.usage.completion_tokens == len(generation.tokens)


def test_what_is_banned_is_never_written(pair) -> None:
    folder, _ = pair("marian")
    generation = opened(folder).generate(TEXT, max_tokens=30, temperature=5.0, seed=1)
    list(generation)
    assert not {0, 9} & set(generation.tokens)


def test_prompt_and_answer_have_the_context_each(pair) -> None:
    folder, _ = pair("bart")
    model = opened(folder)
    list(model.generate("cat " * 62, max_tokens=62))
    with pytest.raises(ContextLengthError, match="65 tokens"):
        model.generate("cat " * 63, max_tokens=5)
    with pytest.raises(ContextLengthError, match="writes up to 62"):
        model.generate("cat", max_tokens=63)


def test_tasks_put_the_publishers_words_before_a_text(pair) -> None:
    words = {
        "summarization": {"prefix": "the sky "},
        "translation_en_to_de": {"prefix": "anna lives "},
    }
    folder, _ = pair("t5", task_specific_params=words)
    model = opened(folder)

    def written(generation: face.Generation) -> list[int]:
        list(generation)
        return list(generation.tokens)

    options = {"max_tokens": 12}
    plain = written(model.generate("the sky " + TEXT, **options))
    assert written(model.summarize(TEXT, **options)) == plain
    plain = written(model.generate("anna lives " + TEXT, **options))
    assert written(model.translate(TEXT, languages=("en", "de"), **options)) == plain
    for languages in (None, ("de", "en")):
        with pytest.raises(RequestError, match="en to de"):
            model.translate(TEXT, languages=languages)


def test_one_pair_of_languages_needs_no_name(pair) -> None:
    model = opened(pair("marian")[0])
    ours, plain = model.translate(TEXT, max_tokens=9), model.generate(TEXT, max_tokens=9)
    assert list(ours) == list(plain)
    assert ours.tokens == plain.tokens
    with pytest.raises(RequestError, match="one pair alone"):
        model.translate(TEXT, languages=("en", "de"))


def test_others_do_not_translate_and_pairs_do_not_embed(pair, bert) -> None:
    with pytest.raises(UnsupportedTaskError, match="take a seq2seq model"):
        opened(bert("BertModel")).translate(TEXT)
    with pytest.raises(UnsupportedTaskError, match="cannot embed texts: its class is seq2seq"):
        opened(pair("t5")[0]).embed([TEXT], pooling="mean")


def test_where_to_begin_must_be_said(pair) -> None:
    folder, _ = pair("t5")
    for file in ("config.json", "generation_config.json"):
        text = (folder / file).read_text().replace("decoder_start_token_id", "nothing")
        (folder / file).write_text(text)
    with pytest.raises(ConfigError, match="decoder_start_token_id"):
        opened(folder).generate(TEXT)
