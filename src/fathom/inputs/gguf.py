"""The tokenizer inside a GGUF file, rebuilt as a `tokenizers` object.

``tokenizer.ggml.model`` names the kind: ``gpt2`` (BPE), ``llama`` (SentencePiece merging by
score), ``bert`` (WordPiece) or ``t5`` (SentencePiece unigram). Where a file leaves a flag out, it
means what llama.cpp takes it to mean (src/llama-vocab.cpp).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import isfinite
from operator import itemgetter, methodcaller
from typing import NoReturn, cast

import tokenizers
from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers

from fathom.errors import TokenizerError, nearest
from fathom.inputs import sentencepiece
from fathom.inputs.around import put_around
from fathom.inputs.guard import tokenizer_errors
from fathom.inputs.sentencepiece import PieceModel, PieceType
from fathom.inputs.splits import SPLITS, Split
from fathom.inputs.tokenizer import Source

_PREFIX = "tokenizer.ggml."
_REMEDY = "fetch the file again or convert the model anew"
_WORDS = {
    "bos_token": ("bos_token_id",),
    "eos_token": ("eos_token_id",),
    "unk_token": ("unknown_token_id",),
    "pad_token": ("padding_token_id",),
    "sep_token": ("seperator_token_id", "separator_token_id"),  # the format misspells it
    "cls_token": ("cls_token_id",),
    "mask_token": ("mask_token_id",),
}
_ENDINGS = ("eos_token_id", "eot_token_id", "eom_token_id")


@dataclass(frozen=True, slots=True)
class _Keys:
    """Typed access to ``tokenizer.ggml.*``."""

    metadata: Mapping[str, object]

    def text(self, key: str, default: str) -> str:
        value = self.metadata.get(_PREFIX + key, default)
        if not isinstance(value, str):
            self._refuse(key, "a string")
        return value

    def flag(self, key: str, default: bool) -> bool:
        return bool(self.metadata.get(_PREFIX + key, default))

    def id(self, *keys: str) -> int | None:
        for key in keys:
            value = self.metadata.get(_PREFIX + key)
            if isinstance(value, int) or hasattr(value, "__index__"):
                return int(value)
        return None

    def array(self, key: str) -> list[object]:
        value = self.metadata.get(_PREFIX + key, ())
        if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
            self._refuse(key, "an array")
        return list(value)

    def strings(self, key: str) -> list[str]:
        found = self.array(key)
        if not all(issubclass(kind, str) for kind in set(map(type, found))):
            self._refuse(key, "an array of strings")
        return cast("list[str]", found)

    def numbers(self, key: str, count: int, default: float) -> list[float]:
        """`count` numbers; `default` for each if the key is missing."""
        found = self.array(key) or [default] * count
        if len(found) != count:
            raise TokenizerError(f"{_PREFIX}{key} has {len(found):,} of {count:,}; {_REMEDY}")
        numbers = cast("list[float]", found)
        if not all(issubclass(kind, int | float) for kind in set(map(type, found))):
            self._refuse(key, "an array of numbers")
        if not all(map(isfinite, numbers)):
            self._refuse(key, "an array of numbers")
        return numbers

    def _refuse(self, key: str, expected: str) -> NoReturn:
        raise TokenizerError(f"{_PREFIX}{key} is not {expected}; {_REMEDY}")


@dataclass(frozen=True, slots=True)
class _Vocabulary:
    """Tokens and their types over ids, every token different from the others."""

    tokens: list[str]
    types: list[int]
    keys: _Keys

    @classmethod
    def read(cls, keys: _Keys) -> _Vocabulary:
        tokens = keys.strings("tokens")
        if not tokens:
            raise TokenizerError(
                "the GGUF file has no tokenizer.ggml.tokens, so no tokenizer; "
                "take the tokenizer from the original repository"
            )
        types = keys.numbers("token_type", len(tokens), PieceType.NORMAL)
        return cls(_distinct(tokens), list(map(int, types)), keys)

    def token(self, *names: str) -> str | None:
        """The token whose id one of these keys holds."""
        id = self.keys.id(*names)
        return self.tokens[id] if id is not None and 0 <= id < len(self.tokens) else None


def _distinct(tokens: list[str]) -> list[str]:
    """Tokens with a stand-in for each empty or repeated one, which no text can reach."""
    if len(seen := set(tokens)) == len(tokens) and "" not in seen:
        return tokens
    seen.clear()
    kept: list[str] = []
    for id, token in enumerate(tokens):
        word = token if token and token not in seen else f"[UNREACHABLE_{id}]"
        seen.add(word)
        kept.append(word)
    return kept


def read_gguf(metadata: Mapping[str, object]) -> tuple[tokenizers.Tokenizer, Source]:
    """Rebuild the tokenizer that GGUF metadata describes."""
    keys = _Keys(metadata)
    model = keys.text("model", "")
    if model not in BUILDERS:
        raise TokenizerError(
            f"tokenizer.ggml.model is {model!r}; known are {', '.join(BUILDERS)}, "
            "so take the tokenizer from the original repository"
        )
    vocabulary = _Vocabulary.read(keys)
    with tokenizer_errors("the GGUF tokenizer is inconsistent", _REMEDY):
        backend, kind = BUILDERS[model](vocabulary)
    found = {name: vocabulary.token(*names) for name, names in _WORDS.items()}
    ids = (keys.id(key) for key in _ENDINGS)
    source = Source(
        kind,
        words={name: token for name, token in found.items() if token is not None},
        ending=frozenset(id for id in ids if id is not None),
        templates=_templates(metadata),
    )
    return backend, source


def _templates(metadata: Mapping[str, object]) -> dict[str, str]:
    prefix = "tokenizer.chat_template"
    named = {
        key.removeprefix(prefix).removeprefix(".") or "default": value
        for key, value in metadata.items()
        if key == prefix or key.startswith(f"{prefix}.")
    }
    return {name: value for name, value in named.items() if isinstance(value, str)}


def _byte_pairs(vocabulary: _Vocabulary) -> tuple[tokenizers.Tokenizer, str]:
    keys = vocabulary.keys
    name = keys.text("pre", "gemma4" if keys.text("model", "") == "gemma4" else "default")
    split = SPLITS.get(name)
    if split is None:
        raise TokenizerError(
            f"tokenizer.ggml.pre is {name!r}, a way of cutting words that is not known here;"
            f"{nearest(name, SPLITS)} Take the tokenizer from the original repository"
        )
    backend = tokenizers.Tokenizer(_merging(vocabulary, split))
    _spell_bytes(backend, split) if split.byte_level else _spell_plainly(backend, split)
    sentencepiece.add_marked(backend, vocabulary.tokens, vocabulary.types)
    _add_ends(backend, vocabulary, bos=split.bos, eos=False, sep=split.sep)
    return backend, f"{'byte-level ' if split.byte_level else ''}BPE ({name})"


def _merging(vocabulary: _Vocabulary, split: Split) -> models.BPE:
    unknown = None if split.byte_level else vocabulary.token("unknown_token_id")
    return models.BPE(
        vocab=dict(zip(vocabulary.tokens, range(len(vocabulary.tokens)), strict=True)),
        merges=_merges(vocabulary),
        ignore_merges=split.whole_words,
        unk_token=unknown,
        fuse_unk=unknown is not None,
        byte_fallback=not split.byte_level,
    )


def _merges(vocabulary: _Vocabulary) -> list[tuple[str, str]]:
    """Pairs of a merge's sides, which a space separates; either may itself begin with one."""
    lines = vocabulary.keys.strings("merges")
    if not lines:
        raise TokenizerError(f"the GGUF file has no tokenizer.ggml.merges; {_REMEDY}")
    pairs = [(left, right) for left, _, right in map(methodcaller("partition", " "), lines)]
    if all(map(itemgetter(0), pairs)):
        return pairs
    return [(line[:at], line[at + 1 :]) for line in lines for at in [line.find(" ", 1)]]


