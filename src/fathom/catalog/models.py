"""The models that the catalogue knows: one card each, every value with its source and date."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from types import MappingProxyType

from fathom.catalog import facts, licences, overlay
from fathom.catalog.facts import FIELDS, Fact, Table
from fathom.errors import CatalogError, NotFoundError, nearest

GRADES = ("measured here", "published", "for a relative", "self-reported")
_FIGURE = re.compile(r"(?:(?P<copies>\d+)x)?(?P<number>\d+(?:\.\d+)?)(?P<unit>[MBT])")
_UNITS = {"M": 10**6, "B": 10**9, "T": 10**12}
_PLAIN = {"title", "maker", "about", "source", "date", "models_dev"}
_NESTED = {"variants", "scores", "corrections", "elsewhere"}


@dataclass(frozen=True, slots=True)
class Variant:
    """One size of a model. Parameters are computed from its configuration where there is one.

    Attributes:
        stated: the publisher's figure in the publisher's rounding: "70B", "8x7B".
        total, active: parameters, computed; those of one token where they differ.
        config: an entry of configs.toml.
        inputs: kinds that it takes, where those are fewer than the card says; else empty.
    """

    name: str
    stated: str | None = None
    stated_active: str | None = None
    hub: str | None = None
    config: str | None = None
    inputs: tuple[str, ...] = ()
    total: int | None = None
    active: int | None = None

    @property
    def parameters(self) -> int | None:
        """All parameters: computed, or else as stated; unknown is None."""
        return self.total if self.total is not None else figure(self.stated)

    @property
    def active_parameters(self) -> int | None:
        """Parameters that one token passes: computed, or else as stated; all, if none is said."""
        if self.active is not None:
            return self.active
        return figure(self.stated_active) or self.parameters

    @property
    def disagreement(self) -> str | None:
        """What the publisher's figure and the configuration say differently, if they do."""
        if self.total is None or self.stated is None or _rounds_to(self.total, self.stated):
            return None
        said = figure(self.stated) or 1
        share = (self.total - said) / said
        return f"{self.name}: stated {self.stated}, computed {self.total:,} ({share:+.1%})"


@dataclass(frozen=True, slots=True)
class Score:
    """A quoted result, with how far it may be trusted (`GRADES`)."""

    test: str
    value: float
    unit: str
    grade: str
    source: str
    date: str


@dataclass(frozen=True, slots=True)
class Correction:
    """A claim that is often repeated, and what is true of it."""

    claim: str
    verdict: str


@dataclass(frozen=True)
class Model:
    """A card: what is known of a model, from where, and what is not.

    Attributes:
        facts: by the names of `facts.FIELDS`; one that is missing is unknown.
        elsewhere: what other sources say differently.
    """

    name: str
    title: str
    maker: str
    about: str
    source: str
    date: str
    facts: Mapping[str, Fact]
    variants: tuple[Variant, ...] = ()
    scores: tuple[Score, ...] = ()
    corrections: tuple[Correction, ...] = ()
    elsewhere: Mapping[str, tuple[Fact, ...]] = field(default_factory=dict)
    models_dev: str | None = None

    def text(self, name: str) -> str | None:
        """Return a text, such as the licence."""
        found = self.facts.get(name)
        return found.value if found is not None and isinstance(found.value, str) else None

    def number(self, name: str) -> int | None:
        """Return a number, such as the context in tokens."""
        found = self.facts.get(name)
        return found.value if found is not None and isinstance(found.value, int) else None

    def words(self, name: str) -> tuple[str, ...]:
        """Return a list, such as the classes."""
        found = self.facts.get(name)
        return found.value if found is not None and isinstance(found.value, tuple) else ()

    @property
    def missing(self) -> tuple[str, ...]:
        """Names of the facts that nobody has stated, parameters among them."""
        asked = [name for name in FIELDS if name not in self.facts and name not in _OPTIONAL]
        sized = any(variant.parameters for variant in self.variants)
        return (*asked, *(() if sized else ("parameters",)))

    def taken(self, variant: Variant) -> tuple[str, ...]:
        """Return the kinds of input that one size takes."""
        return variant.inputs or self.words("inputs")

    @property
    def open(self) -> bool:
        """Whether its weights can be had."""
        return self.text("openness") in ("open-source", "open-weights", "research-only")

    @property
    def smallest(self) -> int | None:
        """Parameters of the smallest variant whose size is known."""
        known = [variant.parameters for variant in self.variants if variant.parameters]
        return min(known, default=None)


