"""Prompts for what is between two texts, laid out as each family was trained."""

from __future__ import annotations

import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors

from fathom.errors import RequestError, UnsupportedTaskError
from fathom.generation.infill import ENDS, LAYOUTS, gap
from fathom.inputs.names import INFILL
from fathom.inputs.pieces import byte_alphabet
from fathom.inputs.tokenizer import Source, Tokenizer


def bytewise(*added: str, bos: bool = True) -> Tokenizer:
    """Ids 0 … 255 are bytes; <s> is 256, </s> 257, then come those added."""
    backend = tokenizers.Tokenizer(models.BPE(dict(byte_alphabet()), []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens(["<s>", "</s>", *added])
    if bos:
        template = processors.TemplateProcessing("<s> $0", special_tokens=[("<s>", 256)])
        backend.post_processor = template
    return Tokenizer(backend, Source("bytes", {"bos_token": "<s>", "eos_token": "</s>"}))


@pytest.mark.parametrize("names", INFILL)
def test_every_known_triple_has_a_layout(names: tuple[str, str, str]) -> None:
    prefix, suffix, middle = 258, 259, 260
    found = gap(bytewise(*names), "ab", "cd")
    if names[0] in LAYOUTS:  # https://docs.mistral.ai: <s>[SUFFIX]suffix[PREFIX]prefix
        assert found.prompt == (256, suffix, *b"cd", prefix, *b"ab")
    else:
        assert found.prompt == (256, prefix, *b"ab", suffix, *b"cd", middle)
    assert found.end == {257, prefix, suffix, middle}


def test_a_vocabulary_without_a_first_token_gets_none() -> None:
    assert gap(bytewise(*INFILL[0], bos=False), "ab", "").prompt == (258, *b"ab", 259, 260)


@pytest.mark.parametrize("name", ENDS)
def test_padding_and_the_next_file_end_a_middle(name: str) -> None:
    assert 261 in gap(bytewise(*INFILL[0], name), "a", "b").end


@given(st.text(max_size=20), st.text(min_size=1, max_size=20))
def test_texts_are_only_text(before: str, after: str) -> None:
    """Markers that stand in a program are not read as markers."""
    coder = bytewise(*INFILL[0])
    before += INFILL[0][2]
    prompt = gap(coder, before, after).prompt
    assert prompt == (256, 258, *before.encode(), 259, *after.encode(), 260)


def test_the_space_before_a_first_word_is_left_out() -> None:
    """As Code Llama's tokenizer does between its markers; a space that is there stays."""
    pieces = ["<unk>", "▁", "a", "b", "▁a", "▁b", "<0x01>"]
    backend = tokenizers.Tokenizer(
        models.BPE(
            {piece: id for id, piece in enumerate(pieces)},
            [("▁", "a"), ("▁", "b")],
            unk_token="<unk>",
            byte_fallback=True,
        )
    )
    backend.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    names = ("▁<PRE>", "▁<SUF>", "▁<MID>")
    backend.add_special_tokens(list(names))
    coder = Tokenizer(backend, Source("SentencePiece"))
    prefix, suffix, middle = (backend.token_to_id(name) for name in names)
    found = gap(coder, "a b", " ab")
    assert found.prompt == (prefix, 2, 5, suffix, 4, 3, middle)


def test_a_model_that_was_not_trained_to_is_refused_with_the_reason() -> None:
    with pytest.raises(UnsupportedTaskError, match="no tokens for it"):
        gap(bytewise(), "a", "b")
    with pytest.raises(UnsupportedTaskError):
        gap(bytewise(*INFILL[0][:2]), "a", "b")


def test_there_must_be_something_around_the_gap() -> None:
    coder = bytewise(*INFILL[0])
    with pytest.raises(RequestError, match="both texts are empty"):
        gap(coder, "", "")
    assert gap(coder, "", "b").prompt == (256, 258, 259, *b"b", 260)
