"""`fathom transcribe`: sound to text, as lines, as subtitles or as JSON with times."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from fathom.cli.opening import opening_arguments, opening_options
from fathom.cli.output import on_terminal, plain, print_json, seconds_text
from fathom.cli.progress import SoundBar
from fathom.cli.working import record_argument
from fathom.errors import RequestError
from fathom.spec.work import Work

if TYPE_CHECKING:
    from fathom.library.speech import SpeechModel, Transcription
    from fathom.tasks.transcripts import Segment, Transcript

USUAL = "openai/whisper-base"  # where nobody names a model: 73 M parameters, 99 languages
FORMATS = ("text", "srt", "vtt", "json")

EXAMPLES = """\
  fathom transcribe talk.wav
  fathom transcribe ./whisper-small talk.mp3 --language german --translate
  fathom transcribe talk.flac --format srt > talk.srt
  fathom transcribe talk.ogg --timestamps word --format json
  cat talk.wav | fathom transcribe - --prompt "Fathom, Whisper"
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `transcribe`."""
    parser.add_argument(
        "name",
        metavar="NAME",
        nargs="?",
        default=USUAL,
        help=f"a model of speech: folder, file or hub id; {USUAL} unless given",
    )
    parser.add_argument(
        "sound", metavar="SOUND", help="a WAV, FLAC, OGG, MP3, AIFF, CAF or AU file; '-' for stdin"
    )
    parser.add_argument(
        "--language", metavar="LANGUAGE", help="code or English name; detected unless given"
    )
    parser.add_argument("--translate", action="store_true", help="write it in English")
    parser.add_argument(
        "--timestamps",
        choices=("segment", "word"),
        nargs="?",
        const="segment",
        help="show the times of segments, or of words as well",
    )
    parser.add_argument("--format", choices=FORMATS, default="text", help="text unless given")
    parser.add_argument("--prompt", metavar="TEXT", help="names and spellings that may be heard")
    parser.add_argument(
        "--conditioned", action="store_true", help="go on from what was said in windows before"
    )
    parser.add_argument("--quiet", action="store_true", help="the transcript and nothing else")
    record_argument(parser)
    opening_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Write down one sound."""
    form = "json" if args.json else args.format
    if args.json and args.format not in ("text", "json"):
        raise RequestError(f"--json and --format {args.format} contradict one another; drop one")
    sound = sys.stdin.buffer.read() if args.sound == "-" else Path(args.sound)
    from fathom import library
    from fathom.cli.recording import record_task

    model: SpeechModel = library.open(  # type: ignore[assignment]  # another says what it can do
        args.name,
        **opening_options(args, quiet=args.quiet or args.json),
    )
    model.prepare()  # so that what is timed is the answer
    begun = time.perf_counter()
    found = model.transcribe(
        sound,
        language=args.language,
        task="translate" if args.translate else None,
        timestamps="word" if args.timestamps == "word" else "segment",
        prompt=args.prompt,
        conditioned=args.conditioned,
    )
    _write(found, form, args)
    taken = time.perf_counter() - begun
    if not args.quiet and form != "json":
        print(_figures(model, found, taken), file=sys.stderr)
    record_task(model, args)
    return 0


def _write(found: Transcription, form: str, args: argparse.Namespace) -> None:
    """Print segments as they come, or what can only be said of the whole at its end."""
    shown = not (args.quiet or args.json) and not (form == "text" and on_terminal(sys.stdout))
    with _followed(found, shown) as segments:
        if form == "text":
            for segment in segments:
                print("\n".join(_lines(segment, args.timestamps)), flush=True)
            return
        for _ in segments:
            pass
    whole = found.finish()
    if form == "json":
        print_json(_told(whole))
        return
    from fathom.tasks.transcripts import FORMS

    sys.stdout.write(FORMS[form](whole.segments))


@contextmanager
def _followed(found: Transcription, shown: bool) -> Iterator[Iterator[Segment]]:
    """Give the segments while a bar follows how much was heard, where a person can see it."""
    if not shown or not on_terminal(sys.stderr):
        yield iter(found)
        return
    bar = SoundBar()
    bar.start(round(found.seconds), "listening")

    def following() -> Iterator[Segment]:
        before = 0
        for segment in found:
            bar.advance(round(found.heard) - before)
            before = round(found.heard)
            yield segment

    try:
        yield following()
    finally:
        bar.done()


def _lines(segment: Segment, timestamps: str | None) -> list[str]:
    """Return a segment as lines: its text, with its times, or those of each word."""
    if timestamps == "word":
        return [f"[{w.start:7.2f} – {w.end:7.2f}] {w.text.strip()}" for w in segment.words]
    before = "" if timestamps is None else f"[{segment.start:7.2f} – {segment.end:7.2f}] "
    return [before + segment.text.strip()]


def _told(whole: Transcript) -> dict[str, object]:
    return {
        "text": whole.text,
        "language": whole.language,
        "seconds": whole.seconds,
        "segments": plain(whole.segments),
    }


def _figures(model: SpeechModel, found: Transcription, taken: float) -> str:
    """Return a line on how long it took, beside what was predicted, and one on what did it."""
    predicted = model.fit(Work(seconds=found.seconds)).total_seconds
    forecast = "" if predicted is None else f", predicted {seconds_text(predicted)}"
    language = "" if found.language is None else f" of {found.language}"
    return (
        f"\n{seconds_text(found.seconds)}{language} in {seconds_text(taken)}{forecast}"
        f" ({found.seconds / taken:.1f} times as fast as it was said)\n{model.kernels}"
    )
