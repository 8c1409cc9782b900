"""Tokenizers rebuilt from GGUF metadata against the originals that the metadata came from."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import regex
import tokenizers
from tokenizers import AddedToken, Regex, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoTokenizer
from transformers.integrations.gguf import gguf_tokenizer_mapping as published

from fathom.errors import TokenizerError
from fathom.inputs.gguf import BUILDERS
from fathom.inputs.splits import SPLITS
from fathom.inputs.tokenizer import Tokenizer

PROBE = "I don't think IT'S 12345 x2\n\n  你好 aB!"
GPT2 = [
    "I",
    " don",
    "'t",
    " think",
    " IT",
    "'",
    "S",
    " 12345",
    " x",
    "2",
    "\n\n ",
    " 你好",
    " aB",
    "!",
]
DIGITS = ["I", " don", "'t", " think", " IT", "'", "S", " ", "1", "2", "3", "4", "5", " x", "2",
          "\n\n ", " 你好", " aB", "!"]  # fmt: skip
CL100K = ["I", " don", "'t", " think", " IT", "'S", " ", "123", "45", " x", "2", "\n\n", " ",
          " 你好", " aB", "!"]  # fmt: skip
QWEN = ["I", " don", "'t", " think", " IT", "'S", " ", "1", "2", "3", "4", "5", " x", "2", "\n\n",
        " ", " 你好", " aB", "!"]  # fmt: skip
O200K = ["I", " don't", " think", " IT'S", " ", "123", "45", " x", "2", "\n\n", " ", " 你好",
         " a", "B", "!"]  # fmt: skip
TEKKEN = ["I", " don", "'t", " think", " IT", "'S", " ", "1", "2", "3", "4", "5", " x", "2", "\n\n",
          " ", " 你好", " a", "B", "!"]  # fmt: skip
DEEPSEEK = ["I", " don", "'t", " think", " IT", "'S", " ", "123", "45", " x", "2", "\n\n", "  ",
            "你好", " aB", "!"]  # fmt: skip
BLOOM = ["I", " don't", " think", " IT'S", " 12345", " x2", "\n\n ", " 你好", " aB", "!"]
LINES = ["I don't think IT'S 12345 x2", "\n\n", "  你好 aB!"]

DEFAULT = ["I", " don", "'", "t", " think", " IT", "'", "S", " ", "123", "45", " x", "2", "\n\n ",
           " 你好", " aB", "!"]  # fmt: skip

EXPECTED = {
    "default": DEFAULT, "gpt-2": GPT2, "smollm": DIGITS, "llama-bpe": CL100K, "dbrx": CL100K,
    "qwen2": QWEN, "qwen35": QWEN, "gpt-4o": O200K, "tekken": TEKKEN, "deepseek-v3": DEEPSEEK,
    "bloom": BLOOM, "gemma4": LINES,
}  # fmt: skip


def cut(name: str, text: str) -> list[str]:
    steps = [pre_tokenizers.Split(Regex(each), "isolated") for each in SPLITS[name].patterns]
    return [piece for piece, _ in pre_tokenizers.Sequence(steps).pre_tokenize_str(text)]


def cut_independently(patterns: tuple[str, ...], text: str) -> list[str]:
    """The same by another regular expression engine: each pattern cuts what is left."""
    pieces = [text] if text else []
    for pattern in patterns:
        spelled = re.sub(r"\\x\{(\w+)\}", lambda code: chr(int(code[1], 16)), pattern)
        compiled = regex.compile(spelled, regex.V1)
        pieces = [part for piece in pieces for part in _isolate(compiled, piece)]
    return pieces


def _isolate(pattern: regex.Pattern, piece: str) -> Iterator[str]:
    at = 0
    for match in pattern.finditer(piece):
        yield from (part for part in (piece[at : match.start()], match[0]) if part)
        at = match.end()
    if at < len(piece):
        yield piece[at:]


@pytest.mark.parametrize("name", SPLITS)
def test_patterns_mean_the_same_to_another_engine(name: str, texts: dict[str, str]) -> None:
    for text in texts.values():
        assert cut(name, text) == cut_independently(SPLITS[name].patterns, text)
        assert "".join(cut(name, text)) == text


@pytest.mark.parametrize("name", published.GGUF_PRE_TOKENIZER_SPLITS)
def test_patterns_are_the_published_ones(name: str, texts: dict[str, str]) -> None:
    pattern = Regex(published.GGUF_PRE_TOKENIZER_SPLITS[name])
    for text in texts.values():
        pieces = pre_tokenizers.Split(pattern, "isolated").pre_tokenize_str(text)
        assert cut(name, text) == [piece for piece, _ in pieces]


@pytest.mark.parametrize("name", EXPECTED)
def test_patterns_cut_as_written_down(name: str) -> None:
    assert cut(name, PROBE) == EXPECTED[name]


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("superbpe", "a 1234567", ["a ", "1", "234", "567"]),
        ("tiny_aya", "1234567 x", ["1", "234", "567", " x"]),
        ("afmoe", "1234567x", ["1", "234", "567", "x"]),
        ("kimi-k2", "hello世界world", ["hello", "世界", "world"]),
        ("ufakzeka", "Ali'nin", ["Ali", "'nin"]),
        ("jais-2", "a" + " " * 7 + "b", ["a", " " * 4, "  ", " b"]),
        ("deepseek-llm", "ab12 Ä中", ["ab", "12", " Ä", "中"]),
        ("exaone-moe", "hi there 12", ["hi there", " ", "1", "2"]),
        ("viking", "ab12,", ["ab", "1", "2", ","]),
    ],
)
def test_kinds_with_a_peculiarity(name: str, text: str, expected: list[str]) -> None:
    assert cut(name, text) == expected


def original_bpe(name: str, corpus: list[str]) -> tokenizers.Tokenizer:
    """A BPE tokenizer trained on the corpus with this way of cutting words."""
    split = SPLITS[name]
    steps = [pre_tokenizers.Split(Regex(each), "isolated") for each in split.patterns]
    original = tokenizers.Tokenizer(
        models.BPE(ignore_merges=split.whole_words, byte_fallback=not split.byte_level)
    )
    if split.byte_level:
        steps.append(pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False))
        alphabet = pre_tokenizers.ByteLevel.alphabet()
    else:
        original.normalizer = normalizers.Replace(" ", "▁")
        alphabet = []
    special = ["<unk>", "<s>", "<|im_end|>"]
    special += [] if split.byte_level else [f"<0x{byte:02X}>" for byte in range(256)]
    original.pre_tokenizer = pre_tokenizers.Sequence(steps)
    trainer = trainers.BpeTrainer(
        vocab_size=700, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    original.train_from_iterator(corpus, trainer)
    original.add_tokens([AddedToken("<tool_call>", normalized=False)])
    return original


def as_gguf(original: tokenizers.Tokenizer, name: str) -> dict[str, object]:
    """The keys that published converters write for a BPE tokenizer."""
    vocabulary = original.get_vocab()
    tokens = sorted(vocabulary, key=vocabulary.__getitem__)
    special = {"<unk>": 3, "<s>": 3, "<|im_end|>": 3, "<tool_call>": 4}
    saved = original.model.__getstate__().decode()
    merges = [" ".join(pair) for pair in json.loads(saved)["merges"]]
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": name,
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [special.get(token, 1) for token in tokens],
        "tokenizer.ggml.merges": merges,
        "tokenizer.ggml.bos_token_id": vocabulary["<s>"],
        "tokenizer.ggml.eos_token_id": vocabulary["<|im_end|>"],
        "tokenizer.ggml.unknown_token_id": vocabulary["<unk>"],
    }


@pytest.fixture(scope="module")
def originals(corpus: list[str]) -> dict[str, tokenizers.Tokenizer]:
    return {name: original_bpe(name, corpus) for name in EXPECTED}


@pytest.mark.parametrize("name", EXPECTED)
def test_bpe_equals_the_original(name: str, originals, text: str) -> None:
    original = originals[name]
    if not SPLITS[name].byte_level:  # its trainer lists byte tokens as special ones
        text = text.replace("<0x0A>", "")
    ours = Tokenizer.from_gguf(as_gguf(original, name))
    for sample in (text, f"<|im_end|>{text}<tool_call>{text}"):
        ids = ours.encode(sample, add_special=False)
        assert ids == original.encode(sample).ids
        assert ours.decode(ids, skip_special=False) == sample.replace(
            "▁", " " if not SPLITS[name].byte_level else "▁"
        )


@pytest.mark.parametrize("name", SPLITS)
def test_every_kind_is_rebuilt(name: str, originals) -> None:
    """Defaults around a text come with the kind, flags in the file override them."""
    known = name if name in originals else ("gpt-2" if SPLITS[name].byte_level else "gemma4")
    metadata = as_gguf(originals[known], name)
    ours = Tokenizer.from_gguf(metadata)
    plain = ours.encode("a cat 12", add_special=False)
    assert ours.decode(plain) == "a cat 12"
    bos, sep = [ours.special.bos] * SPLITS[name].bos, sorted(ours.special.eos) * SPLITS[name].sep
    assert ours.encode("a cat 12") == bos + plain + sep
    for flag in (True, False):
        flags = {"tokenizer.ggml.add_bos_token": flag, "tokenizer.ggml.add_sep_token": False}
        flagged = Tokenizer.from_gguf(metadata | flags)
        assert flagged.encode("a cat 12") == [ours.special.bos] * flag + plain
    assert name in ours.describe


def as_bert_gguf(original: tokenizers.Tokenizer) -> dict[str, object]:
    """The keys that published converters write for WordPiece: marked are the starts of words."""
    vocabulary = original.get_vocab()
    tokens = sorted(vocabulary, key=vocabulary.__getitem__)

    def phantom(token: str) -> str:
        if token.startswith("[") and token.endswith("]"):
            return token
        return token[2:] if token.startswith("##") else "▁" + token

    return {
        "tokenizer.ggml.model": "bert",
        "tokenizer.ggml.tokens": [phantom(token) for token in tokens],
        "tokenizer.ggml.token_type": [3 if token[0] == "[" else 1 for token in tokens],
        "tokenizer.ggml.cls_token_id": vocabulary["[CLS]"],
        "tokenizer.ggml.seperator_token_id": vocabulary["[SEP]"],
        "tokenizer.ggml.unknown_token_id": vocabulary["[UNK]"],
        "tokenizer.ggml.padding_token_id": vocabulary["[PAD]"],
        "tokenizer.ggml.mask_token_id": vocabulary["[MASK]"],
    }


@pytest.fixture(scope="module", params=[True, False], ids=["uncased", "cased"])
def bert(request, corpus: list[str]) -> tokenizers.Tokenizer:
    original = tokenizers.BertWordPieceTokenizer(lowercase=request.param)
    original.train_from_iterator(corpus, vocab_size=600, show_progress=False)
    original.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        special_tokens=[(token, original.token_to_id(token)) for token in ("[CLS]", "[SEP]")],
    )
    return original


def test_word_pieces_equal_the_original(bert, text: str) -> None:
    ours = Tokenizer.from_gguf(as_bert_gguf(bert))
    ids = ours.encode(text)
    assert ids == bert.encode(text).ids
    assert ours.decode(ids) == bert.decode(ids)
    assert ours.special.mask == bert.token_to_id("[MASK]")


def test_every_model_is_tested() -> None:
    assert set(BUILDERS) == {"gpt2", "gemma4", "llama", "t5", "bert"}


def test_gemma4_model_needs_no_pre(originals, text: str) -> None:
    metadata = as_gguf(originals["gemma4"], "gemma4")
    bare = {key: value for key, value in metadata.items() if not key.endswith(".pre")}
    named = Tokenizer.from_gguf(metadata)
    assert Tokenizer.from_gguf(bare | {"tokenizer.ggml.model": "gemma4"}).encode(text) == (
        named.encode(text)
    )


@pytest.fixture(scope="module")
def reference(smollm2_path: Path) -> tokenizers.Tokenizer:
    """transformers' reading of the real file, which leaves out that this kind isolates digits."""
    folder, name = smollm2_path.parent, smollm2_path.name
    theirs = AutoTokenizer.from_pretrained(folder, gguf_file=name).backend_tokenizer
    theirs.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), theirs.pre_tokenizer]
    )
    return theirs


