"""A stranger's ``tokenizer.json`` read as data: what the `tokenizers` library does not check.

Version 0.23 renumbers tokens whose ids are taken, lets two tokens share an id, and gives a
regular expression as much time as it asks for. Runs in the child of `inputs/trial.py`.
"""

from __future__ import annotations

import json
import re
from base64 import b64decode
from collections import Counter
from collections.abc import Iterator, Mapping
from math import isfinite, prod
from typing import NoReturn

import tokenizers

from fathom.errors import TokenizerError
from fathom.inputs.guard import tokenizer_errors

__all__ = ["MOST_GROWTH", "check_pattern", "scrutinise"]

MOST_ADDED = 100_000  # added tokens; the largest published list has about 6,000
LARGEST_ID = 1 << 24  # the largest published vocabulary is below two million
MOST_GROWTH = 16  # characters that replacements may make of one; published ones make one of many
LONGEST_PATTERN = 4096  # characters of a regular expression; the longest published has 600

_REMEDY = "fetch the folder again, or take the tokenizer of another variant"

MODELS = frozenset({"BPE", "Unigram", "WordLevel", "WordPiece"})
# Every component of tokenizers 0.23, by its place in the file.
COMPONENTS: Mapping[str, frozenset[str]] = {
    "normalizer": frozenset(
        {"BertNormalizer", "Strip", "StripAccents", "NFC", "NFD", "NFKC", "NFKD", "Sequence"}
        | {"Lowercase", "Nmt", "Precompiled", "Replace", "Prepend", "ByteLevel"}
    ),
    "pre_tokenizer": frozenset(
        {"BertPreTokenizer", "ByteLevel", "CharDelimiterSplit", "Metaspace", "Whitespace"}
        | {"Sequence", "Split", "Punctuation", "WhitespaceSplit", "Digits", "UnicodeScripts"}
        | {"FixedLength"}
    ),
    "post_processor": frozenset(
        {"RobertaProcessing", "BertProcessing", "ByteLevel", "TemplateProcessing", "Sequence"}
    ),
    "decoder": frozenset(
        {"BPEDecoder", "ByteLevel", "WordPiece", "Metaspace", "CTC", "Sequence", "Replace"}
        | {"Fuse", "Strip", "ByteFallback"}
    ),
}

Json = Mapping[str, object]


def scrutinise(text: str) -> Json:
    """Check the text of a ``tokenizer.json`` and return what it says.

    Raises:
        TokenizerError: with the code of the first fault found.
    """
    found = _parse(text)
    model = found.get("model")
    if not isinstance(model, dict):
        _refuse("E_HEADER_SYNTAX", "has no model")
    if str(model.get("type", "BPE")) not in MODELS:
        _refuse("E_DTYPE", f"has a model of the unknown type {str(model.get('type'))[:40]!r}")
    _check_vocabulary(model.get("vocab"))
    _check_added(found.get("added_tokens") or [])
    for place, known in COMPONENTS.items():
        for part in _parts(found.get(place)):
            if str(part.get("type")) not in known:
                _refuse("E_DTYPE", f"has an unknown {place}, {str(part.get('type'))[:40]!r}")
            _check_regex(part)
            _check_precompiled(part)
    _check_growth(list(_parts(found.get("normalizer"))))
    return found


def check_pattern(pattern: str) -> None:
    """Refuse a regular expression whose cost could grow faster than its text.

    That is one that repeats without bound what itself repeats without bound: ``(a+)+``.
    """
    if len(pattern) > LONGEST_PATTERN:
        _refuse("E_LIMIT", f"has a pattern of {len(pattern):,} characters")
    if _nests_repeats(pattern):
        told = f"has the pattern {pattern[:60]!r}, which repeats a repetition without bound"
        _refuse("E_TIMEOUT", told)
    with tokenizer_errors("tokenizer.json has a broken pattern", _REMEDY, code="E_HEADER_SYNTAX"):
        tokenizers.Regex(pattern)


def _parse(text: str) -> Json:
    def unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
        made = dict(pairs)
        if len(made) != len(pairs):
            twice, _ = Counter(name for name, _ in pairs).most_common(1)[0]
            _refuse("E_DUPLICATE", f"has the key {twice[:60]!r} twice")
        return made

    try:
        found = json.loads(text, object_pairs_hook=unique)
    except RecursionError:
        _refuse("E_DEPTH", "is nested too deeply")
    except ValueError as error:
        _refuse("E_HEADER_SYNTAX", f"is not valid JSON: {str(error)[:120]}")
    if not isinstance(found, dict):
        _refuse("E_HEADER_SYNTAX", "holds no JSON object")
    return found


