"""Licences by the name that cards use, and whether they allow commercial use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from fathom.catalog import facts
from fathom.errors import CatalogError

COMMERCIAL = ("yes", "conditions", "no")


@dataclass(frozen=True, slots=True)
class Licence:
    """One licence.

    Attributes:
        spdx: whether the name is of the SPDX list.
        commercial: "yes", "conditions" or "no"; `about` says which conditions.
    """

    name: str
    spdx: bool
    commercial: str
    about: str


@cache
def licences() -> Mapping[str, Licence]:
    """All licences by name."""
    file = "licences.toml"
    found: dict[str, Licence] = {}
    for name, table in facts.entries(file).items():
        commercial = facts.wanted(table, "commercial", file, name)
        if commercial not in COMMERCIAL:
            text, _ = facts.document(file)
            detail = f"{name}: 'commercial' is none of {', '.join(COMMERCIAL)}"
            raise CatalogError(file, detail, line=facts.line_of(text, name, "commercial"))
        found[name] = Licence(
            name, table.get("spdx") is True, commercial, facts.wanted(table, "about", file, name)
        )
    return found