def test_the_real_one_equals_transformers(smollm2: Tokenizer, reference, text: str) -> None:
    ids = smollm2.encode(text)
    assert ids == reference.encode(text).ids
    assert smollm2.decode(ids) == text == reference.decode(ids)


def test_sides_of_a_merge_may_begin_with_a_space() -> None:
    found = Tokenizer.from_gguf(
        {
            "tokenizer.ggml.model": "gpt2",
            "tokenizer.ggml.tokens": [" ", "a", " a", "aa", "a a"],
            "tokenizer.ggml.merges": ["  a", "a a", "a  a"],
        }
    )
    saved = json.loads(found.backend.model.__getstate__())
    assert saved["merges"] == [[" ", "a"], ["a", "a"], ["a", " a"]]


BAD = {
    "no model": ({"tokenizer.ggml.model": None}, "known are gpt2"),
    "unknown model": ({"tokenizer.ggml.model": "rwkv"}, "rwkv"),
    "no tokens": ({"tokenizer.ggml.tokens": []}, "no tokenizer"),
    "tokens of another type": ({"tokenizer.ggml.tokens": [1, 2]}, "array of strings"),
    "tokens no array": ({"tokenizer.ggml.tokens": "abc"}, "not an array"),
    "no merges": ({"tokenizer.ggml.merges": []}, "no tokenizer.ggml.merges"),
    "merge outside the vocabulary": ({"tokenizer.ggml.merges": ["a b", "qq zz"]}, "inconsistent"),
    "merge without a product": ({"tokenizer.ggml.merges": ["! !"]}, "inconsistent"),
    "types too short": ({"tokenizer.ggml.token_type": [1]}, "token_type has 1 of"),
    "unknown kind": ({"tokenizer.ggml.pre": "qwen-2"}, "Did you mean"),
    "kind no string": ({"tokenizer.ggml.pre": 3}, "not a string"),
}


@pytest.mark.parametrize("fault", BAD)
def test_faulty_metadata_is_refused(fault: str, originals) -> None:
    changes, message = BAD[fault]
    metadata = as_gguf(originals["gpt-2"], "gpt-2")
    assert Tokenizer.from_gguf(metadata).vocabulary == len(metadata["tokenizer.ggml.tokens"])
    broken = {key: value for key, value in (metadata | changes).items() if value is not None}
    with pytest.raises(TokenizerError, match=re.escape(message)):
        Tokenizer.from_gguf(broken)


def test_empty_and_repeated_tokens_keep_the_ids_of_the_others(originals, text: str) -> None:
    metadata = as_gguf(originals["gpt-2"], "gpt-2")
    tokens = [*metadata["tokenizer.ggml.tokens"], "", "a"]
    types = [*metadata["tokenizer.ggml.token_type"], 1, 1]
    longer = metadata | {"tokenizer.ggml.tokens": tokens, "tokenizer.ggml.token_type": types}
    ours = Tokenizer.from_gguf(longer)
    assert ours.vocabulary == len(tokens)
    assert ours.encode(text) == Tokenizer.from_gguf(metadata).encode(text)
