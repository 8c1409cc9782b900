"""The list that the catalogue was made from: every id of it leads to an entry.

A kind of entry is answered by one function, found by a lazy table, so that asking for a model
does not read the classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module

from fathom.catalog import facts
from fathom.errors import CatalogError, NotFoundError, nearest

# kind → "module:function"; the function takes no argument and returns entries by name, each of
# which has a `title`.
KINDS: Mapping[str, str] = {
    "model": "fathom.catalog.models:models",
    "tool": "fathom.catalog.tools:tools",
    "class": "fathom.catalog.classes:classes",
    "criterion": "fathom.catalog.criteria:criteria",
    "table": "fathom.catalog.criteria:tables",
}


@dataclass(frozen=True, slots=True)
class Entry:
    """What an id leads to: the kind, the name within it, and the thing itself."""

    id: str
    kind: str
    name: str
    title: str
    content: object


@cache
def ids() -> Mapping[str, str]:
    """Id → "kind:name", as ids.toml lists them."""
    _, table = facts.document("ids.toml")
    found: dict[str, str] = {}
    for key, place in table.items():
        if not isinstance(place, str) or place.partition(":")[0] not in KINDS:
            raise CatalogError("ids.toml", f"{key} must be text such as 'model:llama-2'")
        found[key] = place
    return found


def resolve(key: str) -> Entry:
    """Return the entry that an id leads to."""
    places = ids()
    if key not in places:
        raise NotFoundError(f"There is no id '{key}'.{nearest(key, places)}")
    kind, _, name = places[key].partition(":")
    known = _entries(kind)
    if name not in known:
        raise CatalogError("ids.toml", f"{key} names the {kind} '{name}', which does not exist")
    content = known[name]
    return Entry(key, kind, name, str(getattr(content, "title", name)), content)


def names_of(entry: str) -> tuple[str, ...]:
    """Return the ids that lead to "kind:name"."""
    return tuple(key for key, place in ids().items() if place == entry)


def _entries(kind: str) -> Mapping[str, object]:
    module, _, function = KINDS[kind].partition(":")
    found: Mapping[str, object] = getattr(import_module(module), function)()
    return found
