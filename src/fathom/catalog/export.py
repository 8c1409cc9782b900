"""The catalogue as a table: CSV, JSON, a spreadsheet, or the page docs/landscape.md."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path

from fathom.catalog import lineage, timeline, tools
from fathom.catalog.facts import FIELDS, Fact, address
from fathom.catalog.makers import makers
from fathom.catalog.models import Model, Variant, models
from fathom.errors import RequestError

FORMATS = ("csv", "json", "xlsx", "markdown")
UNKNOWN = "unknown"
_OWN = ("name", "title", "maker", "variant", "stated", "parameters", "active_parameters", "hub")
_NUMBERS = {"parameters", "active_parameters", *(n for n, f in FIELDS.items() if f.kind is int)}
# Further parts of docs/landscape.md, in their order, as "module:function": each returns Markdown
# that begins with a heading. A line here is all that a new part needs.
SECTIONS: tuple[str, ...] = tuple(
    f"fathom.catalog.sections:{name}"
    for name in ("classes", "choosing", "ruling", "trusting", "sizing")
)


def columns() -> tuple[str, ...]:
    """Names of the columns: what a variant is, then each fact with its source and date."""
    told = [f"{name}{part}" for name in FIELDS for part in ("", " source", " date")]
    return (*_OWN, *told)


def rows() -> tuple[tuple[str, ...], ...]:
    """One row for each variant of each model; a model without variants has one."""
    return tuple(
        _row(model, variant)
        for model in models().values()
        for variant in (model.variants or (Variant(""),))
    )


def _row(model: Model, variant: Variant) -> tuple[str, ...]:
    own = (
        *(model.name, model.title, makers()[model.maker].title, variant.name),
        *(variant.stated or UNKNOWN, _number(variant.parameters)),
        *(_number(variant.active_parameters), variant.hub or UNKNOWN),
    )
    told = [cell for name in FIELDS for cell in _cells(model.facts.get(name))]
    return (*own, *told)


def _cells(fact: Fact | None) -> tuple[str, str, str]:
    if fact is None:
        return UNKNOWN, "", ""
    value = ", ".join(fact.value) if isinstance(fact.value, tuple) else str(fact.value)
    return value, address(fact.source), fact.date


def _number(value: int | None) -> str:
    return UNKNOWN if value is None else str(value)


def as_csv() -> str:
    """Return the table as comma-separated values.

    A cell that a spreadsheet would run as a formula is given an apostrophe in front.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerows([columns(), *([_harmless(cell) for cell in row] for row in rows())])
    return out.getvalue()


def _harmless(cell: str) -> str:
    return f"'{cell}" if cell[:1] in ("=", "+", "-", "@", "\t") else cell


def as_json() -> str:
    """Return all cards with their facts, sources, dates, corrections and lineage."""
    return json.dumps({name: card(model) for name, model in models().items()}, ensure_ascii=False)


def card(model: Model) -> dict[str, object]:
    """Return a card as JSON knows it."""
    return {
        "name": model.name,
        "title": model.title,
        "maker": model.maker,
        "about": model.about,
        "facts": {name: _fact(fact) for name, fact in model.facts.items()},
        "missing": list(model.missing),
        "variants": [_variant(variant) for variant in model.variants],
        "scores": [
            {part: getattr(score, part) for part in score.__slots__} for score in model.scores
        ],
        "corrections": [{"claim": c.claim, "verdict": c.verdict} for c in model.corrections],
        "elsewhere": {n: [_fact(fact) for fact in told] for n, told in model.elsewhere.items()},
    }


def _fact(fact: Fact) -> dict[str, object]:
    value = list(fact.value) if isinstance(fact.value, tuple) else fact.value
    return {"value": value, "source": fact.source, "date": fact.date, "basis": fact.basis}


def _variant(variant: Variant) -> dict[str, object]:
    return {
        "name": variant.name,
        "stated": variant.stated,
        "stated_active": variant.stated_active,
        "parameters": variant.parameters,
        "active_parameters": variant.active_parameters,
        "basis": "computed" if variant.total is not None else "cited",
        "disagreement": variant.disagreement,
        "hub": variant.hub,
    }


def write_xlsx(file: Path) -> None:
    """Write the table as a spreadsheet, with a second sheet of tools; needs openpyxl."""
    try:
        from openpyxl import Workbook
    except ImportError:
        raise RequestError(
            "A spreadsheet needs openpyxl: pip install 'fathom-models[xlsx]', or export as csv"
        ) from None
    book = Workbook(write_only=True)
    sheet = book.create_sheet("models")
    sheet.freeze_panes = "B2"
    sheet.append(columns())
    for row in rows():
        sheet.append([_typed(*named) for named in zip(columns(), row, strict=True)])
    second = book.create_sheet("tools")
    second.freeze_panes = "B2"
    second.append(["name", "title", "kind", "about", "source", "date"])
    for tool in tools.tools().values():
        second.append(
            [tool.name, tool.title, tool.kind, tool.about, address(tool.source), tool.date or ""]
        )
    book.save(file)


