"""What appeared when: the events that everybody names, and every dated card."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from fathom.catalog import facts
from fathom.catalog.models import Model, models
from fathom.errors import NotFoundError, nearest

_FILE = "timeline.toml"


@dataclass(frozen=True, slots=True)
class Event:
    """One line of the timeline.

    Attributes:
        date: year, month and day so far as they are known.
        card: the model that it is about.
        correction: where the usual telling is off.
    """

    date: str
    title: str
    card: str | None
    correction: str | None = None


@cache
def milestones() -> tuple[Event, ...]:
    """The nine years as usually told, each item with its card or its correction."""
    found = []
    for name, table in facts.entries(_FILE).items():
        found.append(
            Event(
                date=facts.wanted(table, "date", _FILE, name),
                title=facts.wanted(table, "title", _FILE, name),
                card=facts.optional(table, "card", _FILE, name),
                correction=facts.optional(table, "correction", _FILE, name),
            )
        )
    return tuple(found)


def timeline(*, model_class: str | None = None, family: str | None = None) -> tuple[Event, ...]:
    """Every model with a date, oldest first, of one class or family where asked."""
    chosen = [
        model
        for model in models().values()
        if (model_class is None or _word(model_class, "classes") in model.words("classes"))
        and (family is None or model.text("family") == _word(family, "family"))
    ]
    dated = [Event(_date(model), model.title, model.name) for model in chosen]
    return tuple(sorted(dated, key=lambda event: (event.date, event.title)))


def classes() -> Mapping[str, int]:
    """Class → how many cards carry it."""
    counts: dict[str, int] = {}
    for model in models().values():
        for name in model.words("classes"):
            counts[name] = counts.get(name, 0) + 1
    return counts


def _word(asked: str, field: str) -> str:
    """Return a class or family as cards spell it; else name the nearest."""
    known = {
        word
        for model in models().values()
        for word in (model.words(field) or (model.text(field) or "",))
        if word
    }
    spelled = {word.casefold(): word for word in known}
    if asked.casefold() not in spelled:
        kind = "class" if field == "classes" else field
        raise NotFoundError(
            f"No card has the {kind} '{asked}'.{nearest(asked, known)} "
            f"Known are: {', '.join(sorted(known, key=str.casefold))}."
        )
    return spelled[asked.casefold()]


def _date(model: Model) -> str:
    return model.text("released") or model.date