def _spell_bytes(backend: tokenizers.Tokenizer, split: Split) -> None:
    cuts = [pre_tokenizers.Split(Regex(each), behavior="isolated") for each in split.patterns]
    bytes_ = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.pre_tokenizer = pre_tokenizers.Sequence([*cuts, bytes_])
    backend.decoder = decoders.ByteLevel()


def _spell_plainly(backend: tokenizers.Tokenizer, split: Split) -> None:
    cuts = [pre_tokenizers.Split(Regex(each), behavior="isolated") for each in split.patterns]
    backend.normalizer = normalizers.Replace(" ", "▁")
    backend.pre_tokenizer = pre_tokenizers.Sequence(cuts)
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )


def _sentencepiece(vocabulary: _Vocabulary) -> tuple[tokenizers.Tokenizer, str]:
    """Both SentencePiece kinds: ``llama`` merges by score, ``t5`` is the unigram model."""
    keys = vocabulary.keys
    bpe = keys.text("model", "") == "llama"
    model = PieceModel(
        vocabulary.tokens,
        keys.numbers("scores", len(vocabulary.tokens), 0.0),
        vocabulary.types,
        bpe=bpe,
        charsmap=_charsmap(keys),
        space_prefix=keys.flag("add_space_prefix", bpe),
        squeeze_spaces=keys.flag("remove_extra_whitespaces", False),
    )
    backend = sentencepiece.build(model)
    _add_ends(backend, vocabulary, bos=bpe, eos=not bpe, sep=False)
    return backend, "SentencePiece BPE" if bpe else "SentencePiece unigram"


