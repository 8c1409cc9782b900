"""`fathom imagine`: a text, a text and a picture, or a seed alone, to a picture in a file."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from fathom.cli import seeds
from fathom.cli.output import on_terminal, print_facts, print_json, seconds_text
from fathom.cli.progress import shown_progress
from fathom.cli.working import record_argument
from fathom.errors import RequestError

if TYPE_CHECKING:
    from fathom.tasks.diffusion.results import Imagined, Shown

EXAMPLES = """\
  fathom imagine ./stable-diffusion "a lighthouse at dusk" --out lighthouse.png
  fathom imagine ./lcm "a lighthouse at dusk" --steps 4 --seed 7 --preview now.png
  fathom imagine ./sdxl "a lighthouse" --negative "people, text" --guidance 6 --size 1024 768
  fathom imagine ./model "the same, in winter" --picture photo.jpg --strength 0.6
  fathom imagine ./model "a red door" --picture photo.jpg --mask door.png
  fathom imagine ./sdxl "a harbour" --resting
  fathom imagine ./stylegan2-faces --seed 85 --truncation 0.7 --out face.png
  fathom imagine ./stylegan2-faces --seed 85 --to 100 --frames 24 --out way.png
  fathom imagine ./model "a house" --steer-by ./controlnet-canny --hint edges.png
"""
# Option → its type, its name for a value, and its help; passed to the library when given.
WISHES: dict[str, tuple[type, str, str]] = {
    "negative": (str, "TEXT", "what the picture shall keep away from"),
    "steps": (int, "INT", "how often noise is taken away; fewer are quicker"),
    "guidance": (float, "FLOAT", "how strongly the text is followed; 1 or less asks only once"),
    "seed": (int, "INT", "the same seed gives the same picture (0)"),
    "picture": (Path, "FILE", "a picture to change"),
    "strength": (float, "FLOAT", "how much of it is made anew, from 0 to 1 (0.8)"),
    "mask": (Path, "FILE", "fill in the picture where this one is bright"),
    "hint": (Path, "FILE", "a picture that steers, such as edges, for a ControlNet"),
    "steering": (float, "FLOAT", "how strongly it steers (1)"),
}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `imagine`."""
    parser.add_argument("name", metavar="NAME", help="a pipeline: folder or hub id")
    parser.add_argument("prompt", metavar="PROMPT", nargs="?", help="what the picture shall show")
    for name, (kind, metavar, text) in WISHES.items():
        parser.add_argument(f"--{name}", type=kind, metavar=metavar, help=text)
    parser.add_argument(
        "--size", type=int, nargs=2, metavar=("WIDTH", "HEIGHT"), help="in pixels; as trained"
    )
    parser.add_argument(
        "--out", type=Path, metavar="FILE", default=Path("picture.png"), help="(picture.png)"
    )
    parser.add_argument(
        "--preview", type=Path, metavar="FILE", help="write what is expected after each step"
    )
    parser.add_argument("--steer-by", metavar="NAME", help="a ControlNet: folder or hub id")
    seeds.arguments(parser)
    record_argument(parser)
    loading = parser.add_argument_group("loading")
    loading.add_argument(
        "--adapter", metavar="FILE", help="a LoRA of diffusers or kohya: a .safetensors file"
    )
    loading.add_argument("--dtype", help="type to compute in, such as float32 or bfloat16")
    loading.add_argument("--device", help="where to compute, such as cpu or cuda:0")
    loading.add_argument(
        "--resting", action="store_true", help="components in memory only while they work"
    )


def run(args: argparse.Namespace) -> int:
    """Make one picture and write it."""
    for file in (args.out, args.preview):
        if file is not None and file.suffix.lower() not in (".png", ".jpg", ".jpeg", ".webp"):
            raise RequestError(f"{file}: the name of a picture ends with .png, .jpg or .webp")
    from fathom import library
    from fathom.cli.recording import record_task
    from fathom.library.generating import GeneratorModel
    from fathom.library.imagining import PictureMakerModel

    shown = shown_progress(args.json)
    where = {"dtype": args.dtype, "device": args.device, "progress": shown}
    model = library.open(args.name, resting=args.resting, **where)
    if isinstance(model, GeneratorModel):
        return seeds.draw(model, args, wishes(args))
    _require_text(args)
    if isinstance(model, PictureMakerModel):
        if args.steer_by is not None:
            model.steer_by(library.open(args.steer_by, **where))
        if args.adapter is not None:
            model.put_adapter_on(args.adapter)
    watch = Steps(args.preview, quiet=args.json)
    try:
        made = model.imagine(args.prompt, progress=watch, **wishes(args))
    finally:
        watch.done()
    made.save(args.out)
    _tell(made, args)
    record_task(model, args)
    return 0


def _require_text(args: argparse.Namespace) -> None:
    """Refuse what only a generator takes.

    Raises:
        RequestError: saying what is missing, or too much.
    """
    if args.prompt is None:
        raise RequestError("say what the picture shall show; only a generator takes a seed alone")
    for name in seeds.chosen(args):
        raise RequestError(f"--{name} is for a generator, which takes no text; leave it out")


def wishes(args: argparse.Namespace) -> dict[str, object]:
    """Return the wishes that were given."""
    found = {name: value for name in WISHES if (value := getattr(args, name)) is not None}
    return found | ({"size": tuple(args.size)} if args.size else {})


class Steps:
    """A line on a terminal that counts steps, and the picture expected, where it is asked for."""

    def __init__(self, preview: Path | None, *, quiet: bool) -> None:
        self._preview = preview
        self._shown = on_terminal(sys.stderr) and not quiet
        self._open = False

    def __call__(self, shown: Shown) -> None:
        if self._shown:
            print(f"\rstep {shown.step} of {shown.steps}", end="", file=sys.stderr, flush=True)
            self._open = True
        if self._preview is not None:
            from fathom.inputs.pictures import write_picture

            write_picture(self._preview, shown.look())

    def done(self) -> None:
        """End the line."""
        if self._open:
            print(file=sys.stderr)
            self._open = False


def _tell(made: Imagined, args: argparse.Namespace) -> None:
    told = {
        "file": args.out,
        "prompt": made.prompt,
        "size": made.size,
        "seed": made.seed,
        "steps": made.steps,
        "guidance": made.guidance,
        "evaluations": made.evaluations,
        "seconds": made.seconds,
        "notes": made.notes,
    }
    if args.json:
        print_json(told)
        return
    for note in made.notes:
        print(f"fathom: note: {note}", file=sys.stderr)
    width, height = made.size
    print_facts(
        [
            ("file", str(args.out)),
            ("size", f"{width} × {height} pixels"),
            ("seed", f"{made.seed}"),
            ("steps", f"{made.steps}, the denoiser asked {made.evaluations} times"),
            ("time", seconds_text(made.seconds)),
        ]
    )
