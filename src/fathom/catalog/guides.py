"""Variants of one family side by side on criteria, with a rule for each case and its evidence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType

from fathom.catalog import facts, models
from fathom.catalog.evidence import Entry, Evidence, Verdict, named
from fathom.catalog.facts import FIELDS
from fathom.catalog.models import GRADES, Model

FILE = "guides.toml"
FROM_CARDS = ("released", "context_in", "context_out", "licence")


@dataclass(frozen=True, slots=True)
class Side:
    """One variant: its name, its card where it is a model, and which size of it."""

    name: str
    card: str | None
    size: str | None


@dataclass(frozen=True, slots=True)
class Row:
    """One criterion and what each variant is by it, in their order; None is unknown."""

    criterion: str
    cells: tuple[str | None, ...]
    evidence: Evidence


@dataclass(frozen=True, slots=True)
class Selection:
    """Which variant to take when, and on what that rests."""

    when: str
    choose: str
    evidence: Evidence


@dataclass(frozen=True, slots=True)
class Guide:
    """A comparison of two to five variants."""

    name: str
    title: str
    words: tuple[str, ...]
    about: str
    sides: tuple[Side, ...]
    rows: tuple[Row, ...]
    rules: tuple[Selection, ...]
    verdict: Verdict

    def carded(self) -> tuple[tuple[str, tuple[str | None, ...]], ...]:
        """Return what the cards of the variants say: label, and a cell for each; None unknown."""
        return tuple(_carded(self.sides))


@cache
def guides() -> Mapping[str, Guide]:
    """All guides by name, in the order of the file."""
    entries = facts.entries(FILE)
    return MappingProxyType(
        {name: _guide(Entry(FILE, name, table)) for name, table in entries.items()}
    )


def find(name: str) -> Guide:
    """Return a guide by its name or one of its other words; else offer the nearest.

    Raises:
        NotFoundError: for an unknown name.
    """
    return named("guide", name, guides())


def _carded(sides: tuple[Side, ...]) -> Iterator[tuple[str, tuple[str | None, ...]]]:
    cards = [None if side.card is None else models.models()[side.card] for side in sides]
    sizes = tuple(_size(card, side.size) for card, side in zip(cards, sides, strict=True))
    if any(sizes):
        yield "parameters", sizes
    for field in FROM_CARDS:
        cells = tuple(None if card is None else _said(card, field) for card in cards)
        if any(cells):
            yield FIELDS[field].label, cells


def _said(card: Model, field: str) -> str | None:
    number = card.number(field)
    return card.text(field) if number is None else f"{number:,}"


def _size(card: Model | None, name: str | None) -> str | None:
    """Return the parameters of a size, all and those of one token where they differ."""
    if card is None:
        return None
    variant = next((one for one in card.variants if one.name == name), None)
    if variant is None or variant.parameters is None:
        return None
    total, active = variant.parameters, variant.active_parameters
    return f"{total:,}" if active in (None, total) else f"{total:,}, {active:,} per token"


def _guide(entry: Entry) -> Guide:
    sides = tuple(_side(entry, row) for row in entry.rows("variants"))
    if not 2 <= len(sides) <= 5:
        raise entry.fault("variants", "must be two to five")
    return Guide(
        name=entry.name,
        title=entry.text("title"),
        words=entry.words("words"),
        about=entry.text("about"),
        sides=sides,
        rows=tuple(_row(entry, row, len(sides)) for row in entry.rows("rows")),
        rules=tuple(_selection(entry, row) for row in entry.rows("rules")),
        verdict=entry.verdict(),
    )


def _side(entry: Entry, row: facts.Table) -> Side:
    inner = entry.row("variants", row)
    return Side(inner.text("name"), inner.optional("card") or None, inner.optional("size") or None)


def _row(entry: Entry, row: facts.Table, sides: int) -> Row:
    inner = entry.row("rows", row)
    cells = inner.words("cells")
    if len(cells) != sides:
        raise entry.fault("rows", f"has {len(cells)} cells for {sides} variants")
    criterion = inner.text("criterion")
    return Row(criterion, cells, _evidence(entry, inner, criterion))


def _selection(entry: Entry, row: facts.Table) -> Selection:
    inner = entry.row("rules", row)
    evidence = _evidence(entry, inner, inner.text("because"))
    return Selection(inner.text("when"), inner.text("choose"), evidence)


def _evidence(entry: Entry, inner: Entry, claim: str) -> Evidence:
    grade = inner.text("grade")
    if grade not in GRADES:
        raise entry.fault("rows", f"has the grade '{grade}', none of {', '.join(GRADES)}")
    return Evidence(claim, inner.text("source"), inner.text("date"), grade)
