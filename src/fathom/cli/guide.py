"""`fathom guide`: variants of one family side by side, and which to take when."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING

from fathom.cli.output import column_lines, print_columns, print_json

if TYPE_CHECKING:
    from fathom.catalog.evidence import Evidence
    from fathom.catalog.guides import Guide

EXAMPLES = """\
  fathom guide                                             lists them
  fathom guide llama
  fathom guide "gpt-4o vs o1" --json
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `guide`."""
    parser.add_argument("name", nargs="?", metavar="NAME", help="which comparison")


def run(args: argparse.Namespace) -> int:
    """Print a guide, or all their names."""
    from fathom.catalog.guides import find, guides

    if args.name is None:
        known = guides().values()
        if args.json:
            print_json({"guides": [{"name": one.name, "title": one.title} for one in known]})
        else:
            print_columns([(one.name, one.title, one.about) for one in known])
        return 0
    guide = find(args.name)
    if args.json:
        print_json({"guide": guide, "cards": dict(guide.carded())})
        return 0
    print(f"{guide.title}: {guide.about}\n")
    for line in column_lines(list(_table(guide))):
        print(line)
    for rule in guide.rules:
        print(f"\n{rule.when}: {rule.choose}")
        print(f"  {rule.evidence.claim} ({_source(rule.evidence)})")
    verdict = guide.verdict
    print(f"\nverdict ({verdict.state}, {verdict.date}): {verdict.says}")
    return 0


def _table(guide: Guide) -> Iterator[tuple[str, ...]]:
    yield "", *(side.name for side in guide.sides), "source"
    for label, cells in guide.carded():
        yield label, *(cell or "unknown" for cell in cells), "the cards"
    for row in guide.rows:
        yield row.criterion, *(cell or "unknown" for cell in row.cells), _source(row.evidence)


def _source(evidence: Evidence) -> str:
    from fathom.catalog.facts import address

    return f"{evidence.grade}, {address(evidence.source)}, {evidence.date}"
