"""What the check of the catalogue finds, each on a card made for it, beside one that is sound."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from fathom.catalog import check
from fathom.catalog.check import KINDS, findings
from fathom.catalog.facts import Fact
from fathom.catalog.models import Model, Variant, models, shipped

SOUND = shipped()["mistral-7b"]
TODAY = date(2026, 11, 21)


def _fact(value: object, told: str = "2026-06") -> Fact:
    return Fact(value, "arxiv:1", told)  # type: ignore[arg-type]


def _changed(**told: Fact) -> Model:
    return replace(SOUND, facts={**SOUND.facts, **told})


FAULTY = [
    ("contradictory", "knowledge", _changed(knowledge=_fact("2024-01"))),
    ("contradictory", "context_out", _changed(context_out=_fact(9000))),
    ("contradictory", "released", _changed(released=_fact("1919"))),
    (
        "contradictory",
        "parameters",
        replace(SOUND, variants=(Variant("x", stated="7B", stated_active="9B"),)),
    ),
    (
        "contradictory",
        "parameters",
        replace(SOUND, variants=(Variant("x", stated="9B", total=7 * 10**9),)),
    ),
    ("contradictory", "licence", replace(SOUND, elsewhere={"licence": (_fact("MIT"),)})),
    ("stale", "context_in", _changed(openness=_fact("closed"), context_in=_fact(8, "2024"))),
    (
        "missing",
        "languages",
        replace(SOUND, facts={n: f for n, f in SOUND.facts.items() if n != "languages"}),
    ),
    ("missing", "parameters", replace(SOUND, variants=())),
    ("broken", "base", _changed(base=_fact(("nobody",)))),
    ("broken", "classes", _changed(classes=_fact(("nothing",)))),
    ("broken", "maker", replace(SOUND, maker="nobody")),
]


def _found(model: Model, monkeypatch: pytest.MonkeyPatch) -> set[tuple[str, str]]:
    cards = {**shipped(), model.name: model}
    for place in ("fathom.catalog.check.models", "fathom.catalog.lineage.models"):
        monkeypatch.setattr(place, lambda: cards)
    return {(f.kind, f.field) for f in findings(TODAY) if f.card == model.name}


@pytest.mark.parametrize(("kind", "field", "model"), FAULTY)
def test_a_fault_is_found(
    kind: str, field: str, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (kind, field) in _found(model, monkeypatch)
    assert (kind, field) not in _found(SOUND, monkeypatch)


def test_the_shipped_catalogue_has_no_broken_reference() -> None:
    assert not [found for found in findings(TODAY) if found.kind == "broken"]


def test_findings_come_in_order_and_name_cards() -> None:
    found = findings(TODAY)
    assert [KINDS.index(each.kind) for each in found] == sorted(
        KINDS.index(each.kind) for each in found
    )
    assert {each.card for each in found} <= set(models())


def test_the_size_of_a_closed_model_is_not_missed() -> None:
    missing = {(f.card, f.field) for f in findings(TODAY) if f.kind == "missing"}
    assert ("gpt-4", "parameters") not in missing
    assert ("gpt-4", "languages") in missing


@pytest.mark.parametrize(("told", "days"), [("2026-11-20", 1), ("2026-10", 24), ("2025", 328)])
def test_a_rough_date_counts_from_its_end(told: str, days: int) -> None:
    assert check._age(told, TODAY) == days
