"""A call that must be written, as a grammar for the engine."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence

from fathom.serving.service import Tool
from fathom.serving.tool_calls.families import Family

_ANY_OBJECT = {"type": "object"}


def forced(
    family: Family,
    tools: Sequence[Tool],
    *,
    parallel: bool,
    is_special: Callable[[str], bool] = lambda mark: False,
) -> str:
    """Return a grammar, in Lark's notation as llguidance reads it, of one call or more.

    Args:
        tools: those that may be called; one alone for a choice by name.
        parallel: whether several calls may follow one another.
        is_special: whether a marker is a special token of the vocabulary, which no text spells.
    """
    frame = family.frame

    def literal(text: str) -> str:
        return _literal(text, family.marks, is_special)

    calls = [f"call_{number}" for number in range(len(tools))]
    more = f" ({literal(frame.joint)} call)*" if parallel else ""
    lines = [
        f"start: {literal(frame.list_before)} call{more} {literal(frame.list_after)}",
        f"call: {' | '.join(calls)}",
    ]
    for rule, tool in zip(calls, tools, strict=True):
        schema = json.dumps(dict(tool.parameters) or _ANY_OBJECT)
        before = frame.before.replace("{name}", tool.name)
        lines.append(f"{rule}: {literal(before)} arguments_{rule} {literal(frame.after)}")
        lines.append(f"arguments_{rule}: %json {schema}")
    return "\n".join(" ".join(line.split(" ")) for line in lines) + "\n"


def _literal(text: str, marks: Sequence[str], is_special: Callable[[str], bool]) -> str:
    """Spell a text for the grammar: quoted, and special tokens by name."""
    special = [mark for mark in marks if is_special(mark)]
    if not special:
        return _quoted(text)
    parts = re.split("(" + "|".join(map(re.escape, special)) + ")", text)
    return " ".join(part if part in special else _quoted(part) for part in parts if part)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False) if text else ""
