"""Lineage drawn from the cards: as text, for Graphviz, or as a picture.

A family is a forest of who came from whose weights. Without a family, the tree of text models
has three branches (what each position may see), by year.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from fathom.catalog import lineage
from fathom.catalog.lineage import Edge
from fathom.catalog.models import Model

FORMATS = ("text", "dot", "svg")
_HEIRS = ("base", "tuned_from", "merged_from")  # edges along which weights or a line are passed on
_ROW, _YEAR, _LEFT, _TOP = 22, 150, 20, 46  # of the picture, in points
_LABEL = 190  # room for the longest title, in points
_KEY, _KEYS = 110, 570  # room for one entry of the legend, and for all


@dataclass(frozen=True, slots=True)
class Node:
    """A model in a drawing: how deep below its ancestor, and along which edge it came."""

    model: Model
    depth: int
    edge: Edge | None


@dataclass(frozen=True)
class Group:
    """A named part of a drawing: its nodes in the order of the rows, and all edges within."""

    title: str
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]


def groups(family: str | None = None) -> tuple[Group, ...]:
    """Return one group for a family, or one for each of the three branches."""
    if family is not None:
        return (_group(family.casefold(), lineage.family(family)),)
    return tuple(_group(name, members) for name, members in lineage.by_branch().items())


def draw(form: str, family: str | None = None) -> str:
    """Return the drawing in one of `FORMATS`."""
    parts = groups(family)
    if form == "dot":
        return dot(parts)
    if form == "svg":
        return svg(parts)
    return text(parts) if family is not None else by_year(parts)


def text(parts: Sequence[Group]) -> str:
    """Return families as indented lines."""
    lines = []
    for part in parts:
        lines.append(part.title)
        for position, node in enumerate(part.nodes):
            bars = _bars(part.nodes, position)
            lines.append(f"{bars}{node.model.title}  {_date(node.model)}{_how(part, node)}")
    return "\n".join(lines)


def by_year(parts: Sequence[Group]) -> str:
    """Return branches with the models of each year on one line."""
    lines = []
    for part in parts:
        lines.append(f"{part.title} ({len(part.nodes)})")
        years: dict[str, list[str]] = {}
        for node in sorted(part.nodes, key=lambda node: _date(node.model)):
            years.setdefault(_date(node.model)[:4], []).append(node.model.title)
        lines += [f"  {year}  {', '.join(titles)}" for year, titles in years.items()]
    return "\n".join(lines)


def dot(parts: Sequence[Group]) -> str:
    """Return a graph in Graphviz's language, a cluster for each group."""
    lines = ["digraph lineage {", "  rankdir=LR;", '  node [shape=box, fontname="sans-serif"];']
    for number, part in enumerate(parts):
        lines += [f"  subgraph cluster_{number} {{", f"    label={_quoted(part.title)};"]
        lines += [
            f"    {_quoted(node.model.name)} "
            f"[label={_quoted(f'{node.model.title} ({_date(node.model)})')}];"
            for node in part.nodes
        ]
        lines.append("  }")
    lines += [
        f"  {_quoted(edge.parent)} -> {_quoted(edge.child)} "
        f"[label={_quoted(lineage.KINDS[edge.kind])}];"
        for edge in _distinct(parts)
    ]
    return "\n".join([*lines, "}"])


def svg(parts: Sequence[Group]) -> str:
    """Return a picture: time runs to the right, a row for each model."""
    dates = [_date(node.model) for part in parts for node in part.nodes]
    first, last = int(min(dates)[:4]), int(max(dates)[:4])
    width = max(_LEFT + (last - first + 1) * _YEAR + _LABEL, _KEYS)
    body: list[str] = []
    places: dict[str, tuple[float, float]] = {}
    height = float(_TOP)
    for part in parts:
        body.append(f'<text class="title" x="{_LEFT}" y="{height:.0f}">{escape(part.title)}</text>')
        for node in part.nodes:
            height += _ROW
            places[node.model.name] = (_along(_date(node.model), first), height)
        height += 2 * _ROW
    body += [_path(edge, places) for edge in _distinct(parts)]
    for part in parts:
        body += [_mark(node.model, places[node.model.name]) for node in part.nodes]
    return "\n".join([*_head(width, height + _ROW, first, last), *body, *_legend(height), "</svg>"])


