"""Tokenizer files: lines TK-01 to TK-24 of the catalogue. A line here is a file and its code."""

from __future__ import annotations

import json
import struct
from base64 import b64encode
from math import inf, nan
from pathlib import Path

from fathom.inputs.scrutiny import MOST_ADDED
from hostile.case import Build, Case, file_of

BPE = {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": [["a", "b"]]}
WHOLE: dict[str, object] = {"version": "1.0", "added_tokens": [], "model": BPE}
SPLIT = {"type": "Split", "behavior": "Isolated", "invert": False}
ADDED = {
    "id": 3,
    "content": "<x>",
    "single_word": False,
    "lstrip": False,
    "rstrip": False,
    "normalized": False,
    "special": True,
}
MISSING = {
    "type": "TemplateProcessing",
    "single": [
        {"SpecialToken": {"id": "[X]", "type_id": 0}},
        {"Sequence": {"id": "A", "type_id": 0}},
    ],
    "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
    "special_tokens": {},
}
PADDED = {
    "strategy": {"Fixed": 10**8},
    "direction": "Right",
    "pad_to_multiple_of": None,
    "pad_id": 0,
    "pad_type_id": 0,
    "pad_token": "a",
}


def split(pattern: str) -> dict[str, object]:
    return WHOLE | {"pre_tokenizer": SPLIT | {"pattern": {"Regex": pattern}}}


def vocabulary(**ids: int) -> dict[str, object]:
    return WHOLE | {"model": BPE | {"vocab": {"a": 0, "b": 1, "ab": 2} | ids}}


def precompiled(charsmap: bytes) -> dict[str, object]:
    text = b64encode(charsmap).decode()
    return WHOLE | {"normalizer": {"type": "Precompiled", "precompiled_charsmap": text}}


def growing(times: int, by: int) -> dict[str, object]:
    step = {"type": "Replace", "pattern": {"String": "a"}, "content": "a" * by}
    return WHOLE | {"normalizer": {"type": "Sequence", "normalizers": [step] * times}}


def added(*tokens: dict[str, object]) -> dict[str, object]:
    return WHOLE | {"added_tokens": [ADDED | token for token in tokens]}


def _field(number: int, value: bytes | int) -> bytes:
    """One field of a protobuf message: a varint, or bytes behind their length."""
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    most, last = divmod(value, 128)
    return bytes([last | 128]) + _varint(most) if most else bytes([last])


def pieces(
    more: str = "b", score: bytes = bytes(4), charsmap: bytes = b"", kind: int = 1, unknown: int = 2
) -> bytes:
    """A SentencePiece model of four pieces, each with its score and type."""
    # Four bytes are a field of fixed width; others hide behind their length.
    scored = b"\x15" + score if len(score) == 4 else _field(2, score)
    message = b"".join(
        _field(1, _field(1, piece.encode()) + scored + _field(3, of_type))
        for piece, of_type in (("<unk>", unknown), ("▁", 1), ("a", 1), (more, 1))
    )
    return message + _field(2, _field(3, kind)) + _field(3, _field(2, charsmap))


def trie(texts: bytes = b"b\0", place: int = 0, base: int = 256) -> bytes:
    """A compiled normalisation that leads from "a" to a place in the texts.

    The root's children lie from unit 256 on, the value of "a" at its mirror below.
    """
    units = [0] * 512
    units[0] = base << 10
    units[256 ^ ord("a")] = 256 << 10 | 1 << 8 | ord("a")
    units[ord("a")] = 1 << 31 | place
    return struct.pack("<I512I", 4 * len(units), *units) + texts


# What the file holds, its code, and the nearest sound file (None for the plainest).
REFUSED: dict[str, tuple[object, str, object]] = {
    "TK-01 empty": ("", "E_HEADER_SYNTAX", None),
    "TK-01 cut": ("{", "E_HEADER_SYNTAX", None),
    "TK-01 a list": ("[]", "E_HEADER_SYNTAX", None),
    "TK-01 nested": ('{"a":' + "[" * 100_000, "E_DEPTH", None),
    "TK-02 merge without a result": (
        WHOLE | {"model": BPE | {"vocab": {"a": 0, "b": 1}}},
        "E_MISMATCH",
        None,
    ),
    "TK-03 endless pattern": (split("(a+)+$"), "E_TIMEOUT", split("a+$")),
    "TK-03 endless pattern of classes": (split(r"(?:[a\]]*x?)*$"), "E_TIMEOUT", split(r"[a\]]*$")),
    "TK-04 missing special token": (WHOLE | {"post_processor": MISSING}, "E_MISMATCH", None),
    "TK-06 replacements that multiply": (growing(3, 100), "E_LIMIT", growing(2, 4)),
    "TK-07 added token out of turn": (added({"id": 999_999}), "E_MISMATCH", added({})),
    "TK-08 two tokens with one id": (vocabulary(c=2), "E_DUPLICATE", vocabulary(c=3)),
    "TK-08 one token with two ids": (
        json.dumps(WHOLE).replace('"a": 0', '"a": 0, "a": 3'),
        "E_DUPLICATE",
        None,
    ),
    "TK-09 id of 2^32-1": (vocabulary(c=2**32 - 1), "E_MISMATCH", vocabulary(c=3)),
    "TK-10 id of -1": (vocabulary(c=-1), "E_MISMATCH", vocabulary(c=3)),
    "TK-10 id of 2^32": (vocabulary(c=2**32), "E_MISMATCH", vocabulary(c=3)),
    "TK-11 merge of a stranger": (
        WHOLE | {"model": BPE | {"merges": [["a", "c"]]}},
        "E_MISMATCH",
        None,
    ),
    "TK-12 empty added token": (added({"content": ""}), "E_NAME", added({})),
    "TK-13 broken pattern": (split("(("), "E_HEADER_SYNTAX", split("(a)")),
    "TK-14 unknown model": (WHOLE | {"model": BPE | {"type": "Fancy"}}, "E_DTYPE", None),
    "TK-14 unknown normalizer": (WHOLE | {"normalizer": {"type": "Fancy"}}, "E_DTYPE", None),
    "TK-15 too many added tokens": (
        added(*({"id": 3 + n, "content": f"<{n}>"} for n in range(MOST_ADDED + 1))),
        "E_LIMIT",
        added(*({"id": 3 + n, "content": f"<{n}>"} for n in range(100))),
    ),
}
REFUSED |= {
    "TK-16 offsets beyond the texts, in JSON": (
        precompiled(trie(place=2)),
        "E_OFFSET",
        precompiled(trie()),
    ),
    "TK-16 a normalisation that is not base 64": (
        WHOLE | {"normalizer": {"type": "Precompiled", "precompiled_charsmap": "*"}},
        "E_HEADER_ENCODING",
        None,
    ),
    "TK-14 a model whose type is a list": (WHOLE | {"model": BPE | {"type": []}}, "E_DTYPE", None),
}
ACCEPTED: dict[str, object] = {
    "TK-05 padding to 10^8": WHOLE | {"padding": PADDED},
    "TK-21 placeholders without media": added({"content": "<image>"}),
}


def _model(folder: Path, content: bytes) -> Path:
    (folder / "tokenizer.model").write_bytes(content)
    return folder


def tokenizer(content: object, beside: dict[str, object] | None = None) -> Build:
    """Build a folder with this tokenizer.json and other files beside it."""

    def build(folder: Path) -> Path:
        text = content if isinstance(content, str) else json.dumps(content)
        (folder / "tokenizer.json").write_text(text)
        for name, value in (beside or {}).items():
            (folder / name).write_text(json.dumps(value))
        return folder

    return build


def sparse(folder: Path) -> Path:
    with (folder / "tokenizer.json").open("wb") as file:
        file.truncate(1 << 30)
    return folder


def endings(value: object) -> Build:
    return tokenizer(WHOLE, {"config.json": {"vocab_size": 3, "eos_token_id": value}})


DOOR = ("tokenizer",)
SPLIT_SPACES = SPLIT | {"pattern": {"Regex": r"\s+|[^\s]+"}}
SECONDS = 20.0  # a child is started
CASES = [
    Case(
        name.partition(" ")[0],
        name.partition(" ")[2],
        tokenizer(content),
        code,
        tokenizer(WHOLE if twin is None else twin),
        DOOR,
        DOOR,
        {"text": "<image> ab"} if "placeholders" in name else {},
        SECONDS,
    )
    for name, (content, code, twin) in {
        **REFUSED,
        **{name: (content, "", None) for name, content in ACCEPTED.items()},
    }.items()
]
CASES += [
    Case("TK-15", "a gigabyte", sparse, "E_LIMIT", tokenizer(WHOLE), DOOR, DOOR),
    Case(
        "TK-17",
        "code and files named by the settings",
        tokenizer(
            WHOLE,
            {
                "tokenizer_config.json": {
                    "auto_map": {"AutoTokenizer": ["evil.Tokenizer", None]},
                    "tokenizer_file": "/etc/passwd",
                    "trust_remote_code": True,
                }
            },
        ),
        doors=DOOR,
        seconds=SECONDS,
    ),
    Case(
        "CF-22",
        "end beyond the vocabulary",
        endings(3),
        "E_MISMATCH",
        endings(2),
        DOOR,
        DOOR,
        {},
        SECONDS,
    ),
    Case(
        "CF-22", "negative end", endings(-1), "E_MISMATCH", endings([0, 1]), DOOR, DOOR, {}, SECONDS
    ),
    Case(
        "CF-22",
        "a million ends",
        endings([1] * 10**6),
        "E_LIMIT",
        endings([1]),
        DOOR,
        DOOR,
        {},
        SECONDS,
    ),
    Case(
        "TK-03",
        "pattern that the engine gives up on one text",
        tokenizer(split("(c|cc)+$")),
        "E_TOKENIZER",
        tokenizer(split("(c|d)$")),
        DOOR,
        DOOR,
        {"text": "c" * 80 + "b"},
        SECONDS,
    ),
    Case(
        "TK-18",
        "a million carets",
        tokenizer(vocabulary(**{"^": 3})),
        doors=DOOR,
        options={"text": "^" * 10**6},
        seconds=SECONDS,
        memory=512 << 20,
    ),
]

# SentencePiece models: of the message's fields, or the twin's.
PIECES: dict[str, tuple[bytes, str]] = {
    "TK-16 a score of three bytes": (pieces(score=b"abc"), "E_TOKENIZER"),
    "TK-16 a score that is no number": (pieces(score=struct.pack("<f", nan)), "E_NONFINITE"),
    "TK-16 a piece that takes forever to cut": (pieces("a" * (1 << 15), kind=2), "E_LIMIT"),
    "TK-16 a normalisation cut short": (pieces(charsmap=b"\1"), "E_TRUNCATED"),
    "TK-16 a normalisation of nothing": (pieces(charsmap=bytes(4)), "E_TRUNCATED"),
    "TK-16 offsets beyond the table": (pieces(charsmap=trie(texts=b"b\0", base=999)), "E_OFFSET"),
    "TK-16 offsets beyond the texts": (pieces(charsmap=trie(texts=b"b\0", place=2)), "E_OFFSET"),
    "TK-16 an offset into a character": (
        pieces(charsmap=trie("é\0".encode(), place=1)),
        "E_OFFSET",
    ),
    "TK-16 texts that are none": (pieces(charsmap=trie(b"\xff\0")), "E_HEADER_ENCODING"),
    "TK-16 a character of a mebibyte": (pieces(charsmap=trie(b"b" * (1 << 20))), "E_LIMIT"),
    "TK-16 without the unknown": (pieces(unknown=1), "E_MISMATCH"),
}
CASES += [
    Case(
        *name.split(" ", 1),
        lambda folder, content=content: _model(folder, content),
        code,
        lambda folder: _model(folder, pieces(charsmap=trie())),
        DOOR,
        DOOR,
        {"text": "a b"},
    )
    for name, (content, code) in PIECES.items()
]

GGML: dict[str, object] = {
    "model": "llama",
    "tokens": ["<unk>", "▁", "a", "b"],
    "scores": [0.0, 0.0, -1.0, -2.0],
    "token_type": [2, 1, 1, 1],
    "unknown_token_id": 0,
}


def ggml(changed: dict[str, object]) -> Build:
    """Build a file of the keys of a GGUF vocabulary, with changes."""
    keys = {f"tokenizer.ggml.{key}": value for key, value in {**GGML, **changed}.items()}
    return file_of("metadata.json", json.dumps(keys).encode())


# Keys of a GGUF vocabulary that are not what they should be.
KEYS: dict[str, tuple[dict[str, object], str]] = {
    "GG-58 scores that are texts": ({"scores": ["0"] * 4}, "E_TOKENIZER"),
    "GG-58 scores that are lists": ({"scores": [[0.0]] * 4}, "E_TOKENIZER"),
    "GG-58 a score that is no number": ({"scores": [nan] * 4}, "E_TOKENIZER"),
    "GG-58 types that are none": ({"token_type": [inf] * 4}, "E_TOKENIZER"),
    "GG-58 too few scores": ({"scores": [0.0]}, "E_TOKENIZER"),
    "GG-58 tokens that are numbers": ({"tokens": [1, 2, 3, 4]}, "E_TOKENIZER"),
    "GG-58 a normalisation of texts": ({"precompiled_charsmap": ["a"]}, "E_TOKENIZER"),
    "GG-58 a normalisation cut short": ({"precompiled_charsmap": [1]}, "E_TRUNCATED"),
    "GG-58 a kind that is none": ({"model": "fancy"}, "E_TOKENIZER"),
    "GG-58 merges that are none": ({"model": "gpt2", "merges": ["ab"]}, "E_TOKENIZER"),
}
CASES += [
    Case(*name.split(" ", 1), ggml(changed), code, ggml({}), ("vocabulary",), ("vocabulary",))
    for name, (changed, code) in KEYS.items()
]
CASES += [
    Case(
        "TK-23",
        f"a mebibyte of {name}",
        tokenizer(vocabulary(**{character: 3}) | {"pre_tokenizer": SPLIT_SPACES}),
        doors=DOOR,
        options={"text": character * (1 << 20)},
        seconds=SECONDS,
        memory=1 << 30,
    )
    for name, character in {
        "one letter": "c",
        "spaces": " ",
        "one emoji": "\N{GRINNING FACE}",
    }.items()
]
