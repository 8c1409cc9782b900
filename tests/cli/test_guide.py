"""`fathom guide`: eleven comparisons, each with its rules."""

from __future__ import annotations

import json

import pytest

from fathom.catalog.guides import guides


def test_alone_it_lists_them(door) -> None:
    lines = door("guide")[1].splitlines()
    assert [line.split()[0] for line in lines] == list(guides())


@pytest.mark.parametrize("name", guides())
def test_every_guide_prints_sides_rules_and_verdict(door, name: str) -> None:
    code, out, err = door("guide", name)
    assert (code, err) == (0, "")
    guide = guides()[name]
    header = out.splitlines()[2]
    assert all(side.name in header for side in guide.sides)
    assert all(f"{rule.when}: {rule.choose}" in out for rule in guide.rules)
    assert f"verdict ({guide.verdict.state}" in out


def test_cards_fill_the_table(door) -> None:
    out = door("guide", "llama 3")[1]
    assert "8,030,261,248" in out and "Llama-3-Community" in out


def test_json_is_one_object(door) -> None:
    page = json.loads(door("guide", "code-llama", "--json")[1])
    assert page["guide"]["rules"] and page["cards"]["licence"]
    assert len(json.loads(door("guide", "--json")[1])["guides"]) == len(guides())


def test_an_unknown_guide_offers_the_nearest(door) -> None:
    code, out, err = door("guide", "lama")
    assert (code, out) == (2, "")
    assert "Did you mean" in err
