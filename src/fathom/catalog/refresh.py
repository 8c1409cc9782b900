"""What other catalogues say today, merged into this machine's overlay; each by a small adapter.

Nothing of theirs is shipped: the user asks them, under their terms, which every adapter names.
"""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

from fathom.catalog import overlay
from fathom.catalog.facts import Fact, Table, fact
from fathom.catalog.licences import licences
from fathom.catalog.models import match, shipped
from fathom.catalog.overlay import Line
from fathom.errors import FetchError, RequestError, nearest

TIMEOUT = 30  # seconds for one answer
_ABSENT = {401, 403, 404, 410}  # answers about one document, not about the source
LARGEST = 64 * 2**20  # bytes of one answer; models.dev's is 3 MB


class AbsentError(FetchError):
    """One document of a source that is not there, or not for everybody."""


@dataclass(frozen=True, slots=True)
class Adapter:
    """One source.

    Attributes:
        place: its address; answers lie below it.
        licence: under which its data may be used; "unknown" is kept on this machine only.
        key: the environment's name for the user's own key, where one is needed.
        read: asks and yields what is said: card, field and value.
    """

    name: str
    place: str
    licence: str
    note: str
    read: Callable[[Ask], Iterator[tuple[str, str, object]]]
    key: str | None = None


@dataclass(frozen=True, slots=True)
class Ask:
    """Asks one source: the path below its address gives a JSON document."""

    place: str
    headers: Mapping[str, str]

    def __call__(self, path: str) -> object:
        request = urllib.request.Request(self.place + path, headers=dict(self.headers))
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
                content = answer.read(LARGEST + 1)
        except urllib.error.HTTPError as error:
            error.close()
            kind = AbsentError if error.code in _ABSENT else FetchError
            raise kind(f"{self.place}{path} answers {error.code} {error.reason}") from None
        except (urllib.error.URLError, TimeoutError, OSError) as error:
            raise FetchError(
                f"{self.place} cannot be reached ({error}); the shipped catalogue stands"
            ) from None
        if len(content) > LARGEST:
            raise FetchError(f"{self.place}{path} sends more than {LARGEST:,} bytes; left aside")
        try:
            return json.loads(content)
        except ValueError:
            raise FetchError(f"{self.place}{path} does not send JSON; left aside") from None


@dataclass(frozen=True, slots=True)
class Report:
    """What one source gave.

    Attributes:
        changed: facts that are new or say something else than the card.
        left: facts that could not be read, each with the reason.
    """

    source: str
    licence: str
    facts: int
    changed: int
    left: tuple[str, ...]


def refresh(
    names: Sequence[str] = (), *, file: Path | None = None, places: Mapping[str, str] | None = None
) -> tuple[Report, ...]:
    """Ask the named sources (all that need no key, and those whose key is set) and merge.

    `places` sets other addresses, such as a mirror's. What a source said before is replaced.
    """
    from filelock import FileLock

    chosen = [_named(name) for name in names] if names else [a for a in ADAPTERS if _ready(a)]
    file = file or overlay.place()
    file.parent.mkdir(parents=True, exist_ok=True)
    reports = []
    with FileLock(f"{file}.lock"):
        lines = list(overlay.read(file))
        for adapter in chosen:
            place = (places or {}).get(adapter.name, adapter.place)
            told, left = _told(adapter, place)
            lines = [line for line in lines if line.fact.source != adapter.place] + told
            changed = sum(_differs(line) for line in told)
            reports.append(Report(adapter.name, adapter.licence, len(told), changed, left))
        overlay.write(lines, file)
    return tuple(reports)


def _named(name: str) -> Adapter:
    known = {adapter.name: adapter for adapter in ADAPTERS}
    if name not in known:
        raise RequestError(
            f"There is no source '{name}'.{nearest(name, known)} Known are: {', '.join(known)}."
        )
    adapter = known[name]
    if not _ready(adapter):
        raise RequestError(f"'{name}' needs a key of yours: set {adapter.key}")
    return adapter


def _ready(adapter: Adapter) -> bool:
    return adapter.key is None or bool(os.environ.get(adapter.key))


def _told(adapter: Adapter, place: str) -> tuple[list[Line], tuple[str, ...]]:
    """Ask one source; what does not pass as a fact is left aside with the reason."""
    headers = {"Accept": "application/json", "User-Agent": "fathom-models"}
    if adapter.key is not None:
        headers["x-api-key"] = os.environ.get(adapter.key, "")
    today = datetime.now(UTC).date().isoformat()
    lines: dict[tuple[str, str], Line] = {}
    left = []
    for card, field, value in adapter.read(Ask(place.rstrip("/"), headers)):
        if isinstance(value, AbsentError):
            left.append(f"{card}: {value}")
            continue
        content = {"is": value, "source": adapter.place, "date": today, "basis": "compared"}
        try:
            known = fact(field, content, "", "")
        except ValueError as error:
            left.append(f"{card}: '{field}' {error}")
            continue
        lines[card, field] = _joined(lines.get((card, field)), card, field, known, adapter)
    return list(lines.values()), tuple(left)


