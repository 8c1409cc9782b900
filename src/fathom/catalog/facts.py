"""A fact: a value with the place and the date it comes from; and the table of what is asked.

Everything that a card of the catalogue says passes through here, whether it was shipped or merged
from elsewhere, so that a wrong type is found at once and named by file, line and field.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TypeAlias, cast

import tomli  # the standard library's parser, compiled: half of the time of a command was parsing

from fathom.errors import CatalogError

Value: TypeAlias = "str | int | tuple[str, ...]"
Table: TypeAlias = "dict[str, object]"

BASES = ("cited", "compared", "computed")
_DATE = re.compile(r"\d{4}(-\d{2}(-\d{2})?)?")


@dataclass(frozen=True, slots=True)
class Fact:
    """One value of a card.

    Attributes:
        value: text, a whole number, or several words.
        source: "arxiv:…", "hub:owner/name", "git:owner/name" or an address; see `address`.
        date: of the source, as year, month and day so far as they are known.
        basis: "cited" if written down from the source, "compared" if a program has read the same
            value there, "computed" if it follows from a published configuration.
    """

    value: Value
    source: str
    date: str
    basis: str = "cited"


@dataclass(frozen=True, slots=True)
class Field:
    """What a card may say: the type of the value, and the few words it must be one of.

    Attributes:
        dated: the value is a date.
        changes: it may change while the model stays, so that the newest source is right.
    """

    kind: type[str] | type[int] | type[tuple[str, ...]]
    label: str
    choices: tuple[str, ...] = ()
    dated: bool = False
    changes: bool = False


FIELDS: Mapping[str, Field] = {
    "classes": Field(tuple, "class"),
    "family": Field(str, "family"),
    "domain": Field(str, "domain"),
    "released": Field(str, "released", dated=True),
    "inputs": Field(tuple, "input"),
    "outputs": Field(tuple, "output"),
    "context_in": Field(int, "context", changes=True),
    "context_out": Field(int, "longest answer", changes=True),
    "licence": Field(str, "licence", changes=True),
    "openness": Field(
        str,
        "openness",
        ("open-source", "open-weights", "research-only", "closed", "unreleased"),
    ),
    "languages": Field(str, "languages"),
    "knowledge": Field(str, "knowledge until", dated=True),
    "training": Field(str, "trained on"),
    "architecture": Field(str, "architecture"),
    "branch": Field(str, "branch", ("encoder-only", "encoder-decoder", "decoder-only")),
    "base": Field(tuple, "follows"),
    "tuned_from": Field(tuple, "fine-tuned from"),
    "merged_from": Field(tuple, "merged from"),
    "distilled_from": Field(tuple, "distilled from"),
    "parts": Field(tuple, "made of"),
    "api": Field(tuple, "hosted as"),
    "price": Field(
        tuple, "priced elsewhere", changes=True
    ),  # "provider/model input=2.5 output=10 cached=1.25"
    "arena_rating": Field(int, "Arena rating", changes=True),
    "analysis_index": Field(str, "Artificial Analysis index", changes=True),
}


def address(source: str) -> str:
    """Return where a source can be read."""
    scheme, _, rest = source.partition(":")
    places = {
        "arxiv": "https://arxiv.org/abs/",
        "hub": "https://huggingface.co/",
        "git": "https://github.com/",
    }
    return places[scheme] + rest if scheme in places else source


def fact(
    field: str,
    content: object,
    source: str,
    date: str,
    fields: Mapping[str, Field] = FIELDS,
) -> Fact:
    """Return a fact of a card from a bare value or from ``{is, source, date, basis}``.

    `fields` says what this kind of card may hold. Raises ValueError in words that complete
    "field …".
    """
    basis = "cited"
    if isinstance(content, dict):
        extra = set(content) - {"is", "source", "date", "basis"}
        if extra or "is" not in content:
            raise ValueError(f"must hold 'is', 'source' and 'date', not {sorted(content)}")
        source, date = str(content.get("source", source)), str(content.get("date", date))
        basis, content = str(content.get("basis", basis)), content["is"]
    if basis not in BASES:
        raise ValueError(f"has basis '{basis}', which is none of {', '.join(BASES)}")
    if not source:
        raise ValueError("has no source")
    if not _DATE.fullmatch(date):
        raise ValueError(f"has the date '{date}'; write 2024-07 or 2024-07-23")
    return Fact(_value(field, content, fields), source, date, basis)


def _value(name: str, content: object, fields: Mapping[str, Field]) -> Value:
    field = fields.get(name)
    if field is None:
        raise ValueError("is no field of a card")
    if field.kind is tuple:
        if not isinstance(content, list) or not all(isinstance(word, str) for word in content):
            raise ValueError("must be a list of texts")
        return tuple(content)
    if not isinstance(content, field.kind) or isinstance(content, bool):
        raise ValueError(f"must be {'a whole number' if field.kind is int else 'text'}")
    if field.choices and content not in field.choices:
        raise ValueError(f"is '{content}', which is none of {', '.join(field.choices)}")
    if field.dated and not _DATE.fullmatch(str(content)):
        raise ValueError(f"is '{content}', which is no date; write 2024-07 or 2024-07-23")
    if isinstance(content, int) and content <= 0:
        raise ValueError("must be above zero")
    return cast("str | int", content)


@cache
def document(name: str) -> tuple[str, Table]:
    """Return the text and the tables of a shipped data file, `name` below ``catalog/``."""
    text = files(__package__).joinpath(*name.split("/")).read_text(encoding="utf-8")
    return text, parsed(name, text)


def parsed(name: str, text: str) -> Table:
    """Return the tables of a data file; a fault of syntax names file and line."""
    try:
        return tomli.loads(text)
    except tomli.TOMLDecodeError as error:
        raise CatalogError(name, f"is not TOML: {error}") from None


def entries(name: str) -> dict[str, Table]:
    """Return the entries of a shipped data file in which everything is a table."""
    text, tables = document(name)
    for key, content in tables.items():
        if not isinstance(content, dict):
            raise CatalogError(name, f"'{key}' must be a table", line=line_of(text, None, key))
    return cast("dict[str, Table]", tables)


def line_of(text: str, entry: str | None, field: str | None = None) -> int | None:
    """Return the line, from 1, on which a field of an entry stands, or else the entry."""
    found = None if entry else 0
    headers = (f"[{entry}]", f'["{entry}"]', f"[{entry}.", f'["{entry}".')
    for number, line in enumerate(text.splitlines(), start=1):
        if entry and line.startswith("["):
            if line.startswith(headers):
                found = found or number
            elif found:
                break
        if found is not None and field and re.match(rf"\s*{re.escape(field)}\s*=", line):
            return number
    return found or None


def wanted(table: Table, key: str, name: str, entry: str) -> str:
    """Return a text that an entry of a data file must have."""
    value = table.get(key)
    if not isinstance(value, str) or not value:
        text, _ = document(name)
        raise CatalogError(name, f"{entry}: '{key}' must be text", line=line_of(text, entry, key))
    return value


def optional(table: Table, key: str, name: str, entry: str) -> str | None:
    """Return a text that an entry may have."""
    return wanted(table, key, name, entry) if key in table else None