def _check_vocabulary(vocabulary: object) -> None:
    """Ids are whole, in range and each of one token; a unigram's scores are finite."""
    if isinstance(vocabulary, list):
        for entry in vocabulary:
            score = entry[1] if isinstance(entry, list) and len(entry) == 2 else None
            if not isinstance(score, int | float) or not isfinite(score):
                _refuse("E_MISMATCH", f"has the entry {str(entry)[:60]}, not a piece and a score")
        return
    if not isinstance(vocabulary, dict):
        _refuse("E_HEADER_SYNTAX", "has no vocabulary")
    for token, id in vocabulary.items():
        if type(id) is not int or not 0 <= id < LARGEST_ID:
            _refuse("E_MISMATCH", f"gives {token[:60]!r} the id {str(id)[:20]}")
    if len(set(vocabulary.values())) != len(vocabulary):
        id, _ = Counter(vocabulary.values()).most_common(1)[0]
        _refuse("E_DUPLICATE", f"gives the id {id} to two tokens")


def _check_added(added: object) -> None:
    if not isinstance(added, list) or not all(isinstance(token, dict) for token in added):
        _refuse("E_HEADER_SYNTAX", "has added tokens that are no objects")
    if len(added) > MOST_ADDED:
        _refuse("E_LIMIT", f"adds {len(added):,} tokens, at most {MOST_ADDED:,}")
    for token in added:
        content, id = token.get("content"), token.get("id")
        if not isinstance(content, str) or not content:
            _refuse("E_NAME", "adds a token without a content")
        if type(id) is not int or not 0 <= id < LARGEST_ID:
            _refuse("E_MISMATCH", f"gives {content[:60]!r} the id {str(id)[:20]}")


def _parts(component: object) -> Iterator[Json]:
    """The component and all that it consists of."""
    if component is None:
        return
    if not isinstance(component, dict):
        _refuse("E_HEADER_SYNTAX", "has a component that is no object")
    yield component
    lists = ("normalizers", "pretokenizers", "processors", "decoders")
    for inner in (component.get(name) for name in lists):
        for part in inner if isinstance(inner, list) else ():
            yield from _parts(part)


def _check_regex(part: Json) -> None:
    pattern = part.get("pattern")
    if isinstance(pattern, dict) and isinstance(pattern.get("Regex"), str):
        check_pattern(str(pattern["Regex"]))


def _check_precompiled(part: Json) -> None:
    """SentencePiece's normalisation, in base 64."""
    if part.get("type") != "Precompiled":
        return
    try:
        charsmap = b64decode(str(part.get("precompiled_charsmap") or ""), validate=True)
    except ValueError:
        _refuse("E_HEADER_ENCODING", "has a normalisation that is not base 64")
    if charsmap:
        from fathom.inputs.charsmap import check_charsmap  # imports numpy

        check_charsmap(charsmap)


def _check_growth(normalizers: list[Json]) -> None:
    """Three replacements of one character by a hundred make a million of one."""
    growth = prod(_growth(part) for part in normalizers if part.get("type") == "Replace")
    if growth > MOST_GROWTH:
        _refuse("E_LIMIT", f"makes up to {growth:,.0f} characters of one")


def _growth(part: Json) -> float:
    content, pattern = part.get("content"), part.get("pattern")
    literal = pattern.get("String") if isinstance(pattern, dict) else None
    taken = max(1, len(literal)) if isinstance(literal, str) else 1
    return max(1.0, len(content) / taken) if isinstance(content, str) else 1.0


def _refuse(code: str, what: str) -> NoReturn:
    raise TokenizerError(f"tokenizer.json {what}; {_REMEDY}", code=code)


_SKIPPED = re.compile(r"\\.|\[\^?\]?(?:\\.|\[:\w+:\]|[^\]\\])*\]|\(\?#[^)]*\)", re.DOTALL)
_UNBOUNDED = re.compile(r"[+*]|\{\d*,\}")


def _nests_repeats(pattern: str) -> bool:
    """Tell whether a group that is repeated without bound holds something that is too."""
    plain = _SKIPPED.sub("x", pattern)  # no escape and no class left: brackets are groups
    inside = [False]  # for each open group: whether it repeats something without bound
    at = 0
    while at < len(plain):
        sign = plain[at]
        repeated = _UNBOUNDED.match(plain, at + 1)
        if sign == "(":
            inside.append(False)
        elif sign == ")" and len(inside) > 1:
            held = inside.pop()
            if held and repeated:
                return True
            inside[-1] |= held or repeated is not None
        elif sign not in "|?+*" and repeated:
            inside[-1] = True
        at += 1
    return False
