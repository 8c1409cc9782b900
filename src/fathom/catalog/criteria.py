"""What models are judged by, and the tables of the notes: each with where Fathom answers it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType

from fathom.catalog import facts
from fathom.catalog.evidence import Entry


@dataclass(frozen=True, slots=True)
class Shown:
    """A criterion or a table.

    Attributes:
        shown: the command or the page that answers it; empty where nothing does yet.
    """

    name: str
    title: str
    about: str
    shown: str


@cache
def criteria() -> Mapping[str, Shown]:
    """What models are judged by, by name."""
    return _read("criteria.toml")


@cache
def tables() -> Mapping[str, Shown]:
    """The tables and figures of the notes, by name."""
    return _read("tables.toml")


def _read(file: str) -> Mapping[str, Shown]:
    entries = (Entry(file, name, table) for name, table in facts.entries(file).items())
    return MappingProxyType(
        {
            entry.name: Shown(
                entry.name,
                entry.text("title"),
                entry.optional("about"),
                str(entry.table.get("shown", "")),
            )
            for entry in entries
        }
    )
