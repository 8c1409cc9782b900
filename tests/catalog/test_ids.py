"""Every id of the list that the catalogue was made from leads to an entry."""

from __future__ import annotations

import pytest

from fathom.catalog.ids import KINDS, ids, names_of, resolve
from fathom.catalog.models import shipped
from fathom.catalog.tools import tools
from fathom.errors import NotFoundError

# How many of each letter the list has: open and closed models, tools and sites; classes,
# criteria, tables and diagrams.
COUNTS = {"M": 160, "X": 41, "S": 76, "C": 40, "P": 32, "D": 30}
ALL = [f"{letter}{n:03}" for letter, count in COUNTS.items() for n in range(1, count + 1)]


@pytest.mark.parametrize("key", ALL)
def test_every_id_is_answered(key: str) -> None:
    entry = resolve(key)
    assert entry.kind in KINDS
    assert entry.title
    assert key in names_of(f"{entry.kind}:{entry.name}")


def test_there_are_no_others() -> None:
    assert set(ids()) == set(ALL)


def test_what_the_list_names_has_one_card_each() -> None:
    for letters in ("MX", "S", "P", "D"):
        places = [place for key, place in ids().items() if key[0] in letters]
        assert len(places) == len(set(places))
    assert {place for key, place in ids().items() if key[0] == "S"} == {
        f"tool:{name}" for name in tools()
    }


@pytest.mark.parametrize("key", [key for key in ids() if key[0] in "MX"])
def test_open_and_closed_are_what_the_list_says(key: str) -> None:
    model = shipped()[resolve(key).name]
    if key[0] == "X":
        assert not model.open
    else:
        assert model.text("openness") != "closed"


def test_an_unknown_id() -> None:
    with pytest.raises(NotFoundError, match="Did you mean"):
        resolve("M0001")
