"""A model as an outline: its parts in order, its layers with repeats folded.

Printed, this is what a spec looks like to a person; with costs beside it, `fathom explain`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from textwrap import fill
from typing import TypeAlias

from fathom.spec.decoder import Layer, Residual
from fathom.spec.folding import Fold, fold, spans
from fathom.spec.parts import Compound, Part, active, children, count
from fathom.spec.words import phrases, spaced, words

PAGE = 100  # columns
LABELS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True)
class Entry:
    """A part that occurs once: an embedding, a norm, an output, a head."""

    path: str  # in the spec, such as "encoder.embedding"; in a layer, such as "mixer"
    part: Part
    words: str
    residual: Residual | None = None  # how a part of a layer joins the stream


@dataclass(frozen=True)
class Kind:
    """Layers of a stack that are alike: where they stand, and what such a layer is made of."""

    label: str  # "A", "B" …; empty where a stack has one kind
    layers: tuple[int, ...]
    part: Part  # any of them
    rows: tuple[Entry, ...]


@dataclass(frozen=True)
class Stack:
    """A sequence of layers, folded; the folds are over the labels of its `kinds`."""

    path: str
    layers: int
    folds: tuple[Fold[str], ...]
    kinds: tuple[Kind, ...]

    @property
    def order(self) -> str:
        """The order of the layers in one line: ``0-31: (A ×3, B) ×8``."""
        return "; ".join(map(_folded, self.folds))


Section: TypeAlias = Entry | Stack


def outline(model: Compound, path: str = "") -> tuple[Section, ...]:
    """Return the parts of a model in order; what holds a stack of layers is opened."""
    found: list[Section] = []
    for name, part in children(model):
        place = f"{path}.{name}" if path else name
        if isinstance(part, Sequence):
            found.append(_stack(place, part))
        elif isinstance(part, Compound) and _holds_a_stack(part):
            found.extend(outline(part, place))
        else:
            found.append(Entry(place, part, words(part)))
    return tuple(found)


def _holds_a_stack(part: Part) -> bool:
    return any(isinstance(child, Sequence) or _holds_a_stack(child) for _, child in children(part))


def _stack(path: str, layers: Sequence[Part]) -> Stack:
    places: dict[Part, list[int]] = {}
    for index, layer in enumerate(layers):
        places.setdefault(layer, []).append(index)
    labels = {
        layer: _label(number) if len(places) > 1 else "" for number, layer in enumerate(places)
    }
    kinds = tuple(
        Kind(labels[layer], tuple(found), layer, tuple(_rows(layer)))
        for layer, found in places.items()
    )
    return Stack(path, len(layers), fold([labels[layer] for layer in layers]), kinds)


def _label(number: int) -> str:
    rest, letter = divmod(number, len(LABELS))
    return (_label(rest - 1) if rest else "") + LABELS[letter]


def _rows(layer: Part) -> Iterator[Entry]:
    """Yield the parts of a layer, each with what its residual says of norms.

    What has no parts is told as itself.
    """
    named = dict(children(layer))
    if not named:
        yield Entry("", layer, words(layer))
    beside = ("beside the mixer",) if isinstance(layer, Layer) and layer.parallel else ()
    for name, part in named.items():
        if isinstance(part, Residual) or part == ():
            continue
        joins = named.get(f"{name}_residual")
        residual = joins if isinstance(joins, Residual) else None
        around = phrases(residual) if residual is not None else ()
        placed = beside if name == "feed_forward" else ()
        yield Entry(name, part, "; ".join((*phrases(part), *around, *placed)), residual)


def _folded(one: Fold[str]) -> str:
    where = f"{one.first}-{one.last}" if one.last > one.first else f"{one.first}"
    if not any(one.pattern):
        return f"{where}, all alike" if one.times > 1 else where
    runs = ", ".join(item if times == 1 else f"{item} ×{times}" for item, times in one.runs)
    if one.times == 1 or len(one.runs) == 1:
        return f"{where}: {one.pattern[0]}"
    return f"{where}: ({runs}) ×{one.times}"


def show(model: Compound) -> str:
    """Return a model as a page of text: what it is made of, in order, with repeats folded."""
    title = f"{spaced(type(model).__name__).capitalize()} of {_parameters(model)}"
    return "\n".join((title, *page(outline(model))))


def page(sections: Sequence[Section]) -> Iterator[str]:
    """Yield the lines of an outline."""
    for section in sections:
        if isinstance(section, Entry):
            yield _line(section.path, section.words)
            continue
        yield f"{section.path} {section.order}"
        for kind in section.kinds:
            if kind.label:
                yield f"  {kind.label}: {len(kind.layers)} layers ({spans(kind.layers)})"
            indent = "    " if kind.label else "  "
            yield from (_line(f"{indent}{row.path}", row.words) for row in kind.rows)


def _parameters(model: Compound) -> str:
    total, passed = count(model), active(model)
    through = "" if passed == total else f", {passed:,} of them active"
    return f"{total:,} parameters{through}"


def _line(label: str, text: str) -> str:
    indent = " " * 20
    return fill(text, PAGE, initial_indent=f"{label:<18}  ", subsequent_indent=indent)
