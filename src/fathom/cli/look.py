"""`fathom look`: what is in a picture, by a model's own labels or by words that are given."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from fathom.cli.opening import opening_arguments, opening_options
from fathom.cli.output import plain, print_columns, print_facts, print_json
from fathom.cli.working import record_argument
from fathom.errors import RequestError

if TYPE_CHECKING:
    from fathom.inputs.pictures import Picture
    from fathom.library import Model

TRAINED = "google/vit-base-patch16-224"  # labels a thousand things
COMPARING = "google/siglip-base-patch16-224"  # takes any labels
FINDING = "IDEA-Research/grounding-dino-tiny"  # finds what words name
SHOWN = 5  # labels

EXAMPLES = """\
  fathom look photo.jpg
  fathom look photo.jpg --labels "a dog,a cat,a truck"
  fathom look google/siglip-base-patch16-224 photo.jpg --labels "a dog,a cat" --json
  fathom look photo.jpg --text "a dog. a red car."
  fathom look facebook/dinov2-base photo.jpg --features
  fathom look facebook/dinov2-base photo.jpg --like other.jpg
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `look`."""
    parser.add_argument(
        "name",
        metavar="NAME",
        nargs="?",
        help=f"catalogue name, folder, file or hub id; by default {TRAINED}, with --labels"
        f" {COMPARING}, with --text {FINDING}",
    )
    parser.add_argument("picture", metavar="PICTURE", help="a picture's file")
    asked = parser.add_mutually_exclusive_group()
    asked.add_argument("--labels", metavar="A,B,…", help="words to choose from")
    asked.add_argument(
        "--text", metavar="TEXT", help="find what is named, as boxes; a full stop after each name"
    )
    asked.add_argument("--features", action="store_true", help="print the picture's vector")
    asked.add_argument("--like", metavar="FILE", help="how alike another picture is")
    parser.add_argument("--template", metavar="TEXT", help="what a label is put into, at its {}")
    parser.add_argument("--top", type=int, default=SHOWN, metavar="INT", help="labels to show")
    parser.add_argument(
        "--threshold", type=float, metavar="FLOAT", help="score from which a box counts (0.25)"
    )
    record_argument(parser)
    opening_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Look at one picture and say what is in it."""
    if args.top < 1:
        raise RequestError(f"--top must be at least 1, not {args.top}")
    if args.template is not None and args.labels is None:
        raise RequestError("--template is for labels that are given; add --labels")
    if args.threshold is not None and args.text is None:
        raise RequestError("--threshold is for boxes of what is named; add --text")
    from fathom import library
    from fathom.cli.recording import record_task
    from fathom.inputs.pictures import read_picture

    picture = read_picture(args.picture)
    name = args.name or _usual(args)
    model = library.open(
        name,
        **opening_options(args, quiet=args.json),
    )
    for note in picture.notes:
        print(f"fathom: note: {args.picture}: {note}", file=sys.stderr)
    told = {"model": name, "picture": args.picture}
    if args.features:
        _features(model, picture, told, args)
    elif args.like is not None:
        likeness = float(model.compare([picture], [args.like])[0, 0])
        _say(told | {"like": args.like, "likeness": likeness}, args)
    elif args.text is not None:
        _boxes(model, picture, told, args)
    else:
        _labels(model, picture, told, args)
    record_task(model, args)
    return 0


def _usual(args: argparse.Namespace) -> str:
    """Return the model that is taken where none is named."""
    if args.text is not None:
        return FINDING
    return TRAINED if args.labels is None else COMPARING


def _boxes(
    model: Model, picture: Picture, told: dict[str, object], args: argparse.Namespace
) -> None:
    found = model.detect(picture, args.text, threshold=args.threshold)
    if args.json:
        print_json(told | {"boxes": plain(found)})
        return
    rows = [
        (f"{one.score:.3f}", one.phrase, ",".join(f"{side:.0f}" for side in vars(one.box).values()))
        for one in found
    ]
    print_columns([("score", "phrase", "left,top,right,bottom"), *rows])


def _features(
    model: Model, picture: Picture, told: dict[str, object], args: argparse.Namespace
) -> None:
    found = model.features(picture)
    rows, columns, width = found.patches.shape
    vector = None if found.vector is None else found.vector.tolist()
    told |= {"patches": [rows, columns, width], "vector": vector}
    if not args.json:
        numbers = "none" if vector is None else " ".join(f"{number:.4f}" for number in vector)
        told |= {"patches": f"{rows} × {columns}, {width:,} wide", "vector": numbers}
    _say(told, args)


def _labels(
    model: Model, picture: Picture, told: dict[str, object], args: argparse.Namespace
) -> None:
    if args.labels is None:
        found = model.classify(picture)
    else:
        words = [word.strip() for word in args.labels.split(",")]
        found = model.classify(picture, words, template=args.template)
    if args.json:
        print_json(told | {"labels": plain(found)})
        return
    print_columns([(f"{label.score:.4f}", label.name) for label in found[: args.top]])


def _say(told: dict[str, object], args: argparse.Namespace) -> None:
    if args.json:
        print_json(told)
    else:
        print_facts([(label, str(value)) for label, value in told.items()])