def _charsmap(keys: _Keys) -> bytes:
    return bytes(int(value) & 0xFF for value in keys.array("precompiled_charsmap"))  # type: ignore[call-overload]


def _word_pieces(vocabulary: _Vocabulary) -> tuple[tokenizers.Tokenizer, str]:
    """WordPiece. The file marks the start of a word, ``▁word``, instead of its continuation."""
    keys = vocabulary.keys
    pieces = [_from_phantom(token) for token in vocabulary.tokens]
    unknown = vocabulary.token("unknown_token_id") or "[UNK]"
    lowercase = keys.flag("normalizer.lowercase", not any(_is_cased(piece) for piece in pieces))
    backend = tokenizers.Tokenizer(
        models.WordPiece(
            vocab={piece: id for id, piece in enumerate(pieces)},
            unk_token=unknown,
            max_input_chars_per_word=100,
        )
    )
    backend.normalizer = normalizers.BertNormalizer(
        lowercase=lowercase, strip_accents=keys.flag("normalizer.strip_accents", lowercase)
    )
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece()
    special = {vocabulary.token(*names) for names in _WORDS.values()}
    backend.add_special_tokens(
        [token for token in pieces if token in special or token in _BERT_SPECIAL]
    )
    first = vocabulary.token("cls_token_id", "bos_token_id") or "[CLS]"
    last = vocabulary.token("seperator_token_id", "separator_token_id", "eos_token_id") or "[SEP]"
    put_around(backend, [first], [last])
    return backend, "WordPiece"


_BERT_SPECIAL = frozenset({"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"})


def _from_phantom(token: str) -> str:
    """``▁word`` → ``word``, ``ing`` → ``##ing``; ``[CLS]`` and its like are unchanged."""
    if token.startswith("[") and token.endswith("]"):
        return token
    return token[1:] if token.startswith("▁") else f"##{token}"


def _is_cased(piece: str) -> bool:
    bracketed = piece.startswith("[") and piece.endswith("]")
    return not bracketed and piece != piece.lower()


def _add_ends(
    backend: tokenizers.Tokenizer, vocabulary: _Vocabulary, *, bos: bool, eos: bool, sep: bool
) -> None:
    """Add the tokens around a text: the file's flags, or else these."""
    keys = vocabulary.keys
    first = vocabulary.token("bos_token_id") if keys.flag("add_bos_token", bos) else None
    last = vocabulary.token("eos_token_id") if keys.flag("add_eos_token", eos) else None
    if last is None and keys.flag("add_sep_token", sep):
        last = vocabulary.token("seperator_token_id", "separator_token_id", "eos_token_id")
    put_around(backend, [first] if first else [], [last] if last else [])


BUILDERS: dict[str, Callable[[_Vocabulary], tuple[tokenizers.Tokenizer, str]]] = {
    "gpt2": _byte_pairs,
    "gemma4": _byte_pairs,
    "llama": _sentencepiece,
    "t5": _sentencepiece,
    "bert": _word_pieces,
}
"""How each ``tokenizer.ggml.model`` is rebuilt."""
