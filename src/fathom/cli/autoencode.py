"""`fathom autoencode`: a picture to latents and back, and how close it comes."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from fathom.cli.opening import opening_arguments, opening_options
from fathom.cli.output import print_facts, print_json, seconds_text
from fathom.cli.working import record_argument

if TYPE_CHECKING:
    from fathom.tasks.autoencode import Reconstruction

EXAMPLES = """\
  fathom autoencode ./taesd photo.jpg
  fathom autoencode ./vae photo.jpg --size 512 512 --out back.png
  fathom autoencode ./vae large.png --tile 512 --json
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `autoencode`."""
    parser.add_argument("name", metavar="NAME", help="an autoencoder: folder or hub id")
    parser.add_argument("picture", metavar="PICTURE", type=Path, help="a file")
    parser.add_argument(
        "--size", type=int, nargs=2, metavar=("WIDTH", "HEIGHT"), help="to give it first"
    )
    parser.add_argument(
        "--tile", type=int, metavar="INT", help="side of pieces; whole where memory holds that"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="write what comes back")
    record_argument(parser)
    opening_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Send one picture there and back."""
    from fathom import library
    from fathom.cli.recording import record_task

    model = library.open(
        args.name,
        **opening_options(args, quiet=args.json),
    )
    size = tuple(args.size) if args.size else None
    found: Reconstruction = model.autoencode(args.picture, size=size, tile=args.tile)
    if args.out is not None:
        from fathom.inputs.pictures import write_picture

        write_picture(args.out, found.pixels)
    _tell(found, args)
    record_task(model, args)
    return 0


def _tell(found: Reconstruction, args: argparse.Namespace) -> None:
    height, width = found.pixels.shape[:2]
    told = {
        "picture": args.picture,
        "size": (width, height),
        "latents": found.latents.shape,
        "decibels": found.decibels,
        "tiles": found.tiles,
        "seconds": found.seconds,
        "file": args.out,
        "notes": found.notes,
    }
    if args.json:
        print_json(told)
        return
    for note in found.notes:
        print(f"fathom: note: {note}", file=sys.stderr)
    shape = " × ".join(f"{side}" for side in found.latents.shape)
    facts = [
        ("size", f"{width} × {height} pixels"),
        ("latents", f"{shape}, {width * height * 3 / found.latents.size:.1f} times fewer numbers"),
        ("closeness", f"{found.decibels:.1f} dB"),
        ("tiles", f"{found.tiles}"),
        ("time", seconds_text(found.seconds)),
    ]
    print_facts([*facts, ("file", str(args.out))] if args.out is not None else facts)
