"""`fathom run`: one answer, streamed, with what was predicted beside what was measured."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from fathom.cli.figures import figure_lines, report
from fathom.cli.output import on_terminal, print_json
from fathom.cli.progress import shown_progress
from fathom.cli.writing import Writer
from fathom.errors import RequestError

if TYPE_CHECKING:
    from fathom.library import Generation, Model

EXAMPLES = """\
  fathom run smollm2:135m "Why is the sky blue?"
  fathom run smollm2:135m                          a chat, when stdin is a terminal
  git diff | fathom run ./model.gguf - --system "Review this change."
  fathom run smollm2:135m "Once upon a time" --raw --temperature 0.8 --seed 7
  fathom run smollm2:135m "Name a colour." --json
"""

# Option of the command line → its type and help. Each is passed to the library under this name,
# and only when given: what a model does by itself is the model's and the library's to say.
SAMPLING: dict[str, tuple[type, str]] = {
    "max_tokens": (int, "stop after so many tokens"),
    "temperature": (float, "0 takes the likeliest token; higher is more varied"),
    "top_k": (int, "choose among the k likeliest tokens"),
    "top_p": (float, "choose among the likeliest tokens that sum to this probability"),
    "min_p": (float, "leave out tokens below this share of the likeliest one's probability"),
    "repetition_penalty": (float, "above 1 makes tokens that have occurred less likely"),
    "presence_penalty": (float, "subtracted once from a token that has occurred"),
    "frequency_penalty": (float, "subtracted for each time a token has occurred"),
    "seed": (int, "the same seed gives the same answer"),
    "reasoning_budget": (int, "end the thinking before the answer after so many tokens"),
    "logprobs": (int, "log-probabilities of so many likeliest tokens at each step, with --json"),
}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `run`."""
    parser.add_argument("name", metavar="NAME", help="catalogue name, folder, file or hub id")
    parser.add_argument(
        "prompt",
        metavar="PROMPT",
        nargs="?",
        help="the text; '-' or none at all in a pipe reads stdin, less one final newline",
    )
    parser.add_argument("--system", metavar="TEXT", help="instructions that come before the chat")
    parser.add_argument("--raw", action="store_true", help="continue the text: no chat template")
    parser.add_argument("--quiet", action="store_true", help="the answer and nothing else")
    sampling = parser.add_argument_group("choosing tokens")
    for name, (kind, text) in SAMPLING.items():
        option = "--" + name.replace("_", "-")
        sampling.add_argument(option, type=kind, metavar=kind.__name__.upper(), help=text)
    sampling.add_argument(
        "--stop", action="append", metavar="TEXT", help="end before this text; may be repeated"
    )
    parser.add_argument(
        "--no-record", action="store_true", help="keep no record of the speed measured"
    )
    loading = parser.add_argument_group("loading")
    loading.add_argument("--adapter", metavar="NAME", help="a LoRA adapter: folder or hub id")
    loading.add_argument("--context", type=int, metavar="INT", help="positions to make room for")
    loading.add_argument("--dtype", help="type to compute in, such as float32 or bfloat16")
    loading.add_argument("--device", help="where to compute, such as cpu or cuda:0")
    loading.add_argument(
        "--allow-pickle", action="store_true", help="load PyTorch pickles, in a process of its own"
    )


def run(args: argparse.Namespace) -> int:
    """Answer one prompt, or hold a chat."""
    prompt = _prompt(args)
    if args.system is not None:
        _checked("system text", args.system)
    model = _open(args)
    if args.system is not None and not _chats(model, args):
        raise RequestError("--system needs a chat template, which --raw or this checkpoint lacks")
    if prompt is None:
        if not _chats(model, args):
            raise RequestError("this checkpoint has no chat template: give a prompt to continue")
        from fathom.cli.chat import chat

        return chat(model, args.system, options(args), quiet=args.quiet, done=_remember(args))
    generation = _begin(model, args, prompt)
    if args.json:
        for _ in generation:
            pass
        print_json(report(generation))
        _remember(args)(model, generation)
        return 0
    _stream(generation, thinking=not args.quiet)
    if not args.quiet:
        print("\n".join(["", *figure_lines(generation)]), file=sys.stderr)
    _remember(args)(model, generation)
    return 0


def _remember(args: argparse.Namespace) -> Callable[[Model, Generation], None]:
    """Return what is to be done when an answer has ended and was shown."""
    if args.no_record:
        return lambda model, generation: None
    from fathom.cli.recording import record_run

    return record_run


def options(args: argparse.Namespace) -> dict[str, object]:
    """Return the options of generation that were given."""
    names = (*SAMPLING, "stop")
    return {name: value for name in names if (value := getattr(args, name)) is not None}


def _prompt(args: argparse.Namespace) -> str | None:
    """Return the prompt, or ``None`` for a chat. Raises RequestError where neither can be."""
    if args.logprobs is not None and not args.json:
        raise RequestError("--logprobs needs --json, which has room for them")
    if args.prompt is not None and args.prompt != "-":
        return _checked("prompt", args.prompt)
    if args.prompt == "-" or not on_terminal(sys.stdin):
        return _checked("prompt on stdin", _standard_input())
    if args.json:
        raise RequestError("--json needs a prompt: give one, or '-' to read stdin")
    if args.raw:
        raise RequestError("--raw needs a prompt: give one, or '-' to read stdin")
    if not on_terminal(sys.stdout):
        raise RequestError("a chat needs a terminal: give a prompt, or '-' to read stdin")
    return None


def _standard_input() -> str:
    content = b"" if sys.stdin is None else sys.stdin.buffer.read()
    try:
        return content.decode("utf-8").removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError as error:
        raise RequestError(
            f"the prompt on stdin is not UTF-8 at byte {error.start:,}; convert it, for example "
            "with `iconv -t utf-8`"
        ) from error


def _checked(what: str, text: str) -> str:
    """Refuse an empty text, and an argument whose bytes were not UTF-8."""
    if not text:
        raise RequestError(f"the {what} is empty; give some text")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise RequestError(
            f"the {what} is not UTF-8 at character {error.start:,}; check the terminal's encoding"
        ) from error
    return text


def _open(args: argparse.Namespace) -> Model:
    from fathom import library

    return library.open(
        args.name,
        adapter=args.adapter,
        dtype=args.dtype,
        device=args.device,
        context=args.context,
        allow_pickle=args.allow_pickle,
        progress=shown_progress(args.quiet),
    )


def _chats(model: Model, args: argparse.Namespace) -> bool:
    return bool(model.card.chat_template) and not args.raw


def _begin(model: Model, args: argparse.Namespace, prompt: str) -> Generation:
    if _chats(model, args):
        system = [] if args.system is None else [{"role": "system", "content": args.system}]
        messages = [*system, {"role": "user", "content": prompt}]
        return model.chat(messages, tools=None, **options(args))
    if not args.raw and not args.quiet:
        print("fathom: note: no chat template here, so the text is continued", file=sys.stderr)
    return model.generate(prompt, **options(args))


def _stream(generation: Generation, *, thinking: bool) -> None:
    """Write each piece as it comes, and end the line also when the answer is cut short."""
    writer = Writer(thinking=thinking)
    try:
        for piece in generation:
            writer.write(piece)
    finally:
        writer.end()
