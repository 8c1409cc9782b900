"""The short names: a few models that a first command can name, read from ``starters.toml``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType

from fathom.catalog import facts


@dataclass(frozen=True, slots=True)
class Starter:
    """One entry: where the model may be found, and facts that its files do not state.

    `bytes` is the size on disk as the first source brings it.
    """

    name: str
    title: str
    maker: str
    model_class: str
    licence: str
    about: str
    bytes: int
    sources: tuple[str, ...]  # names that `checkpoint.names` reads, tried in order


@cache
def starters() -> Mapping[str, Starter]:
    """All entries by their short name, in the order of the file."""
    rows = facts.entries("starters.toml")
    return MappingProxyType({name: _starter(name, row) for name, row in rows.items()})


def sources() -> Mapping[str, tuple[str, ...]]:
    """Short name → sources, as `checkpoint.locate` takes them."""
    return {name: entry.sources for name, entry in starters().items()}


def _starter(name: str, row: Mapping[str, object]) -> Starter:
    def text(key: str) -> str:
        value = row[key]
        if not isinstance(value, str):
            raise TypeError(f"starters.toml: {key} of {name} must be text")
        return value

    size, places = row["bytes"], row["sources"]
    if not isinstance(size, int) or not isinstance(places, list):
        raise TypeError(f"starters.toml: bytes or sources of {name} has the wrong type")
    return Starter(
        name=name,
        title=text("title"),
        maker=text("maker"),
        model_class=text("model_class"),
        licence=text("licence"),
        about=text("about"),
        bytes=size,
        sources=tuple(str(place) for place in places),
    )
