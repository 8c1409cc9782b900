"""Which class for which task: first and second choice, the reason, and what would change it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType

from fathom.catalog import facts
from fathom.catalog.evidence import Choice, Entry, Evidence, Verdict, named

FILE = "tasks.toml"


@dataclass(frozen=True, slots=True)
class Task:
    """One task and the classes that do it.

    Attributes:
        noted: whether the rule stands in the notes; else it is ours.
        best, second: the answers, in order.
        without: when no foundation model is needed, in words; else empty.
        cards: classes of the catalogue whose models do the task.
        tests: results that count as evidence of quality for it, the first to be read first.
        changes: what would change the answer.
    """

    name: str
    title: str
    noted: bool
    words: tuple[str, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    best: tuple[Choice, ...]
    second: tuple[Choice, ...]
    without: str
    cards: tuple[str, ...]
    tests: tuple[str, ...]
    reason: str
    evidence: tuple[Evidence, ...]
    verdict: Verdict
    changes: tuple[str, ...]


@cache
def tasks() -> Mapping[str, Task]:
    """All tasks by name, in the order of the file."""
    found = {name: _task(Entry(FILE, name, table)) for name, table in facts.entries(FILE).items()}
    return MappingProxyType(found)


def find(name: str) -> Task:
    """Return the task that a name or one of its other words means; else offer the nearest.

    Raises:
        NotFoundError: for an unknown name.
    """
    return named("task", name, tasks())


def between(inputs: Sequence[str], outputs: Sequence[str]) -> tuple[Task, ...]:
    """Return the tasks that take exactly these kinds in and give these out, in the file's order."""
    return tuple(
        task
        for task in tasks().values()
        if (not inputs or set(task.inputs) == set(inputs))
        and (not outputs or set(task.outputs) == set(outputs))
    )


def _task(entry: Entry) -> Task:
    return Task(
        name=entry.name,
        title=entry.text("title"),
        noted=entry.text("from") == "notes",
        words=entry.words("words"),
        inputs=entry.words("inputs"),
        outputs=entry.words("outputs"),
        best=entry.choices("best"),
        second=entry.choices("second"),
        without=entry.optional("none"),
        cards=entry.words("cards"),
        tests=entry.words("tests"),
        reason=entry.text("reason"),
        evidence=entry.evidence(),
        verdict=entry.verdict(),
        changes=entry.words("changes"),
    )