def _joined(old: Line | None, card: str, field: str, told: Fact, adapter: Adapter) -> Line:
    """Return a line; the prices of several offers of one card stand in one."""
    if old is not None and field == "price":
        both = (*cast("tuple[str, ...]", old.fact.value), *cast("tuple[str, ...]", told.value))
        told = Fact(tuple(dict.fromkeys(both)), told.source, told.date, told.basis)
    return Line(card, field, told, adapter.licence)


def _differs(line: Line) -> bool:
    ours = shipped()[line.model].facts.get(line.field)
    return ours is None or ours.value != line.fact.value


def _models_dev(ask: Ask) -> Iterator[tuple[str, str, object]]:
    """models.dev: limits, dates and modalities of models; prices of offers."""
    listed = {model.models_dev: key for key, model in shipped().items() if model.models_dev}
    for name, row in _tables(ask("/models.json")):
        card = listed.get(name)
        if card is not None:
            limit = _table(row.get("limit"))
            yield from _some(card, context_in=limit.get("context"), context_out=limit.get("output"))
            yield from _some(card, knowledge=row.get("knowledge"))
    offers = {offer: key for key, model in shipped().items() for offer in model.words("api")}
    for provider, row in _tables(ask("/api.json")):
        for model, told in _tables(row.get("models")):
            card = offers.get(f"{provider}/{model}")
            cost = _table(told.get("cost"))
            if card is not None and cost:
                yield card, "price", [_price(f"{provider}/{model}", cost)]


def _price(name: str, cost: Table) -> str:
    kinds = {"input": "input", "output": "output", "cached": "cache_read"}
    rates = [f"{ours}={cost[theirs]}" for ours, theirs in kinds.items() if theirs in cost]
    return " ".join([name, *rates])


def _hub(ask: Ask) -> Iterator[tuple[str, str, object]]:
    """The Hub: what a repository's own card declares."""
    spelled = {name.casefold(): name for name in licences()}
    for key, model in shipped().items():
        hub = next((variant.hub for variant in model.variants if variant.hub), None)
        if hub is None:
            continue
        try:
            card = _table(_table(ask(f"/api/models/{hub}")).get("cardData"))
        except AbsentError as error:
            yield key, "hub", error
            continue
        licence = str(card.get("license", "")).casefold()
        yield from _some(key, licence=spelled.get(licence))
        languages = card.get("language")
        if isinstance(languages, list) and languages:
            yield key, "languages", ", ".join(map(str, languages))
        bases = card.get("base_model")
        named = [bases] if isinstance(bases, str) else bases if isinstance(bases, list) else []
        known = [found for name in named if (found := match(str(name))) and found != key]
        if known:
            yield key, "base", known


def _arena(ask: Ask) -> Iterator[tuple[str, str, object]]:
    """Arena's published ratings of text models."""
    for name, row in _tables(_table(ask("/data/leaderboard-text.json")).get("full")):
        card, rating = match(name), row.get("rating")
        if card is not None and isinstance(rating, int | float):
            yield card, "arena_rating", round(rating)


def _analysis(ask: Ask) -> Iterator[tuple[str, str, object]]:
    """Artificial Analysis: its index of intelligence."""
    rows = _table(ask("/api/v2/data/llms/models")).get("data")
    for row in rows if isinstance(rows, list) else []:
        told = _table(row)
        card = match(str(told.get("slug", ""))) or match(str(told.get("name", "")))
        index = _table(told.get("evaluations")).get("artificial_analysis_intelligence_index")
        if card is not None and index is not None:
            yield card, "analysis_index", str(index)


def _some(card: str, **told: object) -> Iterator[tuple[str, str, object]]:
    for field, value in told.items():
        if value is not None:
            yield card, field, value


def _table(content: object) -> Table:
    return cast(Table, content) if isinstance(content, dict) else {}


def _tables(content: object) -> Iterator[tuple[str, Table]]:
    for key, row in _table(content).items():
        yield key, _table(row)


ADAPTERS: tuple[Adapter, ...] = (
    Adapter(
        "models.dev",
        "https://models.dev",
        "MIT",
        "Limits, dates and prices of hosted models, kept by volunteers.",
        _models_dev,
    ),
    Adapter(
        "hub",
        "https://huggingface.co",
        "each repository's own; the Hub's terms of service",
        "What publishers declare: licence, languages, base models.",
        _hub,
    ),
    Adapter(
        "arena",
        "https://raw.githubusercontent.com/lmarena/arena-catalog/main",
        "unknown",
        "No licence is given: the ratings stay on this machine.",
        _arena,
    ),
    Adapter(
        "artificial-analysis",
        "https://artificialanalysis.ai",
        "their own terms; not to be passed on",
        "Needs a key of yours; what it gives stays on this machine.",
        _analysis,
        key="ARTIFICIAL_ANALYSIS_API_KEY",
    ),
)
