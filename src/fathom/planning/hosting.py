"""Models that run on somebody else's machines: what is asked for a million tokens of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fathom.catalog import prices
from fathom.catalog.models import Model, Score, models
from fathom.checkpoint.storage import cache_folder
from fathom.planning.deciding import Wishes


@dataclass(frozen=True)
class Hosted:
    """One offer.

    Attributes:
        read, written: US dollars for a million tokens in and out.
        context: tokens that the model takes at most; None if nobody states it.
        scores: quoted results, with their grades.
    """

    model: str
    title: str
    offer: str
    read: float
    written: float
    context: int | None
    licence: str | None
    scores: tuple[Score, ...]
    source: str
    date: str


def offered(classes: Sequence[str], wishes: Wishes) -> tuple[Hosted, ...]:
    """Return the cheapest offer of each model of these classes, the cheapest answer first.

    A stated price, context and language are hard constraints; what nobody states does not pass.
    """
    wanted = set(classes)
    known = {
        offer.name: offer
        for offer in prices.offers(cache_folder())
        if {"input", "output"} <= offer.rates.keys()
    }
    found = []
    for model in models().values():
        if wanted & set(model.words("classes")) and model.words("api") and _fits(model, wishes):
            offer = _cheapest(model, known)
            if offer is not None and (wishes.price is None or offer.written <= wishes.price):
                found.append(offer)
    return tuple(sorted(found, key=lambda offer: (offer.written, offer.read, offer.model)))


def _fits(model: Model, wishes: Wishes) -> bool:
    context, languages = model.number("context_in"), (model.text("languages") or "").casefold()
    return (wishes.context is None or (context or 0) >= wishes.context) and all(
        language.casefold() in languages for language in wishes.languages
    )


def _cheapest(model: Model, known: Mapping[str, prices.Offer]) -> Hosted | None:
    """Return a model's offer with the lowest price of an answer; None if nobody states one."""
    listed = [known[name] for name in model.words("api") if name in known]
    if not listed:
        return None
    best = min(listed, key=lambda offer: (offer.rates["output"].base, offer.name))
    return Hosted(
        model=model.name,
        title=model.title,
        offer=best.name,
        read=best.rates["input"].base,
        written=best.rates["output"].base,
        context=model.number("context_in"),
        licence=model.text("licence"),
        scores=model.scores,
        source=best.source,
        date=best.date,
    )
