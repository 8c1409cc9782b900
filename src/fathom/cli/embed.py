"""`fathom embed`: texts to vectors, as lines of JSON or a file for numpy."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from fathom.cli.opening import opening_arguments, opening_options
from fathom.cli.output import print_facts, print_json
from fathom.errors import RequestError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

EXAMPLES = """\
  fathom embed minilm:l6 "a text" "another one"
  cat lines.txt | fathom embed minilm:l6 -
  cat lines.txt | fathom embed minilm:l6 - --output vectors.npy
  fathom embed ./model "Why is the sky blue?" --prompt query
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `embed`."""
    parser.add_argument("name", metavar="NAME", help="catalogue name, folder, file or hub id")
    parser.add_argument(
        "texts", metavar="TEXT", nargs="+", help="texts; a single '-' reads lines from stdin"
    )
    parser.add_argument("--prompt", help="name of the publisher's prompt, or a text to put before")
    parser.add_argument(
        "--pooling", help="first, last, mean or max, where the files do not say or to differ"
    )
    parser.add_argument(
        "--normalise",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="to length one; by default as published",
    )
    parser.add_argument("--truncate", action="store_true", help="cut off what is too long")
    parser.add_argument("--batch", type=int, default=32, metavar="INT", help="texts per pass")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write a .npy file")
    opening_arguments(parser, packing=True)


def run(args: argparse.Namespace) -> int:
    """Embed texts and print or write their vectors."""
    if args.output is not None and args.output.suffix != ".npy":
        raise RequestError(f"--output {args.output}: the name of the file must end with .npy")
    texts = _lines() if args.texts == ["-"] else args.texts
    if not texts:
        raise RequestError("stdin has no lines; give a text per line")
    from fathom import library

    model = library.open(
        args.name,
        **opening_options(args, quiet=args.json),
    )
    vectors = model.embed(
        texts,
        prompt=args.prompt,
        normalise=args.normalise,
        pooling=args.pooling,
        batch=args.batch,
        truncate=args.truncate,
    )
    if args.output is not None:
        _write(args.output, vectors, as_json=args.json)
    elif args.json:
        print_json({"model": args.name, "width": vectors.shape[1], "vectors": vectors.tolist()})
    else:
        for text, vector in zip(texts, vectors.tolist(), strict=True):
            print(json.dumps({"text": text, "vector": vector}, ensure_ascii=False))
    return 0


def _lines() -> list[str]:
    """Return the lines of stdin that hold something."""
    content = b"" if sys.stdin is None else sys.stdin.buffer.read()
    try:
        return [line for line in content.decode().splitlines() if line.strip()]
    except UnicodeDecodeError as error:
        raise RequestError(f"stdin is not UTF-8 at byte {error.start:,}; convert it") from error


def _write(file: Path, vectors: NDArray[np.float32], *, as_json: bool) -> None:
    """Write a .npy file, whole or not at all, and say what it holds."""
    import numpy as np

    partial = file.with_name(file.name + ".partial")
    try:
        with partial.open("wb") as stream:
            np.save(stream, vectors)
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)
    count, width = vectors.shape
    if as_json:
        print_json({"file": file, "vectors": count, "width": width})
    else:
        print_facts([("file", str(file)), ("vectors", f"{count:,} of {width:,} numbers")])
