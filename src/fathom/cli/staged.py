"""Pages about models that work in stages: what they are made of, and whether they fit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from fathom.cli.explain import count_text, print_origins
from fathom.cli.fit import print_grounds, term_rows
from fathom.cli.output import Facts, byte_text, print_columns, print_facts, seconds_text

if TYPE_CHECKING:
    from fathom.planning.staged_explanation import StagedExplanation
    from fathom.planning.staged_fit import StagedFit


def print_explanation(found: StagedExplanation) -> None:
    """Print what a model is, its parts, what each stage costs and where the code lies."""
    from fathom.planning.asking import work_text

    facts = [
        ("name", found.name),
        ("class", f"{found.model_class}: {found.rule}"),
        ("architecture", found.architecture),
        ("parameters", f"{found.parameters:,} ({count_text(found.parameters)})"),
        ("takes", ", ".join(found.inputs)),
        ("gives", ", ".join(found.outputs)),
        ("can", ", ".join(found.tasks)),
        ("counted for", f"{work_text(found.work)}; weights and numbers in {found.weights}"),
        *(("note", note) for note in found.notes),
    ]
    print_facts(facts)
    print(f"\n{found.outline}\n")
    print_columns(list(_component_rows(found)), right=frozenset({1, 2}))
    print()
    print_columns(list(_stage_rows(found)), right=frozenset({1, 2, 3, 4, 5}))
    print()
    print_origins(found)


def _component_rows(found: StagedExplanation) -> Iterator[tuple[str, ...]]:
    yield "component", "parameters", "weights"
    for part in found.components:
        yield part.path, f"{part.parameters:,}", byte_text(part.weight_bytes)


def _stage_rows(found: StagedExplanation) -> Iterator[tuple[str, ...]]:
    yield "cost of one pass", "passes", "FLOPs", "weights read", "at most live", "kept"
    for stage in found.stages:
        sizes = map(byte_text, (stage.weight_bytes, stage.live_bytes, stage.kept_bytes))
        yield stage.name, f"{stage.passes:,}", count_text(stage.operations), *sizes
    yield "all passes", "", count_text(found.operations), "", "", ""


def print_fit(found: StagedFit, *, why: bool) -> None:
    """Print the verdict and what it rests on."""
    print_facts(_head(found))
    print()
    print_columns(list(term_rows(found)), right=frozenset({1, 2, 3}))
    print()
    print_columns(list(_seconds(found)), right=frozenset({1, 2}))
    if found.load_seconds is not None:
        print(f"\nloading {seconds_text(found.load_seconds)} from a disk that no cache helps")
    print_grounds(found, why=why)


def _head(found: StagedFit) -> Facts:
    from fathom.planning.asking import work_text

    asked = found.prediction
    return [
        ("model", found.name),
        ("machine", f"{found.machine}, {byte_text(found.memory_bytes)} for the model"),
        ("counted for", f"{work_text(asked.work)}, in {asked.dtype}"),
        ("verdict", found.verdict),
    ]


def _seconds(found: StagedFit) -> Iterator[tuple[str, ...]]:
    asked = found.prediction
    yield "stage", "FLOPs", "time"
    for name, operations in asked.operations.items():
        spent = "not measured" if asked.seconds is None else seconds_text(asked.seconds[name])
        yield name, count_text(operations), spent
    for name, spent_beside in (asked.seconds or {}).items():
        if name not in asked.operations:
            yield name, "", seconds_text(spent_beside)
    if asked.total_seconds is not None:
        whole = sum(asked.operations.values())
        yield "total", count_text(whole), seconds_text(asked.total_seconds)
