"""Rules over several classes: which inputs ask for which class, what weights weigh."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType

from fathom.catalog import facts
from fathom.catalog.evidence import Choice, Entry, Evidence, Verdict
from fathom.catalog.facts import Table
from fathom.errors import NotFoundError, nearest

FILE = "rules.toml"
Q4_0_BITS = 4.5  # 32 numbers of 4 bits and a scale of 16


@dataclass(frozen=True, slots=True)
class Rule:
    """One table of rules, row by row, what it rests on, and our verdict on it."""

    name: str
    title: str
    about: str
    rows: tuple[Table, ...]
    evidence: tuple[Evidence, ...]
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Weights:
    """Bytes of the weights of so many parameters, and what the notes say of it in GB.

    Attributes:
        half, four: bytes at 16 and at 4 bits per parameter.
        blocks: bytes in GGUF's Q4_0 blocks, of 4.5 bits.
    """

    parameters: int
    half: int
    four: int
    blocks: int
    noted_half: float
    noted_four: float
    use: str


@cache
def rules() -> Mapping[str, Rule]:
    """All tables of rules by name."""
    return MappingProxyType(
        {name: _rule(Entry(FILE, name, table)) for name, table in facts.entries(FILE).items()}
    )


def find(name: str) -> Rule:
    """Return a table of rules; else offer the nearest."""
    if name not in rules():
        known = ", ".join(rules())
        raise NotFoundError(f"There is no rule '{name}'.{nearest(name, rules())} Known: {known}.")
    return rules()[name]


def by_modalities(inputs: Iterable[str]) -> tuple[Choice, str]:
    """Return the class for these kinds of input, and the rule: three and more are an LMM."""
    asked = frozenset(inputs)
    if len(asked) >= 3:
        return Choice("LMM"), "three or more kinds of input"
    for row in rules()["modalities"].rows:
        kinds = row["inputs"]
        if isinstance(kinds, list) and asked == set(kinds):
            return Choice(str(row["class"])), str(row["says"])
    known = ", ".join(str(row["inputs"]) for row in rules()["modalities"].rows)
    raise NotFoundError(f"No rule for the inputs {', '.join(sorted(asked))}; known are {known}")


def memory_table() -> tuple[Weights, ...]:
    """Return the bytes of weights by size, computed, beside the figures of the notes."""
    return tuple(_weights(row) for row in rules()["memory"].rows)


def _weights(row: Table) -> Weights:
    billions, half, four = (row[key] for key in ("parameters", "half", "four"))
    numbers = (billions, half, four)
    if not all(isinstance(number, int | float) for number in numbers):
        raise TypeError(f"rules.toml: the memory of {billions} must be numbers")
    parameters = int(str(billions)) * 10**9
    return Weights(
        parameters=parameters,
        half=parameters * 2,
        four=parameters // 2,
        blocks=round(parameters * Q4_0_BITS / 8),
        noted_half=float(str(half)),
        noted_four=float(str(four)),
        use=str(row["says"]),
    )


def _rule(entry: Entry) -> Rule:
    return Rule(
        name=entry.name,
        title=entry.text("title"),
        about=entry.text("about"),
        rows=tuple(entry.rows("rows")),
        evidence=entry.evidence(),
        verdict=entry.verdict(),
    )
