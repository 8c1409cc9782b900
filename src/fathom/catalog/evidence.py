"""What a rule of the catalogue answers and stands on: choices, dated evidence, our verdict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, TypeVar

from fathom.catalog import facts
from fathom.catalog.facts import Table
from fathom.catalog.models import GRADES
from fathom.errors import CatalogError, NotFoundError, nearest

STATES = ("holds", "aged", "wrong")
# Answers that are no class: no foundation model, several of them, or any of fewer bits.
APART: Mapping[str, str] = {
    "none": "no foundation model",
    "several": "several",
    "quantised": "quantised",
}


@dataclass(frozen=True, slots=True)
class Choice:
    """One answer: a class by its name, or a word of `APART`; and how it is meant."""

    model_class: str
    how: str = ""

    def __str__(self) -> str:
        """Return it as a reader meets it: 'VLM (frame by frame)'."""
        name = APART.get(self.model_class, self.model_class)
        if self.model_class == "quantised":
            return f"{name} {self.how}"
        return f"{name} ({self.how})" if self.how else name


@dataclass(frozen=True, slots=True)
class Evidence:
    """A claim that a rule rests on, how far it may be trusted, and where it stands."""

    claim: str
    source: str
    date: str
    grade: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What we make of a rule today: it holds, has aged, or is wrong; and why."""

    state: str
    says: str
    source: str
    date: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One table of a data file, read with faults that name file, line and field."""

    file: str
    name: str
    table: Table

    def fault(self, field: str, detail: str) -> CatalogError:
        """Return the error for a field that is not as it should be."""
        text, _ = facts.document(self.file)
        line = facts.line_of(text, self.name, field) or facts.line_of(text, self.name)
        return CatalogError(self.file, f"{self.name}: '{field}' {detail}", line=line)

    def text(self, field: str) -> str:
        """Return a text that must be there."""
        return facts.wanted(self.table, field, self.file, self.name)

    def optional(self, field: str) -> str:
        """Return a text, empty where there is none."""
        return facts.optional(self.table, field, self.file, self.name) or ""

    def words(self, field: str) -> tuple[str, ...]:
        """Return a list of texts, empty where there is none."""
        value = self.table.get(field, [])
        if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
            raise self.fault(field, "must be a list of texts")
        return tuple(value)

    def mapping(self, field: str) -> dict[str, str]:
        """Return a table of texts, empty where there is none."""
        value = self.table.get(field, {})
        if not isinstance(value, dict) or not all(isinstance(word, str) for word in value.values()):
            raise self.fault(field, "must be a table of texts")
        return dict(value)

    def rows(self, field: str) -> list[Table]:
        """Return a list of tables, empty where there is none."""
        value = self.table.get(field, [])
        if not isinstance(value, list) or not all(isinstance(row, dict) for row in value):
            raise self.fault(field, "must be a list of tables")
        return value

    def row(self, field: str, content: object) -> Entry:
        """Return a table inside this one as an entry of its own."""
        if not isinstance(content, dict):
            raise self.fault(field, "must be a table")
        return Entry(self.file, self.name, content)

    def choices(self, field: str) -> tuple[Choice, ...]:
        """Return the answers of a rule, in order."""
        value = self.table.get(field, [])
        if not isinstance(value, list):
            raise self.fault(field, "must be a list of classes")
        return tuple(self._choice(field, content) for content in value)

    def evidence(self, field: str = "evidence") -> tuple[Evidence, ...]:
        """Return the evidence of a rule, each with its grade."""
        return tuple(self._evidence(field, row) for row in self.rows(field))

    def verdict(self, field: str = "verdict") -> Verdict:
        """Return our verdict on a rule."""
        inner = self.row(field, self.table.get(field))
        state = inner.text("state")
        if state not in STATES:
            raise self.fault(field, f"has the state '{state}', none of {', '.join(STATES)}")
        return Verdict(state, inner.text("says"), inner.text("source"), inner.text("date"))

    def _choice(self, field: str, content: object) -> Choice:
        if isinstance(content, str):
            return Choice(content)
        inner = self.row(field, content)
        return Choice(inner.text("class"), inner.optional("how"))

    def _evidence(self, field: str, row: Table) -> Evidence:
        inner = self.row(field, row)
        grade = inner.text("grade")
        if grade not in GRADES:
            raise self.fault(field, f"has the grade '{grade}', none of {', '.join(GRADES)}")
        return Evidence(inner.text("claim"), inner.text("source"), inner.text("date"), grade)


def plain(name: str) -> str:
    """Return a name as it is compared: without case, hyphens and doubled spaces."""
    return " ".join(name.casefold().replace("-", " ").replace("_", " ").split())


class Known(Protocol):
    """An entry that has a title and other words for itself."""

    @property
    def title(self) -> str: ...
    @property
    def words(self) -> tuple[str, ...]: ...


K = TypeVar("K", bound=Known)


def named(what: str, name: str, known: Mapping[str, K]) -> K:
    """Return the entry that a name, a title or one of its other words means.

    Names come before words, and earlier entries before later ones.

    Raises:
        NotFoundError: for an unknown name, offering the nearest.
    """
    spellings = [(key, key) for key in known]
    spellings += [
        (word, key) for key, entry in known.items() for word in (entry.title, *entry.words)
    ]
    index = {plain(word): key for word, key in reversed(spellings)}
    found = index.get(plain(name))
    if found is None:
        raise NotFoundError(
            f"There is no {what} '{name}'.{nearest(name, [word for word, _ in spellings])} "
            f"Known are: {', '.join(known)}."
        )
    return known[found]
