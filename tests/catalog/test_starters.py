"""The short names: every entry well formed, and every one really there."""

from __future__ import annotations

import re

import pytest

from fathom.catalog.starters import sources, starters
from fathom.checkpoint.sources.locate import locate
from fathom.checkpoint.sources.names import CatalogName, HubName, PackageName, parse, split_pin


@pytest.mark.parametrize("name", starters())
def test_an_entry_is_well_formed(name: str) -> None:
    entry = starters()[name]
    assert re.fullmatch(r"[a-z0-9.-]+:[a-z0-9.-]+", name)
    assert parse(name, starters()) == CatalogName(name)
    assert entry.name == name
    assert entry.bytes > 0
    assert all((entry.title, entry.maker, entry.model_class, entry.licence, entry.about))
    assert len(set(entry.sources)) == len(entry.sources) >= 2  # one to fall back on
    assert sources()[name] == entry.sources


@pytest.mark.parametrize("source", [s for entry in starters().values() for s in entry.sources])
def test_a_source_is_a_full_name(source: str) -> None:
    parsed = parse(split_pin(source)[0])
    assert isinstance(parsed, PackageName | HubName)
    if isinstance(parsed, PackageName):
        assert parsed.version is not None  # so that the same bytes come tomorrow


@pytest.mark.slow
@pytest.mark.parametrize("name", starters())
def test_the_first_source_brings_what_the_entry_says(name: str) -> None:
    entry = starters()[name]
    location = locate(entry.sources[0])
    assert location.size == entry.bytes
    found = location.path if location.path.is_file() else location.path / "config.json"
    assert found.is_file()
