"""What `fathom run` asks of a model that reads a text whole, and how each result is shown.

A table on a terminal, tab-separated lines in a pipe, one object with `--json`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, TypeAlias

from fathom.cli.output import Json, on_terminal, plain, print_columns, print_json
from fathom.errors import RequestError

if TYPE_CHECKING:
    from fathom.library import TextModel

FIRST = 8  # numbers of a vector that are shown
TOP = 5  # candidates for a mask


@dataclass(frozen=True, slots=True)
class Asked:
    """What was typed: a text, further texts, what the text is about, how many candidates."""

    text: str
    more: tuple[str, ...] = ()
    about: str | None = None
    top: int | None = None


@dataclass(frozen=True, slots=True)
class Shown:
    """A result: as rows of cells under titles, as JSON, and a hint on what to do next."""

    titles: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    content: Mapping[str, Json]
    hint: str | None = None


Reading: TypeAlias = Callable[["TextModel", Asked], Shown]


def read(model: TextModel, task: str, asked: Asked) -> Shown:
    """Do a task and return its result, ready to be shown.

    Raises:
        UnsupportedTaskError: for a model that cannot do it.
    """
    return READING[task](model, asked)


def show(task: str, shown: Shown, *, as_json: bool, quiet: bool) -> None:
    """Print a result on stdout, and its hint on stderr."""
    if as_json:
        print_json({"task": task, **shown.content})
        return
    if on_terminal(sys.stdout):
        numbers = {i for i, title in enumerate(shown.titles) if title in NUMBERS}
        print_columns([shown.titles, *shown.rows], right=frozenset(numbers))
    else:
        for row in shown.rows:
            print("\t".join(_one_line(cell) for cell in row))
    if shown.hint is not None and not quiet:
        print(f"fathom: note: {shown.hint}", file=sys.stderr)


NUMBERS = frozenset({"probability", "score", "start", "end", "index", "width"})


def check(task: str, asked: Asked) -> None:
    """Refuse what a task would have to ignore, and what it cannot do without.

    Raises:
        RequestError: saying what to give or to leave out.
    """
    if asked.more and task != "rerank":
        raise RequestError(f"{task} takes one text; put quotes around it")
    if asked.top is not None and task != "fill":
        raise RequestError(f"--top is for fill, not for {task}")
    if asked.about is not None and task not in ("answer", "rerank"):
        raise RequestError(f"--about is for answer and rerank, not for {task}")
    if asked.about is None and task == "answer":
        raise RequestError(
            "the text is a question; give what it is about with --about TEXT or --about-file FILE"
        )
    if asked.about is None and task == "rerank" and not asked.more:
        raise RequestError(
            "the text is a query; give documents after it, or a file of one per line with"
            " --about-file FILE"
        )


def _fill(model: TextModel, asked: Asked) -> Shown:
    return _listed("candidates", model.fill(asked.text, TOP if asked.top is None else asked.top))


def _classify(model: TextModel, asked: Asked) -> Shown:
    return _listed("labels", model.classify(asked.text))


def _tag(model: TextModel, asked: Asked) -> Shown:
    found = model.tag(asked.text)
    return _listed("spans", found, None if found else "there are no spans in this text")


def _answer(model: TextModel, asked: Asked) -> Shown:
    found = model.answer(asked.text, asked.about or "")
    shown = _listed("answers", [found])
    return Shown(shown.titles, shown.rows, plain_fields(found))


def _rerank(model: TextModel, asked: Asked) -> Shown:
    lines = (asked.about or "").splitlines()
    documents = [*asked.more, *(line for line in lines if line.strip())]
    return _listed("documents", model.rerank(asked.text, documents))


def _embed(model: TextModel, asked: Asked) -> Shown:
    vector = model.embed([asked.text])[0].tolist()
    first = " ".join(f"{number:.4f}" for number in vector[:FIRST])
    row = (str(len(vector)), first + (" …" if len(vector) > FIRST else ""))
    hint = "`fathom embed` prints or writes all numbers, of many texts"
    return Shown(("width", "vector"), (row,), {"width": len(vector), "vector": vector}, hint)


# Task → how it is asked for. Those that write text are streamed by `run` itself.
READING: Mapping[str, Reading] = {
    "fill": _fill,
    "classify": _classify,
    "tag": _tag,
    "answer": _answer,
    "rerank": _rerank,
    "embed": _embed,
}


def _listed(name: str, results: Sequence[object], hint: str | None = None) -> Shown:
    """Return typed results as rows, with their own fields as titles."""
    content: list[Json] = [plain_fields(result) for result in results]
    titles = tuple(part.name for part in fields(results[0])) if results else ()  # type: ignore[arg-type]
    rows = [tuple(_cell(getattr(result, title)) for title in titles) for result in results]
    return Shown(titles, tuple(rows), {name: content}, hint)


def plain_fields(result: object) -> dict[str, Json]:
    """Return a dataclass as JSON knows it."""
    content = plain(result)
    if not isinstance(content, dict):
        raise TypeError(f"a {type(result).__name__} is no result of a task")
    return content


def _cell(value: object) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def _one_line(cell: str) -> str:
    """A tab or a line break within a cell would end it."""
    return " ".join(cell.split())
