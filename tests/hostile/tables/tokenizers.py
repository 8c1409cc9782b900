"""Tokenizer files: lines TK-01 to TK-24 of the catalogue. A line here is a file and its code."""

from __future__ import annotations

import json
from pathlib import Path

from fathom.inputs.scrutiny import MOST_ADDED
from hostile.case import Build, Case

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


def growing(times: int, by: int) -> dict[str, object]:
    step = {"type": "Replace", "pattern": {"String": "a"}, "content": "a" * by}
    return WHOLE | {"normalizer": {"type": "Sequence", "normalizers": [step] * times}}


def added(*tokens: dict[str, object]) -> dict[str, object]:
    return WHOLE | {"added_tokens": [ADDED | token for token in tokens]}


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
ACCEPTED: dict[str, object] = {
    "TK-05 padding to 10^8": WHOLE | {"padding": PADDED},
    "TK-21 placeholders without media": added({"content": "<image>"}),
}


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
