"""`fathom classes`: what kinds of models there are, what each is for, and how two differ."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from fathom.cli.output import byte_text, print_columns, print_facts, print_json
from fathom.errors import RequestError

if TYPE_CHECKING:
    from fathom.catalog.classes import ModelClass
    from fathom.catalog.rules import Rule

EXAMPLES = """\
  fathom classes
  fathom classes MoE
  fathom classes --short
  fathom classes --compare LLM SLM
  fathom classes --memory
"""
COLUMNS = ("focus", "inputs", "outputs", "size", "speed", "best_for")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `classes`."""
    parser.add_argument("name", nargs="?", metavar="NAME", help="one class, by any of its names")
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument("--short", action="store_true", help="one line for each class")
    shown.add_argument("--compare", nargs="+", metavar="NAME", help="classes side by side")
    shown.add_argument("--memory", action="store_true", help="bytes of weights by size")
    shown.add_argument("--sizes", action="store_true", help="where classes begin and end by size")
    shown.add_argument("--trends", action="store_true", help="what was expected, and what came")


def run(args: argparse.Namespace) -> int:
    """Print all classes, one of them, or some side by side."""
    asked = args.short or args.compare or args.memory or args.sizes or args.trends
    if args.name and asked:
        raise RequestError("name one class, or ask for a list; not both")
    if args.name:
        return _one(args.name, args.json)
    if args.compare:
        return _compared(args.compare, args.json)
    if args.memory:
        return _memory(args.json)
    if args.sizes or args.trends:
        return _rule("sizes" if args.sizes else "trends", args.json)
    return _all(args.json, args.short)


def _all(as_json: bool, short: bool) -> int:
    from fathom.catalog.classes import classes

    known = classes().values()
    if as_json:
        print_json({"classes": list(known)})
    elif short:
        print_columns([(entry.name, entry.text("use")) for entry in known])
    else:
        head = ("class", "full name", "focus", "input", "output", "parameters", "speed", "best for")
        rows = [(entry.name, entry.title, *map(entry.text, COLUMNS)) for entry in known]
        print_columns([head, *rows])
        print(f"\n{len(rows)} classes; `fathom classes NAME` shows one with its sources")
    return 0


def _one(name: str, as_json: bool) -> int:
    from fathom.catalog.classes import find

    entry = find(name)
    if as_json:
        print_json(entry)
    else:
        print_facts(list(_facts(entry)))
    return 0


def _facts(entry: ModelClass) -> Iterator[tuple[str, str]]:
    """Yield a class as label and value, each with its source where it has one of its own."""
    from fathom.catalog.classes import FIELDS

    yield "class", f"{entry.name}: {entry.title}"
    usual = entry.facts["focus"]
    for name, field in FIELDS.items():
        if name not in entry.facts:
            continue
        fact = entry.facts[name]
        own = (fact.source, fact.date) != (usual.source, usual.date)
        text = entry.text(name)
        if name == "verb" and not entry.runs:
            text += " (not yet)"
        yield field.label, f"{text} [{_source(fact.source)}, {fact.date}]" if own else text
    if entry.words:
        yield "also called", ", ".join(entry.words)
    yield "source", f"{_source(usual.source)}, {usual.date}, where no other is named"


def _source(source: str) -> str:
    from fathom.catalog.facts import address

    return "the notes that this catalogue began from" if source == "notes" else address(source)


def _compared(names: Sequence[str], as_json: bool) -> int:
    from fathom.catalog.classes import FIELDS, find
    from fathom.catalog.rules import rules

    entries = [find(name) for name in names]
    if len(entries) < 2:
        raise RequestError("--compare takes two classes or more, such as --compare LLM SLM")
    chosen = {entry.name for entry in entries}
    deciding = [
        rule
        for rule in rules().values()
        if "need" in rule.rows[0] and chosen == {row["class"] for row in rule.rows}
    ]
    if as_json:
        print_json({"classes": entries, "rules": deciding})
        return 0
    for field, about in FIELDS.items():
        if any(entry.text(field) for entry in entries):
            print(about.label)
            print_columns([("", entry.name, entry.text(field) or "none") for entry in entries])
    for rule in deciding:
        print(f"\n{rule.title}: {rule.about}")
        print_columns([("", str(row["class"]), str(row["need"])) for row in rule.rows])
        print_facts(list(_grounds(rule)))
    return 0


def _memory(as_json: bool) -> int:
    from fathom.catalog.rules import find, memory_table

    rows, rule = memory_table(), find("memory")
    if as_json:
        print_json({"weights": rows, "evidence": rule.evidence, "verdict": rule.verdict})
        return 0
    head = ("parameters", "16 bits", "noted", "4 bits", "noted", "Q4_0", "for")
    table = [
        (
            f"{row.parameters // 10**9} B",
            byte_text(row.half),
            f"{row.noted_half:g} GB",
            byte_text(row.four),
            f"{row.noted_four:g} GB",
            byte_text(row.blocks),
            row.use,
        )
        for row in rows
    ]
    print_columns([head, *table], right=frozenset(range(6)))
    print()
    print_facts(list(_grounds(rule)))
    return 0


def _rule(name: str, as_json: bool) -> int:
    from fathom.catalog.rules import find

    rule = find(name)
    if as_json:
        print_json(rule)
        return 0
    keys = list(dict.fromkeys(key for row in rule.rows for key in row))
    print_columns([tuple(str(row.get(key, "")) for key in keys) for row in rule.rows])
    print()
    print_facts(list(_grounds(rule)))
    return 0


def _grounds(rule: Rule) -> Iterator[tuple[str, str]]:
    """Yield what a rule rests on, and what we make of it."""
    for piece in rule.evidence:
        yield "evidence", f"{piece.claim} ({piece.grade}, {_source(piece.source)}, {piece.date})"
    verdict = rule.verdict
    yield f"verdict: {verdict.state}", f"{verdict.says} ({verdict.date})"
