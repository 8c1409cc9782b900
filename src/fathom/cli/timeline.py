"""`fathom timeline`: what appeared when, of all models, one class or one family."""

from __future__ import annotations

import argparse

from fathom.cli.output import print_columns, print_json

EXAMPLES = """\
  fathom timeline
  fathom timeline --class SLM
  fathom timeline --family gemma --json
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `timeline`."""
    parser.add_argument("--class", dest="model_class", metavar="CLASS", help="SLM, MoE, VLM …")
    parser.add_argument("--family", help="llama, gemma, qwen …")
    parser.add_argument("--all", action="store_true", help="every card, not the milestones alone")


def run(args: argparse.Namespace) -> int:
    """Print the milestones, or the dated cards that were asked for."""
    from fathom.catalog.timeline import milestones, timeline

    asked = args.model_class or args.family or args.all
    events = timeline(model_class=args.model_class, family=args.family) if asked else milestones()
    if args.json:
        print_json({"events": events})
        return 0
    year, rows = "", []
    for event in events:
        same, year = event.date[:4] == year, event.date[:4]
        rows.append(("" if same else year, event.date[5:], event.title, event.card or "no card"))
    print_columns(rows)
    notes = [(event.title, event.correction) for event in events if event.correction]
    if notes:
        print()
    for title, correction in notes:
        print(f"{title}: {correction}")
    return 0
