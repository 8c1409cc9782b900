"""`fathom catalog`: renew, check and export what the catalogue knows."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from fathom.cli.output import print_columns, print_json
from fathom.errors import RequestError, nearest

EXAMPLES = """\
  fathom catalog check --kind contradictory
  fathom catalog refresh models.dev
  fathom catalog export --format csv > models.csv
  fathom catalog export --format xlsx --output models.xlsx
"""
_ACTIONS = ("refresh", "check", "export")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `catalog`."""
    parser.add_argument("action", metavar="ACTION", help="refresh, check or export")
    parser.add_argument("names", metavar="SOURCE", nargs="*", help="refresh: ask only these")
    parser.add_argument("--kind", help="check: only contradictory, stale, missing or broken")
    parser.add_argument("--format", default="csv", help="export: csv, json, xlsx or markdown")
    parser.add_argument("--output", type=Path, help="export: the file to write")


def run(args: argparse.Namespace) -> int:
    """Do what was asked."""
    if args.action not in _ACTIONS:
        near = nearest(args.action, _ACTIONS)
        raise RequestError(f"'{args.action}' is none of {', '.join(_ACTIONS)}.{near}")
    if args.names and args.action != "refresh":
        raise RequestError(f"`fathom catalog {args.action}` takes no names")
    actions = {"refresh": _refresh, "check": _check, "export": _export}
    return actions[args.action](args)


def _refresh(args: argparse.Namespace) -> int:
    from fathom.catalog import overlay
    from fathom.catalog.refresh import ADAPTERS, refresh

    reports = refresh(args.names)
    if args.json:
        print_json({"overlay": overlay.place(), "sources": reports})
        return 0
    rows = [("source", "facts", "new", "left aside", "licence")]
    rows += [(r.source, str(r.facts), str(r.changed), str(len(r.left)), r.licence) for r in reports]
    print_columns(rows, right=frozenset({1, 2, 3}))
    for report in reports:
        for reason in report.left:
            print(f"left aside: {report.source}: {reason}")
    asked = {report.source for report in reports}
    for adapter in ADAPTERS:
        if adapter.name in asked:
            print(f"{adapter.name}: {adapter.note}")
        elif adapter.key is not None and not args.names:
            print(f"{adapter.name}: not asked; set {adapter.key} to your key")
    print(f"merged into {overlay.place()}")
    return 0


def _check(args: argparse.Namespace) -> int:
    """Print what was found; a broken reference is an error, the rest is for a person to judge."""
    from fathom.catalog.check import KINDS, findings

    if args.kind is not None and args.kind not in KINDS:
        raise RequestError(f"--kind {args.kind}: name one of {', '.join(KINDS)}")
    found = [each for each in findings() if args.kind in (None, each.kind)]
    counts = {kind: sum(each.kind == kind for each in found) for kind in KINDS}
    if args.json:
        print_json({"counts": counts, "findings": found})
    else:
        shown = [each for each in found if args.kind or each.kind != "missing"]
        print_columns(
            [(each.kind, each.card, each.field, each.detail) for each in shown] or [("",)]
        )
        print("\n" + ", ".join(f"{count} {kind}" for kind, count in counts.items()))
        if not args.kind and counts["missing"]:
            print("`fathom catalog check --kind missing` lists what nobody is quoted for")
    return 1 if counts["broken"] else 0


def _export(args: argparse.Namespace) -> int:
    from fathom.catalog import export

    if args.format not in export.FORMATS:
        raise RequestError(f"--format {args.format}: export as {', '.join(export.FORMATS)}")
    if args.format == "xlsx":
        if args.output is None:
            raise RequestError("A spreadsheet needs a file: add --output models.xlsx")
        export.write_xlsx(args.output)
        return 0
    text = export.WRITERS[args.format]()
    if args.output is None:
        sys.stdout.write(text if text.endswith("\n") else text + "\n")
    else:
        args.output.write_text(text, encoding="utf-8")
    return 0