def _typed(column: str, cell: str) -> int | str:
    """Return a number where the column holds numbers and this one is known."""
    return int(cell) if column in _NUMBERS and cell != UNKNOWN else _harmless(cell)


def as_markdown() -> str:
    """Return docs/landscape.md as a whole."""
    parts = [_introduction(), _timeline(), *map(_section, SECTIONS)]
    parts += [_models(), _families(), _corrections(), _tools()]
    return "\n\n".join(parts) + "\n"


def _section(place: str) -> str:
    module, _, function = place.partition(":")
    text: str = getattr(import_module(module), function)()
    return text


def _introduction() -> str:
    known = models()
    opened = sum(model.open for model in known.values())
    compared = sum(
        fact.basis == "compared" for model in known.values() for fact in model.facts.values()
    )
    computed = sum(v.total is not None for model in known.values() for v in model.variants)
    return (
        "# The landscape\n\n"
        "Written by `fathom catalog export --format markdown`; a test holds it to the data.\n\n"
        f"{len(known)} models of {len(makers())} makers, {opened} of them with weights. "
        f"{computed} sizes are computed from published configurations. Every value has a source "
        f"and a date: {compared} were compared with theirs by a program, the others written down "
        "from it once and are to be confirmed (`fathom model NAME`, `fathom catalog refresh`). "
        "What nobody has published is unknown, above all the sizes of closed models. Compared "
        "values are of models.dev (MIT License, Copyright (c) 2025 models.dev)."
    )


def _timeline() -> str:
    lines = ["## Timeline", ""]
    for event in timeline.milestones():
        noted = f" *{event.correction}*" if event.correction else ""
        lines.append(f"- {event.date}: {event.title}.{noted}")
    return "\n".join(lines)


def _models() -> str:
    rows = [("model", "maker", "released", "parameters", "context", "licence")]
    for model in sorted(models().values(), key=lambda each: each.text("released") or each.date):
        context = model.number("context_in")
        rows.append(
            (
                *(model.title, makers()[model.maker].title),
                *(model.text("released") or UNKNOWN, sizes(model)),
                *(UNKNOWN if context is None else f"{context:,}", model.text("licence") or UNKNOWN),
            )
        )
    return "## Models\n\n" + as_table(rows)


def sizes(model: Model) -> str:
    """Return the parameters of all variants, such as "6.74 B, 13.0 B"; of experts both counts."""
    said = [size(variant) for variant in model.variants if variant.parameters]
    return ", ".join(said) or UNKNOWN


def size(variant: Variant) -> str:
    """Return "46.7 B (12.9 B active)"."""
    total, active = variant.parameters, variant.active_parameters
    if total is None:
        return UNKNOWN
    if active is None or active == total:
        return count_text(total)
    return f"{count_text(total)} ({count_text(active)} active)"


def count_text(number: int) -> str:
    """Return a number of parameters in three figures: 134 M, 6.74 B."""
    for step, unit in ((10**12, "T"), (10**9, "B"), (10**6, "M")):
        if number >= step * 0.9995:
            scaled = number / step
            digits = 0 if scaled >= 99.95 else 1 if scaled >= 9.995 else 2
            return f"{scaled:.{digits}f} {unit}"
    return f"{number:,}"


def _families() -> str:
    from fathom.catalog import tree

    drawn = "\n\n".join(tree.draw("text", family) for family in lineage.families())
    return (
        f"## Families\n\n```text\n{drawn}\n```\n\n"
        f"## Branches by year\n\n```text\n{tree.draw('text')}\n```"
    )


def _corrections() -> str:
    lines = ["## What is often said, and what is so", ""]
    for model in models().values():
        lines += [f"- **{model.title}**: “{c.claim}” — {c.verdict}" for c in model.corrections]
    lines += [f"- **{t.title}**: {t.correction}" for t in tools.tools().values() if t.correction]
    return "\n".join(lines)


def _tools() -> str:
    rows = [("name", "kind", "what it is")]
    for tool in tools.tools().values():
        rows.append((f"[{tool.title}]({address(tool.source)})", tool.kind, tool.about))
    return "## Tools, sites, benchmarks and data sets\n\n" + as_table(rows)


def as_table(rows: Sequence[Sequence[str]]) -> str:
    """Return rows, the first of which is the head, as a table of Markdown."""
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + " --- |" * len(rows[0]), *lines[1:]])


WRITERS: Mapping[str, Callable[[], str]] = {
    "csv": as_csv,
    "json": as_json,
    "markdown": as_markdown,
}
