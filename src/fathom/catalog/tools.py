"""Tools, sites, benchmarks, data sets and articles: a short card each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from fathom.catalog import facts
from fathom.errors import CatalogError

KINDS = (
    *("site", "page", "survey", "article", "tool", "product", "library", "recipe"),
    *("benchmark", "dataset", "hardware", "editor", "web"),
)
_FILE = "tools.toml"


@dataclass(frozen=True, slots=True)
class Tool:
    """One card.

    Attributes:
        kind: one of `KINDS`.
        date: when it appeared, where that is known.
        here: the command of ours that does the like.
        correction: what is often said of it and is not so, or no longer.
    """

    name: str
    title: str
    kind: str
    about: str
    source: str
    date: str | None
    here: str | None
    correction: str | None


@cache
def tools() -> Mapping[str, Tool]:
    """All cards by name."""
    return {name: _tool(name, table) for name, table in facts.entries(_FILE).items()}


def _tool(name: str, table: facts.Table) -> Tool:
    kind = facts.wanted(table, "kind", _FILE, name)
    if kind not in KINDS:
        text, _ = facts.document(_FILE)
        detail = f"{name}: 'kind' is '{kind}', which is none of {', '.join(KINDS)}"
        raise CatalogError(_FILE, detail, line=facts.line_of(text, name, "kind"))
    return Tool(
        name=name,
        title=facts.wanted(table, "title", _FILE, name),
        kind=kind,
        about=facts.wanted(table, "about", _FILE, name),
        source=facts.wanted(table, "source", _FILE, name),
        date=facts.optional(table, "date", _FILE, name),
        here=facts.optional(table, "here", _FILE, name),
        correction=facts.optional(table, "correction", _FILE, name),
    )
