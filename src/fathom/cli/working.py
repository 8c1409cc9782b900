"""Options of work in stages: sizes of pictures, seconds of sound, steps; whether it is noted."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fathom.spec.work import Work


def work_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that say how much is asked of a model that works in stages."""
    group = parser.add_argument_group("how much, of models that see, hear, draw or solve")
    group.add_argument(
        "--size", type=int, nargs=2, metavar=("WIDTH", "HEIGHT"), help="of a picture, in pixels"
    )
    group.add_argument("--frames", type=int, help="pictures of one request")
    group.add_argument("--seconds", type=float, help="length of a sound")
    group.add_argument("--tokens", type=int, help="length of the text beside it")
    group.add_argument("--written", type=int, help="tokens of the answer")
    group.add_argument("--steps", type=int, help="steps of denoising, or of refining an answer")
    group.add_argument(
        "--guided",
        action=argparse.BooleanOptionalAction,
        help="each step with and without the prompt, or with it alone",
    )


def record_argument(parser: argparse.ArgumentParser) -> None:
    """Add the option by which a verb keeps no record."""
    parser.add_argument(
        "--no-record", action="store_true", help="keep no record of the time measured"
    )


def work_of(args: argparse.Namespace) -> Work:
    """Return the work that options state; the rest is left open."""
    from fathom.spec.work import Work

    width, height = args.size or (None, None)
    return Work(
        height=height,
        width=width,
        frames=args.frames,
        seconds=args.seconds,
        tokens=args.tokens,
        written=args.written,
        steps=args.steps,
        guided=args.guided,
    )
