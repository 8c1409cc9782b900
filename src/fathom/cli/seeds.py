"""Pictures of seeds, for `fathom imagine` on a generator: one, or several on the way to another."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from fathom.cli.output import Json, print_facts, print_json, seconds_text
from fathom.errors import RequestError

if TYPE_CHECKING:
    from fathom.library.generating import GeneratorModel
    from fathom.tasks.generating import Generated

FRAMES = 8


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that only a generator takes."""
    seeds = parser.add_argument_group("a generator, which takes no text")
    seeds.add_argument(
        "--truncation", type=float, metavar="FLOAT", help="below 1 more usual pictures (1)"
    )
    seeds.add_argument("--to", type=int, metavar="SEED", help="pictures on the way to another seed")
    seeds.add_argument("--frames", type=int, metavar="INT", help=f"how many, with --to ({FRAMES})")
    seeds.add_argument("--kind", type=int, metavar="INT", help="which of several kinds to draw")


def chosen(args: argparse.Namespace) -> dict[str, object]:
    """Return what was said that only a generator takes."""
    names = ("truncation", "to", "frames", "kind")
    return {name: value for name in names if (value := getattr(args, name)) is not None}


def draw(model: GeneratorModel, args: argparse.Namespace, wishes: dict[str, object]) -> int:
    """Make the pictures and write them."""
    unused = sorted({*wishes, *(["prompt"] if args.prompt else [])} - {"seed"})
    if unused:
        raise RequestError(f"this generator takes a seed and no {unused[0]}; leave it out")
    if args.frames is not None and args.to is None:
        raise RequestError("--frames is for pictures on the way to another seed; add --to")
    seed = args.seed or 0
    truncation = 1.0 if args.truncation is None else args.truncation
    if args.to is None:
        made = [model.imagine(seed=seed, truncation=truncation, kind=args.kind)]
        files = [args.out]
        made[0].save(args.out)
    else:
        count = FRAMES if args.frames is None else args.frames
        made, files = [], []
        frames = model.interpolate(
            seed, args.to, frames=count, truncation=truncation, kind=args.kind
        )
        for frame in frames:
            files.append(_numbered(args.out, len(made), count))
            frame.save(files[-1])
            made.append(frame)
    _tell(made, files, args)
    return 0


def _numbered(file: Path, number: int, count: int) -> Path:
    """Return the name of a frame's file, so that names sort as frames do."""
    return file.with_stem(f"{file.stem}-{number:0{len(str(count - 1))}}")


def _tell(made: list[Generated], files: list[Path], args: argparse.Namespace) -> None:
    first, seconds = made[0], sum(one.seconds for one in made)
    if args.json:
        told: dict[str, Json] = {"files": [*map(str, files)], "size": [*first.size]}
        told |= {"seed": first.chosen.seed, "to": args.to}
        print_json(told | {"truncation": first.chosen.truncation, "seconds": seconds})
        return
    width, height = first.size
    towards = "" if args.to is None else f" to {args.to}, {len(made)} pictures"
    print_facts(
        [
            ("file", str(files[0]) if len(files) == 1 else f"{files[0]} … {files[-1]}"),
            ("size", f"{width} × {height} pixels"),
            ("seed", f"{first.chosen.seed}{towards}"),
            ("truncation", f"{first.chosen.truncation:g}"),
            ("time", seconds_text(seconds)),
        ]
    )
