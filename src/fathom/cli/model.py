"""`fathom model NAME`: one card, each value with its source and date, and what is missing."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING

from fathom.cli.output import plain, print_columns, print_facts, print_json

if TYPE_CHECKING:
    from fathom.catalog.facts import Fact
    from fathom.catalog.ids import Entry
    from fathom.catalog.models import Model

EXAMPLES = """\
  fathom model mixtral-8x7b
  fathom model "Llama 3.3 70B"
  fathom model gpt-4o --json
  fathom model ollama
"""
_WIDTH = 96  # of what is said in sentences
_COLUMN = 56  # of a value in the table


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `model`."""
    parser.add_argument(
        "name",
        metavar="NAME",
        help="as `fathom models` lists it, a hub id, a tool, or an id of the list",
    )
    parser.add_argument("--prices", action="store_true", help="also what hosts ask for it")


def run(args: argparse.Namespace) -> int:
    """Print the card."""
    from fathom.catalog import ids
    from fathom.catalog.export import card
    from fathom.catalog.models import find

    entry = _entry(args.name)
    if entry is not None and entry.kind != "model":
        _print_entry(entry, args.json)
        return 0
    model = find(args.name if entry is None else entry.name)
    if args.json:
        listed = list(ids.names_of(f"model:{model.name}"))
        print_json(card(model) | {"ids": listed, **_offers(model, args.prices)})
        return 0
    _print_card(model)
    if args.prices:
        _print_prices(model)
    return 0


def _entry(name: str) -> Entry | None:
    """Return what an id of the list leads to, or the tool of a name; None for anything else."""
    from fathom.catalog.ids import ids, names_of, resolve

    if name.upper() in ids():
        return resolve(name.upper())
    listed = names_of(f"tool:{name.casefold()}")
    return resolve(listed[0]) if listed else None


def _print_entry(entry: Entry, as_json: bool) -> None:
    """Print the card of a tool, class, criterion or table, as far as it is text."""
    content = plain(entry.content)
    if as_json:
        print_json({"id": entry.id, "kind": entry.kind, "card": content})
        return
    facts = [("id", entry.id), ("kind", entry.kind), ("name", entry.name), ("title", entry.title)]
    told = content if isinstance(content, dict) else {}
    rest = [(k, v) for k, v in told.items() if k not in ("name", "title") and isinstance(v, str)]
    print_facts([*facts, *((key.replace("_", " "), value) for key, value in rest if value)])
    if entry.kind == "class":
        print(f"\n`fathom classes {entry.name}` shows it in full")


def _print_card(model: Model) -> None:
    from fathom.catalog.facts import FIELDS
    from fathom.catalog.makers import makers

    print(f"{model.title} — {makers()[model.maker].title}\n{textwrap.fill(model.about, _WIDTH)}\n")
    rows = [("", "", "source", "date")]
    for name, field in FIELDS.items():
        fact = model.facts.get(name)
        if fact is not None:
            rows.append((field.label, shown(fact), fact.source, fact.date))
            for other in model.elsewhere.get(name, ()):
                rows.append(("  but", shown(other), other.source, other.date))
    print_columns([line for row in rows for line in _wrapped(row)])
    if model.variants:
        print()
        print_columns(_variant_rows(model), right=frozenset({2, 3}))
    for line in _sayings(model):
        print(textwrap.fill(line, _WIDTH, subsequent_indent="  "))


def _wrapped(row: tuple[str, str, str, str]) -> Iterator[tuple[str, str, str, str]]:
    """Break a long value over several rows."""
    label, value, source, date = row
    first, *rest = textwrap.wrap(value, _COLUMN, break_long_words=False) or [""]
    yield label, first, source, date
    yield from (("", more, "", "") for more in rest)


def _variant_rows(model: Model) -> list[tuple[str, str, str, str, str, str]]:
    rows = [("variant", "stated", "parameters", "active", "from", "weights")]
    for variant in model.variants:
        total, active = variant.parameters, variant.active_parameters
        rows.append(
            (
                variant.name,
                variant.stated or "unknown",
                "unknown" if total is None else f"{total:,}",
                "" if active in (None, total) else f"{active:,}",
                "its configuration" if variant.total is not None else "its maker's figure",
                variant.hub or "unknown",
            )
        )
    return rows


def _sayings(model: Model) -> Iterator[str]:
    """Everything on a card that is said in a sentence."""
    from fathom.catalog.licences import licences
    from fathom.catalog.lineage import KINDS, children

    yield ""
    licence = model.text("licence")
    if licence is not None:
        told = licences()[licence]
        yield f"commercial use: {told.commercial}. {told.about}"
    for score in model.scores:
        yield f"{score.test}: {score.value:g} {score.unit} ({score.grade}, {score.date})"
    for variant in model.variants:
        if variant.disagreement:
            yield f"disagreement: {variant.disagreement}"
    for correction in model.corrections:
        yield f"often said: “{correction.claim}” — {correction.verdict}"
    heirs = children(model.name)
    if heirs:
        yield "came from it: " + ", ".join(f"{e.child} ({KINDS[e.kind]})" for e in heirs)
    if not model.open:
        yield "no weights: it cannot be planned for or run here, and its memory is not estimated"
    yield f"missing: {', '.join(model.missing) or 'nothing'}"


def shown(fact: Fact) -> str:
    """Return a value as a reader expects it."""
    if isinstance(fact.value, tuple):
        return ", ".join(fact.value)
    return f"{fact.value:,}" if isinstance(fact.value, int) else fact.value


def _offers(model: Model, wanted: bool) -> dict[str, object]:
    if not wanted:
        return {}
    from fathom.catalog.prices import of_model
    from fathom.checkpoint.storage import cache_folder

    return {"offers": of_model(model, cache_folder())}


def _print_prices(model: Model) -> None:
    from fathom.catalog.prices import flat, of_model
    from fathom.checkpoint.storage import cache_folder

    print()
    facts = [
        (
            offer.name,
            ", ".join(f"{kind} ${rate.base:g}" for kind, rate in offer.rates.items())
            + f" per million tokens ({offer.source}, {offer.date})",
        )
        for offer in of_model(model, cache_folder())
    ]
    facts += [
        (name, f"${flat()[name].each:g} per {flat()[name].unit} ({flat()[name].date})")
        for name in model.words("api")
        if name in flat()
    ]
    print_facts(facts or [("price", "unknown: no host that we know of")])
