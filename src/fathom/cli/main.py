"""The command line: finds the verb, imports only that, and turns every error into one line."""

from __future__ import annotations

import argparse
import io
import os
import sys
import traceback
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import NoReturn, Protocol, TextIO, cast

from fathom.errors import FathomError, RequestError, nearest

INTERRUPTED = 130  # what a shell reports for a command ended by Ctrl-C: 128 + SIGINT
READER_LEFT = 141  # likewise for one whose reader, such as `head`, has seen enough: 128 + SIGPIPE


@dataclass(frozen=True, slots=True)
class Verb:
    """One line of the table of verbs; `module` is imported when the verb is chosen."""

    module: str
    help: str


VERBS: dict[str, Verb] = {
    "run": Verb("fathom.cli.run", "ask a model: one answer, or a chat when no prompt is given"),
    "inspect": Verb("fathom.cli.inspect", "say what a checkpoint is, from its headers alone"),
    "explain": Verb(
        "fathom.cli.explain", "what it is made of and what a token costs, from the configuration"
    ),
    "fit": Verb("fathom.cli.fit", "does it fit, how fast will it be, and what would fit instead"),
    "embed": Verb("fathom.cli.embed", "turn texts into vectors"),
    "transcribe": Verb("fathom.cli.transcribe", "write down what is said in a sound, with times"),
    "look": Verb("fathom.cli.look", "say what is in a picture, by words of yours or its own"),
    "imagine": Verb("fathom.cli.imagine", "make a picture of a text, or change one"),
    "autoencode": Verb("fathom.cli.autoencode", "a picture to latents and back, and how close"),
    "segment": Verb("fathom.cli.segment", "mark what belongs together in a picture"),
    "solve": Verb("fathom.cli.solve", "solve a puzzle with a recursive model, and check it"),
    "train": Verb(
        "fathom.cli.train", "train a small model here, in minutes: of puzzles, or of sound"
    ),
    "bench": Verb("fathom.cli.bench", "measure speed and memory beside what was predicted"),
    "measurements": Verb("fathom.cli.measurements", "list, export or forget what was measured"),
    "serve": Verb("fathom.cli.serve", "models as endpoints that other programs know"),
    "ps": Verb("fathom.cli.ps", "which servers run here, and which models they hold"),
    "stop": Verb("fathom.cli.stop", "take a model out of a server's memory, or end the server"),
    "convert": Verb("fathom.cli.convert", "write any readable checkpoint as a safetensors folder"),
    "pull": Verb("fathom.cli.pull", "fetch a checkpoint and say where it lies"),
    "classes": Verb("fathom.cli.classes", "what kinds of models there are, and how two differ"),
    "choose": Verb("fathom.cli.choose", "which class, which models fit, and what would change it"),
    "guide": Verb("fathom.cli.guide", "variants of one family side by side, and which to take"),
    "models": Verb("fathom.cli.models", "the models of the catalogue, chosen and sorted"),
    "model": Verb("fathom.cli.model", "one model's card: every value with its source"),
    "prices": Verb("fathom.cli.prices", "what a stated mix of tokens costs on hosted models"),
    "timeline": Verb("fathom.cli.timeline", "what appeared when"),
    "tree": Verb("fathom.cli.tree", "who came from whom, drawn from the cards"),
    "catalog": Verb("fathom.cli.catalog", "renew, check and export the catalogue"),
}
HOME = Verb("fathom.cli.home", "this machine, its measured rates, what is cached")

EXAMPLES = """\
  fathom                                   this machine and one command to try
  fathom run smollm2:135m "Why is the sky blue?"
  fathom inspect smollm2:135m
  fathom explain ./config.json
  fathom inspect ./model.gguf --tensors
"""


class VerbModule(Protocol):
    """What the module of a verb provides."""

    EXAMPLES: str

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the verb's own arguments."""

    def run(self, args: argparse.Namespace) -> int:
        """Do it and return the exit code."""


class Parser(argparse.ArgumentParser):
    """An argument parser whose complaints are one line, like every other error."""

    def error(self, message: str) -> NoReturn:
        raise RequestError(f"{message}; see `{self.prog} --help`")


class Version(argparse.Action):
    """Prints the version, which is looked for only here."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        from fathom import __version__

        print(f"fathom {__version__}")
        parser.exit()


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in words
    if isinstance(sys.stdout, io.TextIOWrapper):  # an answer may hold what a code page lacks
        sys.stdout.reconfigure(errors="backslashreplace")
    with warnings.catch_warnings():
        warnings.showwarning = _warn
        try:
            code = _dispatch(words)
            sys.stdout.flush()  # here, so that a reader who has left is noticed here
            return code
        except FathomError as error:
            _complain(error, debug)
            return error.exit_code
        except KeyboardInterrupt:
            return INTERRUPTED
        except BrokenPipeError:
            _silence()
            return READER_LEFT
        except OSError as error:
            if error.errno is None:  # not the system's word but a bug's
                raise
            _complain(error, debug)
            _silence()
            return FathomError.exit_code


def _dispatch(words: list[str]) -> int:
    """Split `[options] verb [arguments]`, load the verb and run it."""
    at = next((index for index, word in enumerate(words) if not word.startswith("-")), len(words))
    common, rest = words[:at], words[at:]
    general = _top_parser().parse_args(common)
    name = rest[0] if rest else ""
    if rest and name not in VERBS:
        raise RequestError(_unknown(name))
    verb = cast(VerbModule, import_module((VERBS[name] if rest else HOME).module))
    parser = Parser(
        prog=f"fathom {name}".strip(),
        description=VERBS[name].help.capitalize() + "." if rest else HOME.help,
        epilog=f"examples:\n{verb.EXAMPLES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    verb.arguments(parser)
    _common_options(parser)
    return verb.run(parser.parse_args(rest[1:], _carried(general)))


def _carried(general: argparse.Namespace) -> argparse.Namespace:
    """Keep `--json` and `--debug` that stood before the verb."""
    return argparse.Namespace(**{name: True for name, on in vars(general).items() if on})


def _common_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print one JSON object on stdout")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")


def _top_parser() -> Parser:
    width = max(map(len, VERBS))
    verbs = "\n".join(f"  {name:<{width}}  {verb.help}" for name, verb in VERBS.items())
    parser = Parser(
        prog="fathom",
        usage="fathom [verb] [arguments] [--json] [--debug]",
        description=f"Every class of AI model on the hardware you have.\n\nverbs:\n{verbs}",
        epilog=f"examples:\n{EXAMPLES}\n`fathom VERB --help` explains a verb.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    _common_options(parser)
    parser.add_argument("--version", action=Version, nargs=0, help="print the version")
    return parser


def _unknown(word: str) -> str:
    if any(sign in word for sign in ":/.\\"):
        return f"{word!r} looks like a model, not a verb; try `fathom run {word}`"
    return f"there is no verb {word!r}.{nearest(word, VERBS)} `fathom --help` lists them"


def _complain(error: Exception, debug: bool) -> None:
    if debug:
        traceback.print_exception(error)
    line = " ".join(str(error).split())
    print(f"fathom: {line}", file=sys.stderr)


def _warn(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Show a warning as one line; where in the code it arose is nothing a user can act upon."""
    print(f"fathom: note: {message}", file=file or sys.stderr)


def _silence() -> None:
    """Turn stdout to nowhere if it takes no more, its disk full or its reader gone.

    The interpreter flushes it once more at exit, and would complain a second time.
    """
    try:
        sys.stdout.flush()
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


if __name__ == "__main__":
    sys.exit(main())