# What a card may leave unsaid without anything being unknown.
_OPTIONAL = {
    *("family", "domain", "branch", "base", "tuned_from", "merged_from", "distilled_from"),
    *("parts", "api", "price", "arena_rating", "analysis_index"),
}


def models() -> Mapping[str, Model]:
    """Every card by its name, with what a local overlay says newer."""
    return _merged(overlay.read())


@cache
def shipped() -> Mapping[str, Model]:
    """Every card as shipped."""
    found: dict[str, Model] = {}
    for name in _files():
        for key, table in facts.entries(name).items():
            if key in found:
                raise CatalogError(name, f"{key} has a card already")
            found[key] = _model(name, key, table)
    return MappingProxyType(found)


def find(name: str) -> Model:
    """Return the card of a model by its name, title or repository; else offer the nearest."""
    known = models()
    if name in known:
        return known[name]
    index = _index(known)
    key = index.get(_plain(name))
    if key is None:
        raise NotFoundError(
            f"The catalogue has no card for '{name}'.{nearest(_plain(name), index)} "
            "`fathom models` lists all."
        )
    return known[key]


def match(name: str) -> str | None:
    """Return the name of the card that a source means by some spelling, or None."""
    return _spellings().get(_plain(name))


@cache
def _spellings() -> Mapping[str, str]:
    found = _index(shipped())
    for key, model in shipped().items():
        if model.models_dev:
            found[_plain(model.models_dev)] = key
    return found


def configuration(name: str) -> Mapping[str, object]:
    """Return a published configuration, as its ``config.json`` states it."""
    tables = facts.entries("configs.toml")
    if name not in tables:
        raise NotFoundError(f"configs.toml has no entry '{name}'.{nearest(name, tables)}")
    own = dict(tables[name])
    like = own.pop("like", None)
    return own if like is None else {**configuration(str(like)), **own}


def figure(stated: str | None) -> int | None:
    """Return the number that a publisher's figure means: "8x7B" is 56,000,000,000."""
    if stated is None:
        return None
    found = _FIGURE.fullmatch(stated)
    if found is None:
        raise ValueError(f"'{stated}' is no number of parameters, such as 7B, 1.3B or 8x7B")
    return round(int(found["copies"] or 1) * float(found["number"]) * _UNITS[found["unit"]])


def _rounds_to(number: int, stated: str) -> bool:
    """Whether a publisher who rounds would write a number so, give or take one in a hundred."""
    found = _FIGURE.fullmatch(stated)
    if found is None:
        return False
    digits = len(found["number"].partition(".")[2])
    step = _UNITS[found["unit"]] / 10**digits * int(found["copies"] or 1)
    said = figure(stated) or 1
    return bool(abs(number - said) <= max(step / 2, said / 100))


def _files() -> Iterator[str]:
    folder = files(__package__).joinpath("cards")
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.name.endswith(".toml"):
            yield f"cards/{entry.name}"


def _model(name: str, key: str, table: Table) -> Model:
    """Read one card; every fault names file, line and field."""
    text, _ = facts.document(name)
    source, date = (facts.wanted(table, part, name, key) for part in ("source", "date"))
    found: dict[str, Fact] = {}
    try:
        for part, content in table.items():
            if part not in _PLAIN | _NESTED:
                found[part] = facts.fact(part, content, source, date)
        part = "licence"
        if found.get(part) and found[part].value not in licences.licences():
            raise ValueError(f"is '{found[part].value}', which licences.toml does not have")
        part = "elsewhere"
        others = _others(table.get(part, {}), source, date)
        part = "variants"
        variants = tuple(_variant(row) for row in _rows(table, part))
        part = "scores"
        scores = tuple(_score(row, source, date) for row in _rows(table, part))
        part = "corrections"
        corrections = tuple(
            Correction(_text(row, "claim"), _text(row, "verdict")) for row in _rows(table, part)
        )
    except ValueError as error:
        line = facts.line_of(text, key, part)
        raise CatalogError(name, f"{key}: '{part}' {error}", line=line) from None
    return Model(
        name=key,
        title=facts.wanted(table, "title", name, key),
        maker=facts.wanted(table, "maker", name, key),
        about=facts.wanted(table, "about", name, key),
        source=source,
        date=date,
        facts=MappingProxyType(found),
        variants=variants,
        scores=scores,
        corrections=corrections,
        elsewhere=MappingProxyType(others),
        models_dev=facts.optional(table, "models_dev", name, key),
    )


