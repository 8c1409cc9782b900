"""`fathom pull`: fetch a checkpoint and say where it lies."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from fathom.cli.output import byte_text, print_facts, print_json
from fathom.cli.progress import shown_progress

EXAMPLES = """\
  fathom pull smollm2:135m
  fathom pull owner/name@main:model.gguf
  fathom pull smollm2:135m --json
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `pull`."""
    parser.add_argument("name", metavar="NAME", help="catalogue name, hub id or package path")
    parser.add_argument("--allow-pickle", action="store_true", help="also fetch PyTorch pickles")


def run(args: argparse.Namespace) -> int:
    """Fetch what is not here yet."""
    from fathom import library

    location = library.locate(
        args.name, allow_pickle=args.allow_pickle, progress=shown_progress(args.json)
    )
    size = stored_bytes(location.path) if location.size is None else location.size
    if args.json:
        print_json(replace(location, size=size))
        return 0
    facts = [
        ("path", str(location.path)),
        ("bytes", f"{size:,} ({byte_text(size)})"),
        ("origin", location.origin),
        ("found", location.found),
    ]
    if location.sha256 is not None:
        facts.append(("sha256", location.sha256))
    print_facts([*facts, *(("note", note) for note in location.notes)])
    return 0


def stored_bytes(path: Path) -> int:
    """Return the bytes of a file, or of all files below a folder."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())
