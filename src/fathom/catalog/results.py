"""Results of models on tests, each of one exact size, with the grade of the evidence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType

from fathom.catalog import facts
from fathom.catalog.evidence import Entry
from fathom.catalog.models import GRADES

FILE = "evidence.toml"
_PLAIN = {"of", "source", "date", "grade"}


@dataclass(frozen=True, slots=True)
class Result:
    """What one size of a model reached on a test.

    Attributes:
        of: which release was tested: "base", "Instruct" …
        grade: one of `GRADES`, how far it may be trusted.
    """

    test: str
    value: float
    of: str
    grade: str
    source: str
    date: str


@cache
def results() -> Mapping[tuple[str, str], tuple[Result, ...]]:
    """Results by (card, variant). What is not here has no evidence: none is inherited."""
    found: dict[tuple[str, str], list[Result]] = {}
    for name, table in facts.entries(FILE).items():
        for variant, result in _results(Entry(FILE, name, table)):
            found.setdefault((name, variant), []).append(result)
    return MappingProxyType({key: tuple(listed) for key, listed in found.items()})


def _results(entry: Entry) -> Iterator[tuple[str, Result]]:
    grade = entry.text("grade")
    if grade not in GRADES:
        raise entry.fault("grade", f"is '{grade}', none of {', '.join(GRADES)}")
    for test, values in entry.table.items():
        if test in _PLAIN:
            continue
        if not isinstance(values, dict):
            raise entry.fault(test, "must be a table of figures by variant")
        for variant, value in values.items():
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise entry.fault(test, f"of {variant} must be a number")
            yield (
                variant,
                Result(
                    test,
                    float(value),
                    entry.text("of"),
                    grade,
                    entry.text("source"),
                    entry.text("date"),
                ),
            )
