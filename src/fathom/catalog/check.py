"""What is stale, missing or contradictory in the catalogue."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date

from fathom.catalog import ids, lineage, overlay
from fathom.catalog.classes import classes
from fathom.catalog.makers import makers
from fathom.catalog.models import Model, models

KINDS = ("contradictory", "stale", "missing", "broken")
HOSTED_FOR_DAYS = 365  # after which a hosted model's limits and price may well have changed
_FIRST = "1950"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to look at: of which kind, on which card, and what is wrong."""

    kind: str
    card: str
    field: str
    detail: str


def findings(today: date | None = None) -> tuple[Finding, ...]:
    """Return everything found, contradictions first."""
    day = today or date.today()
    found = [
        finding
        for model in models().values()
        for finding in (*_contradictory(model), *_stale(model, day), *_missing(model))
    ]
    found += [*_broken(), *_strangers(overlay.read())]
    return tuple(sorted(found, key=lambda each: (KINDS.index(each.kind), each.card, each.field)))


def _contradictory(model: Model) -> Iterator[Finding]:
    for variant in model.variants:
        if variant.disagreement:
            yield Finding("contradictory", model.name, "parameters", variant.disagreement)
    for name, others in model.elsewhere.items():
        ours = model.facts.get(name)
        for other in others:
            said = "unknown" if ours is None else f"{ours.value} ({ours.source}, {ours.date})"
            detail = f"{said} against {other.value} ({other.source}, {other.date})"
            yield Finding("contradictory", model.name, name, detail)
    yield from _impossible(model)


def _impossible(model: Model) -> Iterator[Finding]:
    """Pairs of values of which one must be wrong."""
    released, known = model.text("released"), model.text("knowledge")
    shortest = min(len(released or ""), len(known or ""))
    if released and known and known[:shortest] > released[:shortest]:
        detail = f"knows until {known} but was released {released}"
        yield Finding("contradictory", model.name, "knowledge", detail)
    total, answer = model.number("context_in"), model.number("context_out")
    if total and answer and answer > total:
        detail = f"answers {answer:,} tokens in a context of {total:,}"
        yield Finding("contradictory", model.name, "context_out", detail)
    if released and released < _FIRST:
        yield Finding("contradictory", model.name, "released", f"released {released}")
    for variant in model.variants:
        parameters, active = variant.parameters, variant.active_parameters
        if parameters and active and active > parameters:
            detail = f"{variant.name}: more parameters active than there are"
            yield Finding("contradictory", model.name, "parameters", detail)


def _stale(model: Model, today: date) -> Iterator[Finding]:
    """Limits of hosted models change without a new name; their date must be near."""
    if model.open:
        return
    for name in ("context_in", "context_out"):
        fact = model.facts.get(name)
        if fact is not None and _age(fact.date, today) > HOSTED_FOR_DAYS:
            detail = f"told {fact.date}; `fathom catalog refresh` asks again"
            yield Finding("stale", model.name, name, detail)


def _missing(model: Model) -> Iterator[Finding]:
    for name in model.missing:
        if name == "parameters" and not model.open:
            continue  # makers of closed models do not publish it: unknown is the answer
        yield Finding("missing", model.name, name, "nobody is quoted for it")


def _broken() -> Iterator[Finding]:
    """References between data files that lead nowhere."""
    known, people, groups = models(), makers(), classes()
    for edge in lineage.edges():
        if edge.parent not in known:
            detail = f"names '{edge.parent}', which has no card"
            yield Finding("broken", edge.child, edge.kind, detail)
    for model in known.values():
        if model.maker not in people:
            detail = f"names '{model.maker}', which makers.toml does not have"
            yield Finding("broken", model.name, "maker", detail)
        for word in model.words("classes"):
            if word not in groups:
                detail = f"names '{word}', which classes.toml does not have"
                yield Finding("broken", model.name, "classes", detail)
    for key, place in ids.ids().items():
        kind, _, name = place.partition(":")
        if kind == "model" and name not in known:
            yield Finding("broken", key, "id", f"names '{name}', which has no card")


def _strangers(lines: Sequence[overlay.Line]) -> Iterator[Finding]:
    known = models()
    for line in lines:
        if line.model not in known:
            detail = "the overlay speaks of it, but it has no card"
            yield Finding("broken", line.model, line.field, detail)


def _age(told: str, today: date) -> int:
    """Return days since a date; one that is known only roughly counts from its end."""
    year, month, day = [*map(int, told.split("-")), 0, 0][:3]
    return (today - date(year, month or 12, day or 28)).days