def _group(title: str, members: Sequence[Model]) -> Group:
    names = {model.name for model in members}
    inside = tuple(
        edge
        for model in members
        for edge in lineage.parents(model)
        if edge.parent in names and edge.kind in _HEIRS
    )
    came: dict[str, Edge] = {}
    for edge in inside:
        came.setdefault(edge.child, edge)
    roots = [model for model in members if model.name not in came]
    heirs: dict[str, list[Model]] = {}
    for model in members:
        if model.name in came:
            heirs.setdefault(came[model.name].parent, []).append(model)
    nodes = [node for root in roots for node in _below(root, 0, None, heirs, came)]
    return Group(title, tuple(nodes), inside)


def _below(
    model: Model,
    depth: int,
    edge: Edge | None,
    heirs: Mapping[str, Sequence[Model]],
    came: Mapping[str, Edge],
) -> Iterator[Node]:
    yield Node(model, depth, edge)
    for heir in heirs.get(model.name, ()):
        yield from _below(heir, depth + 1, came[heir.name], heirs, came)


def _bars(nodes: Sequence[Node], position: int) -> str:
    """Return the lines that lead to a node: which of its ancestors have younger siblings."""
    depth = nodes[position].depth
    bars = ""
    for level in range(depth + 1):
        later = (node.depth for node in nodes[position + 1 :])
        more = next((deep for deep in later if deep <= level), -1) == level
        if level == depth:
            bars += "├─ " if more else "└─ "
        else:
            bars += "│  " if more else "   "
    return bars


def _how(part: Group, node: Node) -> str:
    """Say how a model came, and who else it came from."""
    words = "" if node.edge is None else f"  {lineage.KINDS[node.edge.kind]}"
    others = [
        edge.parent for edge in part.edges if edge.child == node.model.name and edge != node.edge
    ]
    taught = [f"taught by {name}" for name in node.model.words("distilled_from")]
    return "; ".join(filter(None, [words, *(f"also from {name}" for name in others), *taught]))


def _distinct(parts: Sequence[Group]) -> list[Edge]:
    return list(dict.fromkeys(edge for part in parts for edge in part.edges))


def _quoted(words: str) -> str:
    return '"' + words.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _along(date: str, first: int) -> float:
    """Return the place of a date to the right, in points; a year alone stands in its middle."""
    year, month, day = [*map(int, date.split("-")), 0, 0][:3]
    within = 0.5 if not month else (month - 1 + (day or 15) / 31) / 12
    return _LEFT + (year - first + within) * _YEAR


def _path(edge: Edge, places: Mapping[str, tuple[float, float]]) -> str:
    (x0, y0), (x1, y1) = places[edge.parent], places[edge.child]
    return f'<path class="{edge.kind}" d="M{x0:.0f} {y0:.0f} V{y1:.0f} H{x1:.0f}"/>'


def _mark(model: Model, place: tuple[float, float]) -> str:
    x, y = place
    kind = "open" if model.open else "closed"
    label = escape(f"{model.title}, {_date(model)}")
    return (
        f'<circle class="{kind}" cx="{x:.0f}" cy="{y:.0f}" r="4"><title>{label}</title></circle>'
        f'<text x="{x + 8:.0f}" y="{y + 4:.0f}">{escape(model.title)}</text>'
    )


def _head(width: float, height: float, first: int, last: int) -> list[str]:
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" role="img">',
        "<style>text{font:12px sans-serif}.title{font-weight:bold;font-size:14px}"
        "path{fill:none;stroke:#9aa5b1}.tuned_from{stroke:#3b82c4}.merged_from{stroke:#b4602f}"
        ".open{fill:#2f855a}.closed{fill:#fff;stroke:#555}.year{stroke:#eee}</style>",
        f'<rect width="{width:.0f}" height="{height:.0f}" fill="#fff"/>',
    ]
    for year in range(first, last + 1):
        x = _LEFT + (year - first) * _YEAR
        lines.append(f'<line class="year" x1="{x}" x2="{x}" y1="24" y2="{height:.0f}"/>')
        lines.append(f'<text x="{x + 4}" y="18">{year}</text>')
    return lines


def _legend(y: float) -> Iterator[str]:
    """Say what marks and colours mean."""
    marks = [f'<circle class="{kind}" cx="0" cy="0" r="4"/>' for kind in ("open", "closed")]
    marks += [f'<path class="{kind}" d="M-10 0 H4"/>' for kind in _HEIRS]
    words = ("open weights", "closed", *(lineage.KINDS[kind] for kind in _HEIRS))
    for place, (mark, word) in enumerate(zip(marks, words, strict=True)):
        x = _LEFT + 10 + place * _KEY
        yield f'<g transform="translate({x} {y:.0f})">{mark}<text x="10" y="4">{word}</text></g>'


def _date(model: Model) -> str:
    return model.text("released") or model.date
