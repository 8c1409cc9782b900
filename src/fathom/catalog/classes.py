"""The classes of models: what each is for, how it is recognised, what it is measured by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import cast

from fathom.catalog import facts
from fathom.catalog.facts import Fact, Field, Table
from fathom.errors import CatalogError, NotFoundError, nearest

FILE = "classes.toml"
SPEEDS = ("Very Fast", "Fast", "Medium", "Slow")
FIELDS: Mapping[str, Field] = {
    "focus": Field(str, "focus"),
    "inputs": Field(tuple, "input"),
    "outputs": Field(tuple, "output"),
    "size": Field(tuple, "parameters"),
    "speed": Field(str, "speed", SPEEDS),
    "best_for": Field(str, "best for"),
    "use": Field(str, "in short"),
    "strengths": Field(tuple, "strengths"),
    "weaknesses": Field(tuple, "weaknesses"),
    "examples": Field(tuple, "examples"),
    "recognised": Field(str, "recognised by"),
    "verb": Field(str, "verb"),
    "metric": Field(str, "measured by"),
    "verdict": Field(str, "our verdict"),
}
_OPTIONAL = {"verdict"}
_PLAIN = {"title", "source", "date", "words", "when", "runs"}


@dataclass(frozen=True, slots=True)
class Traits:
    """What a checkpoint shows of itself, from its card; None and empty are unknown.

    Attributes:
        kind: the class that its spec alone decides (`spec.classes`).
        template: whether it brings a chat template.
    """

    kind: str | None = None
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    context: int | None = None
    template: bool = False


@dataclass(frozen=True, slots=True)
class Predicate:
    """What a checkpoint must show to be of a class: all that is said here.

    Attributes:
        only: whether its outputs may be no others than `outputs`.
    """

    kinds: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    only: bool = False
    kinds_of_input: int = 1
    context_from: int = 0
    template: bool = False

    def holds(self, traits: Traits) -> bool:
        """Whether a checkpoint with these traits is of the class."""
        return (
            (not self.kinds or traits.kind in self.kinds)
            and set(self.inputs) <= set(traits.inputs)
            and set(self.outputs) <= set(traits.outputs)
            and not set(self.without) & set(traits.inputs)
            and not (self.only and set(traits.outputs) - set(self.outputs))
            and len(set(traits.inputs)) >= (self.kinds_of_input if self.kinds_of_input > 1 else 0)
            and (traits.context or 0) >= self.context_from
            and traits.template >= self.template
        )


@dataclass(frozen=True)
class ModelClass:
    """One class. Every value of `facts` has its source and date.

    Attributes:
        words: other names by which it is asked for.
        when: the predicate; None where only its publisher can tell.
        runs: whether its verb works today.
    """

    name: str
    title: str
    words: tuple[str, ...]
    facts: Mapping[str, Fact]
    when: Predicate | None
    runs: bool

    def text(self, field: str) -> str:
        """Return a value in words: lists are joined; empty where there is none."""
        if field not in self.facts:
            return ""
        value = self.facts[field].value
        if field == "size":
            return "-".join(cast("tuple[str, ...]", value))
        return ", ".join(value) if isinstance(value, tuple) else str(value)

    def listed(self, field: str) -> tuple[str, ...]:
        """Return a value that is a list."""
        value = self.facts[field].value
        return value if isinstance(value, tuple) else (str(value),)


@cache
def classes() -> Mapping[str, ModelClass]:
    """All classes by name, in the order of the file."""
    found = {name: _class(name, table) for name, table in facts.entries(FILE).items()}
    return MappingProxyType(found)


def find(name: str) -> ModelClass:
    """Return the class that a name or one of its other words means; else offer the nearest.

    Raises:
        NotFoundError: for an unknown name.
    """
    known = classes()
    key = _index().get(_plain(name))
    if key is None:
        words = [*known, *(word for one in known.values() for word in (one.title, *one.words))]
        raise NotFoundError(
            f"There is no class '{name}'.{nearest(name, words)} `fathom classes` lists all."
        )
    return known[key]


def recognised(traits: Traits) -> tuple[str, ...]:
    """Return every class whose predicate holds, in the order of the file."""
    return tuple(
        name
        for name, entry in classes().items()
        if entry.when is not None and entry.when.holds(traits)
    )


@cache
def _index() -> Mapping[str, str]:
    index = {_plain(name): name for name in classes()}
    for name, entry in classes().items():
        for word in (entry.title, *entry.words):
            index.setdefault(_plain(word), name)
    return index


def _plain(name: str) -> str:
    return name.strip().casefold().replace("-", " ")


def _class(name: str, table: Table) -> ModelClass:
    """Read one entry; every fault names file, line and field."""
    source, date = (facts.wanted(table, part, FILE, name) for part in ("source", "date"))
    found: dict[str, Fact] = {}
    part = ""
    try:
        for part, content in table.items():
            if part not in _PLAIN:
                found[part] = facts.fact(part, _listed(part, content), source, date, FIELDS)
        part = "when"
        when = _predicate(table.get(part))
        part = "words"
        words = facts.fact(part, table.get(part, []), source, date, {part: Field(tuple, part)})
        if missing := sorted(set(FIELDS) - set(found) - _OPTIONAL):
            part = missing[0]
            raise ValueError("is missing")
    except ValueError as error:
        text, _ = facts.document(FILE)
        line = facts.line_of(text, name, part) or facts.line_of(text, name)
        raise CatalogError(FILE, f"{name}: '{part}' {error}", line=line) from None
    return ModelClass(
        name=name,
        title=facts.wanted(table, "title", FILE, name),
        words=cast("tuple[str, ...]", words.value),
        facts=MappingProxyType(found),
        when=when,
        runs=table.get("runs") is True,
    )


def _listed(part: str, content: object) -> object:
    """A size may be one figure in place of two."""
    return [content] if part == "size" and isinstance(content, str) else content


def _predicate(content: object) -> Predicate | None:
    if content is None:
        return None
    if not isinstance(content, dict) or set(content) - set(Predicate.__slots__):
        raise ValueError(f"may hold {', '.join(Predicate.__slots__)} and nothing else")
    words = {key: tuple(part) for key, part in content.items() if isinstance(part, list)}
    return Predicate(**{**content, **words})
