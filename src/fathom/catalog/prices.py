"""What hosted models cost, and what a stated mix of tokens costs on each.

The prices are those of the package ``genai-prices`` (MIT), which takes over half a second to
import: what is wanted of it is kept as a small file, one per version of the package and day.
prices.toml holds what the package lacks, and a second source to compare with.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, cast

from fathom.catalog import facts
from fathom.catalog.models import Model, models
from fathom.errors import CatalogError, RequestError, nearest

if TYPE_CHECKING:
    from genai_prices.types import ModelPrice

PACKAGE = "genai-prices"
_KINDS: Mapping[str, str] = {  # ours → the package's
    "input": "input_mtok",
    "output": "output_mtok",
    "cached": "cache_read_mtok",
}
_ORDERS = {"": 1, "k": 10**3, "m": 10**6, "b": 10**9}
_MILLION = 10**6
_FILE = "prices.toml"


@dataclass(frozen=True, slots=True)
class Rate:
    """US dollars for a million tokens; from `tiers[i][0]` tokens of one request on, another."""

    base: float
    tiers: tuple[tuple[int, float], ...] = ()

    def at(self, request: int | None) -> float:
        """Return the rate for a request of so many input tokens; the base if that is not said."""
        reached = [rate for start, rate in self.tiers if request is not None and request > start]
        return reached[-1] if reached else self.base


@dataclass(frozen=True, slots=True)
class Offer:
    """What one provider asks for one model, as one source tells it."""

    provider: str
    model: str
    rates: Mapping[str, Rate]
    source: str
    date: str

    @property
    def name(self) -> str:
        """ "provider/model", as cards name it."""
        return f"{self.provider}/{self.model}"


@dataclass(frozen=True, slots=True)
class Workload:
    """A mix of tokens.

    Attributes:
        input, cached: tokens read anew, and from the provider's cache beside them.
        output, reasoning: tokens of the answer, and those thought before it, billed alike.
        requests: how many requests they are spread over; decides which tier applies.
    """

    input: int = 0
    output: int = 0
    cached: int = 0
    reasoning: int = 0
    requests: int | None = None


@dataclass(frozen=True, slots=True)
class Quote:
    """What a workload costs by one offer, in US dollars, term by term."""

    offer: Offer
    card: str | None
    total: float
    terms: Mapping[str, float]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Disagreement:
    """Two sources that name different rates for the same offer."""

    offer: str
    kind: str
    told: tuple[tuple[str, str, float], ...]  # source, date, US dollars per million tokens


def workload(text: str) -> Workload:
    """Read "in=1M,out=200k,cached=0,reasoning=50k,requests=100"."""
    names = {"in": "input", "out": "output", "input": "input", "output": "output"}
    names |= {key: key for key in ("cached", "reasoning", "requests")}
    found: dict[str, int] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        key, _, amount = part.partition("=")
        if key not in names:
            raise RequestError(
                f"A workload has no '{key}'.{nearest(key, names)} "
                "Write it as in=1M,out=200k,cached=0,reasoning=50k,requests=100"
            )
        if names[key] in found:
            raise RequestError(f"The workload names '{key}' twice; name it once")
        found[names[key]] = _amount(key, amount)
    if not any(found.get(key) for key in ("input", "output", "cached", "reasoning")):
        raise RequestError("The workload has no tokens; write it as in=1M,out=200k")
    if found.get("requests") == 0:
        raise RequestError("'requests' must be above zero, or left out")
    return Workload(**found)


def _amount(key: str, text: str) -> int:
    order = text[-1:].casefold() if text[-1:].isalpha() else ""
    digits = text[: len(text) - len(order)].replace("_", "")
    try:
        number = float(digits) * _ORDERS[order]
    except (ValueError, KeyError):
        raise RequestError(
            f"'{key}={text}' is no number of tokens; write 1500, 200k, 1.5M or 2B"
        ) from None
    if not 0 <= number < float("inf"):
        raise RequestError(f"'{key}={text}' must not be below zero")
    return round(number)


def offers(folder: Path | None = None) -> tuple[Offer, ...]:
    """Every offer: the package's first, then ours where it has none.

    `folder` is where the package's prices are kept between calls; without one they are read anew.
    """
    packaged = packaged_offers(folder)
    names = {offer.name for offer in packaged}
    return (*packaged, *(offer for offer in others() if offer.name not in names))


def others() -> tuple[Offer, ...]:
    """The offers of prices.toml and of a local overlay that are counted in tokens."""
    merged = [
        _told(text, fact.source, fact.date)
        for model in models().values()
        for fact in [model.facts.get("price"), *model.elsewhere.get("price", ())]
        if fact is not None
        for text in cast("tuple[str, ...]", fact.value)
    ]
    return (*_ours(), *merged)


def quote(
    load: Workload, asked: Iterable[Offer], cards: Mapping[str, str] | None = None
) -> tuple[Quote, ...]:
    """Return what a workload costs by each offer that has the rates for it, cheapest first."""
    named = card_names() if cards is None else cards
    found = [_quote(load, offer, named.get(offer.name)) for offer in asked]
    return tuple(sorted(filter(None, found), key=lambda each: (each.total, each.offer.name)))


def _quote(load: Workload, offer: Offer, card: str | None) -> Quote | None:
    if "input" not in offer.rates:
        return None
    answer = load.output + load.reasoning
    if answer and "output" not in offer.rates:
        return None
    size = None if load.requests is None else (load.input + load.cached) // load.requests
    notes = []
    if size is None and any(rate.tiers for rate in offer.rates.values()):
        starts = min(start for rate in offer.rates.values() for start, _ in rate.tiers)
        notes.append(f"a request of over {starts:,} tokens costs more; say requests=…")
    cached = offer.rates.get("cached")
    if load.cached and cached is None:
        notes.append("no price for cached input: charged as input")
        cached = offer.rates["input"]
    terms = {"input": load.input * offer.rates["input"].at(size) / _MILLION}
    if load.cached and cached is not None:
        terms["cached"] = load.cached * cached.at(size) / _MILLION
    for kind, tokens in (("output", load.output), ("reasoning", load.reasoning)):
        if tokens:
            terms[kind] = tokens * offer.rates["output"].at(size) / _MILLION
    return Quote(offer, card, sum(terms.values()), terms, tuple(notes))


def disagreements(asked: Sequence[Offer]) -> tuple[Disagreement, ...]:
    """Return where two sources name different base rates for the same of these offers."""
    others_by_name: dict[str, list[Offer]] = {}
    for offer in others():
        others_by_name.setdefault(offer.name, []).append(offer)
    found = []
    for offer in asked:
        for second in others_by_name.get(offer.name, []):
            found += [
                _difference(offer, second, kind)
                for kind in _KINDS
                if kind in offer.rates
                and kind in second.rates
                and offer.rates[kind].base != second.rates[kind].base
            ]
    return tuple(found)


def _difference(first: Offer, second: Offer, kind: str) -> Disagreement:
    told = tuple((each.source, each.date, each.rates[kind].base) for each in (first, second))
    return Disagreement(first.name, kind, told)


def card_names() -> Mapping[str, str]:
    """ "provider/model" → the name of the card that lists it."""
    return {offer: model.name for model in models().values() for offer in model.words("api")}


def of_model(model: Model, folder: Path | None = None) -> tuple[Offer, ...]:
    """Return the offers that a card lists."""
    listed = set(model.words("api"))
    if not listed:
        return ()
    return tuple(offer for offer in offers(folder) if offer.name in listed)


@dataclass(frozen=True, slots=True)
class Flat:
    """A price that is not for tokens: `each` US dollars per `unit`."""

    name: str
    unit: str
    each: float
    source: str
    date: str
    note: str | None


@cache
def flat() -> Mapping[str, Flat]:
    """Prices that are not for tokens, by "provider/model"."""
    found = {}
    for name, table in facts.entries(_FILE).items():
        if "unit" in table:
            found[name] = Flat(
                name,
                facts.wanted(table, "unit", _FILE, name),
                _dollars(table, "each", name),
                facts.wanted(table, "source", _FILE, name),
                facts.wanted(table, "date", _FILE, name),
                facts.optional(table, "note", _FILE, name),
            )
    return found


@cache
def _ours() -> tuple[Offer, ...]:
    found = []
    for name, table in facts.entries(_FILE).items():
        rates = {kind: Rate(_dollars(table, kind, name)) for kind in _KINDS if kind in table}
        if rates:
            provider, _, model = name.partition("/")
            source, date = (facts.wanted(table, key, _FILE, name) for key in ("source", "date"))
            found.append(Offer(provider, model, rates, source, date))
    return tuple(found)


def _dollars(table: facts.Table, key: str, name: str) -> float:
    value = table.get(key)
    if not isinstance(value, int | float) or isinstance(value, bool) or value < 0:
        text, _ = facts.document(_FILE)
        line = facts.line_of(text, name, key)
        raise CatalogError(_FILE, f"{name}: '{key}' must be US dollars", line=line)
    return float(value)


def _told(text: str, source: str, date: str) -> Offer:
    """Read "provider/model input=2.5 output=10", the form in which an overlay holds a price."""
    name, *pairs = text.split()
    provider, _, model = name.partition("/")
    rates = {}
    for pair in pairs:
        kind, _, amount = pair.partition("=")
        try:
            rates[kind] = Rate(float(amount))
        except ValueError:
            raise CatalogError("overlay", f"'{text}' is no price; renew it by a refresh") from None
    return Offer(provider, model, rates, source, date)


def packaged_offers(folder: Path | None = None) -> tuple[Offer, ...]:
    """Return what the package says today, from the kept file where there is one."""
    now = datetime.now(UTC)
    if folder is None:
        return _read_package(now)
    stamp = f"{version(PACKAGE)}-{now.date().isoformat()}"
    kept = folder / f"prices-{stamp}.json"
    try:
        return tuple(_loaded(row) for row in json.loads(kept.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, KeyError):
        found = _read_package(now)  # no file yet, or one that another program has damaged
    _keep(found, kept)
    return found


def _keep(found: tuple[Offer, ...], kept: Path) -> None:
    """Write the file for the next call; where that cannot be, the next call reads anew."""
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        beside = kept.with_name(f"{kept.name}.{os.getpid()}")
        beside.write_text(json.dumps([asdict(offer) for offer in found]), encoding="utf-8")
        beside.replace(kept)
        for old in kept.parent.glob("prices-*.json"):
            if old != kept:
                old.unlink(missing_ok=True)
    except OSError:
        return


def _loaded(row: dict[str, object]) -> Offer:
    rates = cast("dict[str, dict[str, list[list[float]] | float]]", row["rates"])
    return Offer(
        provider=str(row["provider"]),
        model=str(row["model"]),
        rates={kind: _rate(told) for kind, told in rates.items()},
        source=str(row["source"]),
        date=str(row["date"]),
    )


def _rate(told: Mapping[str, list[list[float]] | float]) -> Rate:
    tiers = cast("list[list[float]]", told["tiers"])
    base = cast("float", told["base"])
    return Rate(base, tuple((int(start), rate) for start, rate in tiers))


def _read_package(now: datetime) -> tuple[Offer, ...]:
    from genai_prices.data import providers

    date = now.date().isoformat()
    source = f"{PACKAGE} {version(PACKAGE)}"
    found = []
    for provider in providers:
        for model in provider.models:
            rates = _rates(model.get_prices(now))
            if rates:
                found.append(Offer(provider.id, model.id, rates, source, date))
    return tuple(found)


def _rates(price: ModelPrice) -> dict[str, Rate]:
    rates = {}
    for kind, theirs in _KINDS.items():
        told = getattr(price, theirs, None)
        if told is None:
            continue
        tiers = getattr(told, "tiers", ())
        base = getattr(told, "base", told)
        rates[kind] = Rate(float(base), tuple((tier.start, float(tier.price)) for tier in tiers))
    return rates
