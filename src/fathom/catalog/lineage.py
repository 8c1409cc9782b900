"""Who descends from whom: edges between cards, families, and the three branches of the tree."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from fathom.catalog import facts
from fathom.catalog.models import Model, models
from fathom.errors import NotFoundError, nearest

# How a child came from its parent: the field of its card, and the word on the edge.
KINDS: Mapping[str, str] = {
    "base": "succeeds",
    "tuned_from": "fine-tuned",
    "merged_from": "merged",
    "distilled_from": "distilled",
    "parts": "contains",
}
BRANCHES = ("encoder-only", "encoder-decoder", "decoder-only")


@dataclass(frozen=True, slots=True)
class Edge:
    """One line of the graph, from parent to child."""

    parent: str
    child: str
    kind: str


def edges() -> tuple[Edge, ...]:
    """Every edge, in the order of the cards."""
    return tuple(
        Edge(parent, model.name, kind)
        for model in models().values()
        for kind in KINDS
        for parent in model.words(kind)
    )


def parents(model: Model) -> tuple[Edge, ...]:
    """The edges that lead to a model, weights before knowledge."""
    return tuple(Edge(parent, model.name, kind) for kind in KINDS for parent in model.words(kind))


def children(name: str) -> tuple[Edge, ...]:
    """The edges that lead from a model."""
    return tuple(edge for edge in edges() if edge.parent == name)


def families() -> tuple[str, ...]:
    """Names of all families, alphabetically."""
    named = {model.text("family") for model in models().values()}
    return tuple(sorted(name for name in named if name))


def family(name: str) -> tuple[Model, ...]:
    """Models of a family, and those that came from its weights, oldest first."""
    wanted = name.casefold()
    if wanted not in families():
        raise NotFoundError(
            f"There is no family '{name}'.{nearest(wanted, families())} "
            f"Known are: {', '.join(families())}."
        )
    known = models()
    members = {key for key, model in known.items() if model.text("family") == wanted}
    return tuple(sorted((known[key] for key in members), key=_by_date))


def by_branch() -> Mapping[str, tuple[Model, ...]]:
    """Text models by how they read and write, oldest first within each branch."""
    found: dict[str, list[Model]] = {name: [] for name in BRANCHES}
    for model in sorted(models().values(), key=_by_date):
        name = branch(model)
        if name is not None:
            found[name].append(model)
    return {name: tuple(members) for name, members in found.items()}


def branch(model: Model) -> str | None:
    """Return the branch that a card names, or that of its architecture; None if neither does."""
    return model.text("branch") or _branches().get(model.text("architecture") or "")


@cache
def _branches() -> Mapping[str, str]:
    """Architecture → branch, from branches.toml."""
    return {
        str(architecture): name
        for name, table in facts.entries("branches.toml").items()
        for architecture in _listed(table)
    }


def _listed(table: facts.Table) -> list[object]:
    listed = table.get("architectures")
    return listed if isinstance(listed, list) else []


def _by_date(model: Model) -> tuple[str, str]:
    return model.text("released") or model.date, model.name
