"""Mutations of sound files: whatever the bytes, the answer is contents or an error of ours.

Longer runs, guided by coverage: ``python tests/hostile/fuzz_parsers.py gguf --seconds 600``. What
they found to reach other code is replayed and mutated here.
"""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fathom.inputs.charsmap import check_charsmap
from fathom.inputs.sentencepiece import parse_model
from hostile.parsers import CORPUS, PARSERS, SOUND, found, survives
from hostile.tables.tokenizers import pieces, trie

SLICES = st.tuples(st.integers(0, 4096), st.integers(0, 16), st.binary(max_size=16))


@pytest.mark.parametrize("parser", PARSERS)
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_mutation_of_a_sound_file_is_answered(parser: str, data: st.DataObject) -> None:
    content = data.draw(st.sampled_from([*SOUND[parser], *found(parser)]))
    for at, length, replacement in data.draw(st.lists(SLICES, max_size=4)):
        place = at % (len(content) + 1)
        content = content[:place] + replacement + content[place + length :]
    survives(parser, content)


@pytest.mark.parametrize("parser", PARSERS)
def test_a_file_cut_at_any_byte_is_answered(parser: str) -> None:
    for seed in SOUND[parser]:
        for length in range(0, len(seed), max(1, len(seed) // 40)):
            survives(parser, seed[:length])


@pytest.mark.parametrize("parser", PARSERS)
def test_what_a_guided_run_found_is_answered(parser: str) -> None:
    inputs = found(parser)
    assert inputs, "python tests/hostile/fuzz_parsers.py makes the corpus"
    for content in inputs:
        survives(parser, content)


def test_the_corpus_is_of_parsers_that_exist() -> None:
    assert {file.stem for file in CORPUS.iterdir()} == set(PARSERS) == set(SOUND)


@pytest.mark.parametrize("parser", PARSERS)
def test_what_mutations_begin_from_is_sound(parser: str) -> None:
    for content in SOUND[parser]:
        PARSERS[parser](content)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@given(document=st.dictionaries(st.text(), VALUES, max_size=6))
def test_any_object_is_read_as_it_was_written(document: dict[str, object]) -> None:
    assert PARSERS["json"](json.dumps(document).encode()) == document
    assert PARSERS["json"](json.dumps(document, ensure_ascii=False).encode()) == document


@given(
    more=st.text(min_size=1, max_size=20).filter(lambda text: text not in ("a", "▁", "<unk>")),
    texts=st.text(
        alphabet=st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=15
    ),
)
def test_any_sound_piece_model_is_read_as_it_was_written(more: str, texts: str) -> None:
    charsmap = trie(texts.encode() + b"\0")
    check_charsmap(charsmap)
    model = parse_model(pieces(more, charsmap=charsmap))
    assert (list(model.pieces), model.charsmap) == (["<unk>", "▁", "a", more], charsmap)
