"""A call that must be written, as a grammar for the engine."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from fathom.serving.service import Tool
from fathom.serving.tool_calls.families import Family

_ANY_OBJECT: Mapping[str, object] = {"type": "object"}


class Vocabulary(Protocol):
    """What is asked of a tokenizer; `inputs.tokenizer.Tokenizer` answers it."""

    @property
    def special_ids(self) -> Collection[int]:
        """Ids that are no text."""
        ...

    def id_to_token(self, id: int) -> str | None:
        """The vocabulary's spelling of one id."""
        ...


def specials(family: Family, vocabulary: Vocabulary) -> dict[str, int]:
    """Return the special tokens in a family's markers, by their spelling.

    They must show in the text that is read, and no text spells them where a call is forced.
    """
    marks = "\n".join(family.marks)
    named = ((vocabulary.id_to_token(id), id) for id in vocabulary.special_ids)
    return {token: id for token, id in named if token and token in marks}


def forced(
    family: Family,
    tools: Sequence[Tool],
    *,
    parallel: bool,
    specials: Mapping[str, int],
) -> str:
    """Return a grammar, in Lark's notation as llguidance reads it, of one call or more.

    Args:
        family: how the model calls.
        tools: those that may be called; one alone for a choice by name.
        parallel: whether several calls may follow one another.
        specials: special tokens of the vocabulary and their ids.
    """
    frame = family.frame

    def literal(text: str) -> str:
        return _literal(text, specials)

    calls = [f"call_{number}" for number in range(len(tools))]
    more = f"({literal(frame.joint)} call)*" if parallel else ""
    lines = [
        f"start: {literal(frame.list_before)} call {more} {literal(frame.list_after)}",
        f"call: {' | '.join(calls)}",
    ]
    for rule, tool in zip(calls, tools, strict=True):
        schema = json.dumps(dict(tool.parameters) or _ANY_OBJECT)
        before = frame.before.replace("{name}", tool.name)
        lines.append(f"{rule}: {literal(before)} arguments_{rule} {literal(frame.after)}")
        lines.append(f"arguments_{rule}: %json {schema}")
    return "\n".join(lines) + "\n"


def _literal(text: str, specials: Mapping[str, int]) -> str:
    """Spell a text for the grammar: quoted, and special tokens by their ids."""
    longest_first = sorted(specials, key=len, reverse=True)
    if not longest_first:
        return _quoted(text)
    parts = re.split("(" + "|".join(map(re.escape, longest_first)) + ")", text)
    found = (f"<[{specials[part]}]>" if part in specials else _quoted(part) for part in parts)
    return " ".join(part for part in found if part)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False) if text else ""
