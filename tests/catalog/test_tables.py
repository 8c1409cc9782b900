"""Makers, tools and licences: whole, and a fault is named by file, line and field."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from fathom.catalog import facts
from fathom.catalog.licences import licences
from fathom.catalog.makers import makers
from fathom.catalog.models import shipped
from fathom.catalog.prices import flat
from fathom.catalog.tools import KINDS, tools
from fathom.errors import CatalogError

FOUNDED = {
    "mistral": 2023,
    "groq": 2016,
    "cohere": 2019,
    "deepseek": 2023,
    "tencent": 1998,
    "xiaomi": 2010,
    "xai": 2023,
}


def test_every_maker_and_licence_is_used() -> None:
    assert {model.maker for model in shipped().values()} == set(makers())
    used = {model.text("licence") for model in shipped().values()} - {None}
    assert used == set(licences())


@pytest.mark.parametrize("name", FOUNDED)
def test_makers_are_as_old_as_they_say(name: str) -> None:
    assert makers()[name].founded == FOUNDED[name]


@pytest.mark.parametrize("name", tools())
def test_a_tool_says_what_it_is_and_where(name: str) -> None:
    tool = tools()[name]
    assert tool.kind in KINDS and tool.about.endswith(".")
    assert facts.address(tool.source).startswith("https://")


Case = tuple[Callable[[], object], str, str, str, int]
CASES: list[Case] = [
    (makers, '[a]\ntitle = "A"\nfounded = 1999\n', "1999", '"old"', 3),
    (makers, '[a]\ntitle = "A"\n', '"A"', "1", 2),
    (
        tools,
        '[a]\ntitle = "A"\nkind = "site"\nsource = "git:a/b"\nabout = "One."\n',
        '"site"',
        '"thing"',
        3,
    ),
    (licences, '[a]\ncommercial = "yes"\nabout = "Any."\n', '"yes"', '"maybe"', 2),
    (
        flat,
        '[a]\nunit = "page"\neach = 1.0\nsource = "git:a/b"\ndate = "2025"\n',
        "1.0",
        "-1.0",
        3,
    ),
]


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    yield
    for read in (makers, tools, licences, flat):
        read.cache_clear()


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[0].__name__}-{case[3]}")
def test_a_fault_is_named(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    read, good, old, new, line = case
    content = {"text": good}
    monkeypatch.setattr(
        facts, "document", lambda name: (content["text"], facts.parsed(name, content["text"]))
    )
    read.cache_clear()  # type: ignore[attr-defined]
    assert "a" in read()  # type: ignore[operator]
    content["text"] = good.replace(old, new)
    read.cache_clear()  # type: ignore[attr-defined]
    with pytest.raises(CatalogError, match=r"\.toml, line ") as refusal:
        read()
    assert refusal.value.line == line
