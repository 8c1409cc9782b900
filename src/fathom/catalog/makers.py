"""Who makes models: name, country, year of founding."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from fathom.catalog import facts
from fathom.errors import CatalogError

_FILE = "makers.toml"


@dataclass(frozen=True, slots=True)
class Maker:
    """One maker; `country` and `founded` are None where nobody says."""

    name: str
    title: str
    country: str | None
    founded: int | None
    about: str | None


@cache
def makers() -> Mapping[str, Maker]:
    """All makers by the name that cards use."""
    found: dict[str, Maker] = {}
    for name, table in facts.entries(_FILE).items():
        founded = table.get("founded")
        if founded is not None and not isinstance(founded, int):
            text, _ = facts.document(_FILE)
            line = facts.line_of(text, name, "founded")
            raise CatalogError(_FILE, f"{name}: 'founded' must be a year", line=line)
        found[name] = Maker(
            name=name,
            title=facts.wanted(table, "title", _FILE, name),
            country=facts.optional(table, "country", _FILE, name),
            founded=founded,
            about=facts.optional(table, "about", _FILE, name),
        )
    return found
