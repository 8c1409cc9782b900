"""`fathom segment`: what belongs together in a picture, by points, boxes, words, or all of it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from fathom.cli.opening import opening_arguments, opening_options
from fathom.cli.output import Json, print_columns, print_json
from fathom.cli.working import record_argument
from fathom.errors import RequestError

if TYPE_CHECKING:
    from fathom.inputs.pictures import Picture
    from fathom.library import Model
    from fathom.tasks.detecting import Detection
    from fathom.tasks.segmenting import Mask, Prompt

SEGMENTER = "facebook/sam-vit-base"
DETECTOR = "IDEA-Research/grounding-dino-tiny"

EXAMPLES = """\
  fathom segment photo.jpg --point 320,200
  fathom segment photo.jpg --point 320,200 --not 40,40 --out masks
  fathom segment photo.jpg --box 75,275,1725,850 --box 10,20,90,80 --out masks
  fathom segment photo.jpg --text "a cat. a remote control." --out masks
  fathom segment facebook/sam-vit-base photo.jpg --everything --json
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `segment`."""
    parser.add_argument(
        "name",
        metavar="NAME",
        nargs="?",
        default=SEGMENTER,
        help=f"catalogue name, folder, file or hub id; by default {SEGMENTER}",
    )
    parser.add_argument("picture", metavar="PICTURE", help="a picture's file")
    prompts = parser.add_argument_group("what is meant, in the picture's pixels")
    prompts.add_argument(
        "--point", action="append", default=[], metavar="X,Y", help="inside; all of them together"
    )
    prompts.add_argument(
        "--not", action="append", default=[], metavar="X,Y", dest="without", help="outside of it"
    )
    prompts.add_argument(
        "--box",
        action="append",
        default=[],
        metavar="X0,Y0,X1,Y1",
        help="around it; several mean several things",
    )
    prompts.add_argument(
        "--text",
        metavar="TEXT",
        help="what it is called; several names with a full stop after each",
    )
    prompts.add_argument("--everything", action="store_true", help="all that the picture shows")
    parser.add_argument(
        "--several",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="several masks for each thing; by default for a single point",
    )
    parser.add_argument("--side", type=int, default=32, help="points on a side, of --everything")
    parser.add_argument("--out", type=Path, metavar="DIR", help="write masks and an overlay there")
    record_argument(parser)
    loading = opening_arguments(parser)
    loading.add_argument(
        "--detector",
        metavar="NAME",
        default=DETECTOR,
        help=f"finds boxes for --text ({DETECTOR})",
    )


def run(args: argparse.Namespace) -> int:
    """Segment one picture."""
    prompts = _prompts(args)
    from fathom import library
    from fathom.cli.recording import record_task
    from fathom.inputs.pictures import read_picture

    picture = read_picture(args.picture)
    where = opening_options(args, quiet=args.json)
    model = library.open(args.name, **where)
    for note in picture.notes:
        print(f"fathom: note: {args.picture}: {note}", file=sys.stderr)
    found: list[Detection] = []
    if args.text is not None:
        found = library.open(args.detector, **where).detect(picture, args.text)
        prompts = _boxes(found)
    masks = _masks(model, picture, prompts, args)
    files = [] if args.out is None else _write(args.out, picture, masks)
    if args.json:
        told: dict[str, Json] = {"model": args.name, "picture": args.picture}
        told |= {"width": picture.width, "height": picture.height}
        listed: list[Json] = [_told(mask, found) for mask in masks]
        print_json(told | {"masks": listed, "files": [*map(str, files)]})
    else:
        _print(masks, files, found)
    record_task(model, args)
    return 0


def _boxes(found: list[Detection]) -> list[Prompt]:
    """Return a prompt for each thing that was found by its name."""
    from fathom.tasks.segmenting import Prompt

    return [Prompt(box=one.box) for one in found]


def _prompts(args: argparse.Namespace) -> list[Prompt]:
    """Return what is meant: a box is one thing, points without a box are one together."""
    from fathom.tasks.segmenting import Box, Point, Prompt

    points = []
    for option, texts in (("--point", args.point), ("--not", args.without)):
        for text in texts:
            x, y = _numbers(text, 2, option)
            points.append(Point(x, y, inside=option == "--point"))
    boxes = [Box(*_numbers(text, 4, "--box")) for text in args.box]
    if [args.everything, args.text is not None, bool(points or boxes)].count(True) != 1:
        raise RequestError("say what is meant: --point and --box, --text, or --everything")
    if len(boxes) > 1 and points:
        raise RequestError("points belong to one box; give a single --box with them")
    if not boxes:
        return [Prompt(tuple(points))] if points else []
    return [Prompt(tuple(points), box) for box in boxes]


def _numbers(text: str, count: int, option: str) -> list[float]:
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != count:
        shape = "X,Y" if count == 2 else "X0,Y0,X1,Y1"
        raise RequestError(f"{option} {text!r} is not {shape}; give {count} numbers with commas")
    return numbers


def _masks(
    model: Model, picture: Picture, prompts: list[Prompt], args: argparse.Namespace
) -> list[Mask]:
    if not args.everything:
        if not prompts:
            return []  # nothing of that name
        found: list[list[Mask]] = model.segment(picture, prompts, several=args.several)
        return [mask for masks in found for mask in masks]
    from fathom.tasks.segmenting import Everything

    shown: list[Mask] = model.everything(picture, Everything(side=args.side))
    return shown


def _write(folder: Path, picture: Picture, masks: list[Mask]) -> list[Path]:
    """Write each mask as a PNG of black and white, and all of them over the picture."""
    import numpy as np

    from fathom.inputs.masks import overlaid
    from fathom.inputs.pictures import write_picture

    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for number, mask in enumerate(masks):
        files.append(folder / f"mask-{number}.png")
        write_picture(files[-1], mask.inside.astype(np.uint8) * 255)
    files.append(folder / "overlay.png")
    write_picture(files[-1], overlaid(picture.pixels, [mask.inside for mask in masks]))
    return files


def _told(mask: Mask, found: list[Detection]) -> Json:
    """Return a mask as COCO's annotations hold it: its box as left, top, width, height.

    One of something that was `found` says by which phrase, and how well that fits.
    """
    from fathom.inputs.masks import packed, run_lengths

    left, top, right, bottom = mask.box
    height, width = mask.inside.shape
    box: list[Json] = [left, top, right - left + 1, bottom - top + 1] if mask.area else [0] * 4
    counts = packed(run_lengths(mask.inside))
    named: dict[str, Json] = {}
    if found:
        named = {"phrase": found[mask.prompt].phrase, "score": found[mask.prompt].score}
    return {
        **named,
        "prompt": mask.prompt,
        "quality": mask.quality,
        "stability": mask.stability,
        "area": mask.area,
        "bbox": box,
        "segmentation": {"size": [height, width], "counts": counts},
    }


def _print(masks: list[Mask], files: list[Path], found: list[Detection]) -> None:
    titles = ("mask", "quality", "stability", "area", "left,top,right,bottom", "phrase", "file")
    rows = [
        (
            str(number),
            f"{mask.quality:.3f}",
            f"{mask.stability:.3f}",
            f"{mask.area:,}",
            ",".join(map(str, mask.box)),
            found[mask.prompt].phrase if found else "",
            str(files[number]) if files else "",
        )
        for number, mask in enumerate(masks)
    ]
    print_columns([titles, *rows], right=frozenset({1, 2, 3}))
    if files:
        print(files[-1])