def _rows(table: Table, part: str) -> list[Table]:
    rows = table.get(part, [])
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError("must be a list of tables")
    return rows


def _text(row: Table, key: str) -> str:
    value = row.get(key)
    if not isinstance(value, str) or not value:
        raise ValueError(f"has an entry whose '{key}' is no text")
    return value


def _variant(row: Table) -> Variant:
    if extra := set(row) - {"name", "stated", "stated_active", "hub", "config", "inputs"}:
        raise ValueError(f"has an entry with {sorted(extra)}, which says nothing")
    words = {key: _text(row, key) for key in row if key != "inputs"}
    inputs = row.get("inputs", [])
    if not isinstance(inputs, list) or not all(isinstance(kind, str) for kind in inputs):
        raise ValueError("has an entry whose 'inputs' are no list of texts")
    for key in ("stated", "stated_active"):
        figure(words.get(key))
    total: int | None = None
    active: int | None = None
    if "config" in words:
        total, active = _sizes(words["config"])
    return Variant(**words, inputs=tuple(inputs), total=total, active=active)


def _sizes(config: str) -> tuple[int, int]:
    """Return all parameters and those of one token, as computed from a configuration."""
    sizes = facts.entries("sizes.toml").get(config)
    if sizes is None:
        raise ValueError(
            f"names the configuration '{config}', whose size sizes.toml does not have; "
            "`python tests/catalog/sizes.py` computes it"
        )
    total, active = sizes["total"], sizes["active"]
    if not isinstance(total, int) or not isinstance(active, int):
        raise ValueError(f"names '{config}', whose size is no number")
    return total, active


def _score(row: Table, source: str, date: str) -> Score:
    value, grade = row.get("value"), _text(row, "grade")
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise ValueError("has an entry whose 'value' is no number")
    if grade not in GRADES:
        raise ValueError(f"has the grade '{grade}', which is none of {', '.join(GRADES)}")
    return Score(_text(row, "test"), float(value), _text(row, "unit"), grade, source, date)


def _others(content: object, source: str, date: str) -> dict[str, tuple[Fact, ...]]:
    if not isinstance(content, dict):
        raise ValueError("must be a table")
    return {name: (facts.fact(name, told, source, date),) for name, told in content.items()}


@cache
def _merged(lines: tuple[overlay.Line, ...]) -> Mapping[str, Model]:
    found = dict(shipped())
    for name in sorted({line.model for line in lines} - set(found)):
        warnings.warn(
            f"{overlay.place().name}: the catalogue has no model '{name}'; its lines say nothing",
            stacklevel=2,
        )
    for name, model in found.items():
        told = [line for line in lines if line.model == name]
        if told:
            found[name] = overlay.merge(model, told)
    return MappingProxyType(found)


def _index(known: Mapping[str, Model]) -> dict[str, str]:
    """Every spelling by which a model may be asked for."""
    index: dict[str, str] = {}
    for key, model in known.items():
        spellings = [key, model.title]
        for variant in model.variants:
            spellings.append(f"{key} {variant.name}")
            if variant.hub:
                spellings += [variant.hub, variant.hub.partition("/")[2]]
        spellings += [offer.partition("/")[2] for offer in model.words("api")]
        for spelling in spellings:
            index.setdefault(_plain(spelling), key)
    return index


def _plain(name: str) -> str:
    return re.sub(r"[\s_:/()]+", "-", name.strip().casefold()).strip("-")
