"""The form that an answer must have, as the command line takes it."""

from __future__ import annotations

import argparse
from pathlib import Path

from fathom.errors import NotFoundError, RequestError

_LARGEST = 1 << 20  # bytes of a file: far over what a form may have


def form_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that say what an answer must look like."""
    group = parser.add_argument_group("the form of the answer, at most one")
    group.add_argument("--schema", type=Path, metavar="FILE", help="JSON of this JSON schema")
    group.add_argument("--regex", metavar="PATTERN", help="a text that this pattern matches whole")
    group.add_argument(
        "--choice", action="append", metavar="TEXT", help="one of these texts; repeat it for each"
    )
    group.add_argument(
        "--grammar", type=Path, metavar="FILE", help="a text of this grammar, Lark's or GBNF"
    )


def form_options(args: argparse.Namespace) -> dict[str, object]:
    """Return the options of generation for the form that was given.

    Raises:
        NotFoundError: for a file that is not there.
        RequestError: for one that is no text.
    """
    given: dict[str, object] = {
        name: _text(path)
        for name in ("schema", "grammar")
        if (path := getattr(args, name)) is not None
    }
    for name in ("regex", "choice"):
        if getattr(args, name) is not None:
            given[name] = getattr(args, name)
    return given


def _text(path: Path) -> str:
    if not path.is_file():
        raise NotFoundError(f"there is no file {path}; check the path of the form")
    if path.stat().st_size > _LARGEST:
        raise RequestError(f"{path.name} is too large for a form; simplify it")
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise RequestError(f"{path.name} is not UTF-8; save it as text") from None
