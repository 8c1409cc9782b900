"""`fathom convert`: any readable checkpoint becomes a safetensors folder."""

from __future__ import annotations

import argparse
from pathlib import Path

from fathom.cli.opening import opening_options, pickle_argument
from fathom.cli.output import byte_text, print_facts, print_json
from fathom.cli.pull import stored_bytes

EXAMPLES = """\
  fathom convert ./pytorch-model ./safe --allow-pickle
  fathom convert ./model.gguf ./model --dtype bfloat16
  fathom convert owner/name ./copy --json
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `convert`."""
    parser.add_argument("name", metavar="NAME", help="catalogue name, folder, file or hub id")
    parser.add_argument("output", metavar="OUT", type=Path, help="the folder to make")
    parser.add_argument(
        "--dtype",
        default="float32",
        help="type of the weights of a GGUF file, float32 by default, which loses nothing",
    )
    pickle_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Read everything and write it anew."""
    from fathom import library

    folder = library.convert(
        args.name,
        args.output,
        **opening_options(args, quiet=args.json),
    )
    size = stored_bytes(folder)
    if args.json:
        print_json({"path": folder, "bytes": size})
        return 0
    print_facts([("path", str(folder)), ("bytes", f"{size:,} ({byte_text(size)})")])
    return 0
