"""What a constraint alone says about the class, and which constraints cannot be joined."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from types import MappingProxyType

from fathom.catalog import facts
from fathom.catalog.evidence import Choice, Entry, Evidence, Verdict, named
from fathom.errors import RequestError

FILE = "constraints.toml"


@dataclass(frozen=True, slots=True)
class Constraint:
    """One constraint and the classes that answer it, in order.

    Attributes:
        noted: whether the rule stands in the notes; else it is ours.
        of: the pair of classes between which it decides, such as "LLM or SLM"; else empty.
        against: names of constraints that it cannot be joined with → why.
    """

    name: str
    title: str
    noted: bool
    of: str
    words: tuple[str, ...]
    choices: tuple[Choice, ...]
    reason: str
    evidence: tuple[Evidence, ...]
    verdict: Verdict
    against: Mapping[str, str]


@cache
def constraints() -> Mapping[str, Constraint]:
    """All constraints by name, in the order of the file."""
    entries = facts.entries(FILE)
    return MappingProxyType(
        {name: _constraint(Entry(FILE, name, table), entries) for name, table in entries.items()}
    )


def find(name: str) -> Constraint:
    """Return the constraint that a name or one of its other words means; else the nearest.

    Raises:
        NotFoundError: for an unknown name.
    """
    return named("constraint", name, constraints())


def require_joined(found: Sequence[Constraint]) -> None:
    """Refuse constraints of which two contradict one another.

    Raises:
        RequestError: names the pair and the reason.
    """
    for one, other in combinations(found, 2):
        why = one.against.get(other.name) or other.against.get(one.name)
        if why:
            raise RequestError(
                f"'{one.name}' and '{other.name}' contradict one another: {why}; leave one out"
            )


def _constraint(entry: Entry, known: Mapping[str, object]) -> Constraint:
    against = entry.mapping("against")
    if unknown := sorted(set(against) - set(known)):
        raise entry.fault("against", f"names {unknown[0]!r}, which is no constraint")
    return Constraint(
        name=entry.name,
        title=entry.text("title"),
        noted=entry.text("from") == "notes",
        of=entry.optional("of"),
        words=entry.words("words"),
        choices=entry.choices("choices"),
        reason=entry.text("reason"),
        evidence=entry.evidence(),
        verdict=entry.verdict(),
        against=MappingProxyType(against),
    )
