"""`fathom tree`: lineage drawn from the cards, as text, for Graphviz or as a picture."""

from __future__ import annotations

import argparse

from fathom.cli.output import print_json
from fathom.errors import RequestError

EXAMPLES = """\
  fathom tree
  fathom tree --family llama
  fathom tree --family mistral --format svg > mistral.svg
  fathom tree --format dot | dot -Tpdf > tree.pdf
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `tree`."""
    parser.add_argument("--family", help="llama, gemma, qwen …; without: three branches by year")
    parser.add_argument("--format", default="text", help="text (default), dot or svg")


def run(args: argparse.Namespace) -> int:
    """Print the drawing."""
    from fathom.catalog import tree

    if args.format not in tree.FORMATS:
        raise RequestError(f"--format {args.format}: draw as {', '.join(tree.FORMATS)}")
    if args.json:
        groups = [
            {
                "title": group.title,
                "models": [node.model.name for node in group.nodes],
                "edges": group.edges,
            }
            for group in tree.groups(args.family)
        ]
        print_json({"groups": groups})
        return 0
    print(tree.draw(args.format, args.family))
    return 0
