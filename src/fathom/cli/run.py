"""`fathom run`: a text in, or a picture or sound, and what the model is there for out.

Text is streamed, with what was predicted beside what was measured.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from fathom.cli.figures import figure_lines, report
from fathom.cli.forming import form_arguments, form_options
from fathom.cli.media import Medium, content, require_able, require_question, told_apart
from fathom.cli.opening import opening_arguments, opening_options
from fathom.cli.output import on_terminal, print_json
from fathom.cli.writing import Writer
from fathom.errors import NotFoundError, RequestError
from fathom.spec.tasks import TASKS

if TYPE_CHECKING:
    from fathom.cli.tasks import Asked
    from fathom.library import Generation, TextModel

EXAMPLES = """\
  fathom run smollm2:135m "Why is the sky blue?"
  fathom run smollm2:135m                          a chat, when stdin is a terminal
  git diff | fathom run ./model.gguf - --system "Review this change."
  fathom run smollm2:135m "Once upon a time" --raw --temperature 0.8 --seed 7
  fathom run smollm2:135m "Name a colour." --json
  fathom run ./model "Why is the sky blue?" --quant int8
  fathom run smollm2:135m "Describe a cat." --schema cat.json
  fathom run ./bert "Paris is the [MASK] of France."
  fathom run ./qa "Who wrote it?" --about-file story.txt
  fathom run ./reranker "a query" "a document" "another one"
  fathom run ./t5 "The house is small." --task translate --languages en de
  fathom run ./llava photo.jpg "What is this?"
  fathom run ./qwen2.5-vl film.gif "What happens?"
  fathom run ./coder "def area(radius):<FILL>" --infill
"""
FILL = "<FILL>"  # where something is missing in a text

# Option of the command line → its type and help. Each is passed to the library under this name,
# and only when given: what a model does by itself is the model's and the library's to say.
SAMPLING: dict[str, tuple[type, str]] = {
    "max_tokens": (int, "stop after so many tokens"),
    "min_tokens": (int, "go on for so many tokens at least"),
    "temperature": (float, "0 takes the likeliest token; higher is more varied"),
    "top_k": (int, "choose among the k likeliest tokens"),
    "top_p": (float, "choose among the likeliest tokens that sum to this probability"),
    "min_p": (float, "leave out tokens below this share of the likeliest one's probability"),
    "repetition_penalty": (float, "above 1 makes tokens that have occurred less likely"),
    "presence_penalty": (float, "subtracted once from a token that has occurred"),
    "frequency_penalty": (float, "subtracted for each time a token has occurred"),
    "no_repeat_ngram_size": (int, "write no run of so many tokens twice"),
    "beams": (int, "follow so many ways of writing at once (seq2seq models)"),
    "length_penalty": (float, "of several beams: above 0 favours long answers"),
    "seed": (int, "the same seed gives the same answer"),
    "reasoning_budget": (int, "end the thinking before the answer after so many tokens"),
    "logprobs": (int, "log-probabilities of so many likeliest tokens at each step, with --json"),
}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `run`."""
    parser.add_argument("name", metavar="NAME", help="catalogue name, folder, file or hub id")
    parser.add_argument(
        "texts",
        metavar="TEXT",
        nargs="*",
        help="the text, and files of pictures or sound that it is about; '-' or none at all in a"
        " pipe reads stdin, less one final newline; of a reranker a query, then documents",
    )
    _task_arguments(parser)
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
    form_arguments(parser)
    parser.add_argument(
        "--no-record", action="store_true", help="keep no record of the speed measured"
    )
    loading = opening_arguments(parser, packing=True)
    loading.add_argument("--adapter", metavar="NAME", help="a LoRA adapter: folder or hub id")
    loading.add_argument("--context", type=int, metavar="INT", help="positions to make room for")


def _task_arguments(parser: argparse.ArgumentParser) -> None:
    tasks = parser.add_argument_group("tasks")
    listed = "; ".join(f"{task} {does}" for task, does in TASKS.items())
    tasks.add_argument(
        "--task", choices=TASKS, metavar="TASK", help=f"not what the model decides, but: {listed}"
    )
    tasks.add_argument("--about", metavar="TEXT", help="what a question is about")
    tasks.add_argument(
        "--about-file", type=Path, metavar="FILE", help="the same from a file; '-' reads stdin"
    )
    tasks.add_argument("--top", type=int, metavar="INT", help="candidates for a mask")
    tasks.add_argument(
        "--languages", nargs=2, metavar=("FROM", "TO"), help="to translate, such as en de"
    )
    tasks.add_argument("--infill", action="store_true", help=f"write what {FILL} stands for")
    tasks.add_argument("--prefix", metavar="TEXT", help="what is before the text to be filled in")
    tasks.add_argument("--suffix", metavar="TEXT", help="what is after it")


def run(args: argparse.Namespace) -> int:
    """Do what the model is there for with a text, or hold a chat."""
    media, args.texts = told_apart(args.texts)
    if media:
        require_question(media, args.texts[0] if args.texts else None)
    prompt = _prompt(args)
    about = _about(args)
    if args.system is not None:
        _checked("system text", args.system)
    model = _open(args)
    if media:
        return _talk_about(model, media, prompt or "", args)
    task = _task(model, args)
    if args.system is not None and task != "chat":
        raise RequestError("--system needs a chat template, which --raw or this checkpoint lacks")
    if args.languages is not None and task != "translate":
        raise RequestError(f"--languages is for translate, not for {task}")
    if prompt is None and task != "infill":
        return _chat(model, task, args)
    text = prompt or ""
    more = tuple(_checked("further text", each) for each in args.texts[1:])
    from fathom.cli.tasks import READING, Asked, check

    asked = Asked(text, more, about, args.top)
    check(task, asked)
    if task in READING:
        return _read(model, task, asked, args)
    generation = _begin(model, task, args, text)
    _write(generation, task, args)
    _remember(args)(model, generation)
    return 0


def _talk_about(
    model: TextModel, media: Sequence[Medium], text: str, args: argparse.Namespace
) -> int:
    """Answer a question about pictures and sound."""
    require_able(model, media)
    system = [] if args.system is None else [{"role": "system", "content": args.system}]
    said = {"role": "user", "content": content(media, text, model.card.inputs)}
    given: dict[str, Any] = options(args)
    generation = model.chat([*system, said], **given)
    _write(generation, "chat", args)
    _remember(args)(model, generation)
    return 0


def _remember(args: argparse.Namespace) -> Callable[[TextModel, Generation], None]:
    """Return what is to be done when an answer has ended and was shown."""
    if args.no_record:
        return lambda model, generation: None
    from fathom.cli.recording import record_run

    return record_run


def _chat(model: TextModel, task: str, args: argparse.Namespace) -> int:
    if task != "chat":
        raise RequestError(f"this checkpoint has no chat template: give a prompt, to {task}")
    from fathom.cli.chat import chat

    return chat(model, args.system, options(args), quiet=args.quiet, done=_remember(args))


def _read(model: TextModel, task: str, asked: Asked, args: argparse.Namespace) -> int:
    """Do a task that gives no text of its own."""
    unused = sorted(options(args))
    if unused:
        option = "--" + unused[0].replace("_", "-")
        raise RequestError(f"{option} is for models that write; this one is there to {task}")
    from fathom.cli.tasks import read, show

    show(task, read(model, task, asked), as_json=args.json, quiet=args.quiet)
    return 0


def _write(generation: Generation, task: str, args: argparse.Namespace) -> None:
    """Print an answer as it comes, then its figures."""
    if args.json:
        for _ in generation:
            pass
        print_json({"task": task, **report(generation)})
        return
    if not args.quiet:
        for note in generation.notes:
            print(f"fathom: note: {note}", file=sys.stderr)
    _stream(generation, thinking=not args.quiet)
    if not args.quiet:
        print("\n".join(["", *figure_lines(generation)]), file=sys.stderr)


def _task(model: TextModel, args: argparse.Namespace) -> str:
    """Return what is asked for, or else what the model is there for."""
    task: str | None = args.task
    filling = args.infill or args.prefix is not None or args.suffix is not None
    for asked, option, implied in (
        (args.raw, "--raw", "generate"),
        (filling, "--infill, --prefix and --suffix", "infill"),
    ):
        if asked and task not in (None, implied):
            raise RequestError(f"{option} and --task {task} contradict one another; drop one")
        task = implied if asked else task
    return task or model.tasks[0]


def options(args: argparse.Namespace) -> dict[str, object]:
    """Return the options of generation that were given, and the form of the answer."""
    names = (*SAMPLING, "stop")
    given = {name: value for name in names if (value := getattr(args, name)) is not None}
    return given | form_options(args)


def _prompt(args: argparse.Namespace) -> str | None:
    """Return the prompt, or ``None`` for a chat. Raises RequestError where neither can be."""
    if args.logprobs is not None and not args.json:
        raise RequestError("--logprobs needs --json, which has room for them")
    given = args.texts[0] if args.texts else None
    if args.prefix is not None or args.suffix is not None:
        if given is not None:
            raise RequestError("--prefix and --suffix are the text; leave out the other")
        return None
    if given is not None and given != "-":
        return _checked("prompt", given)
    if given == "-" or not on_terminal(sys.stdin):
        return _checked("prompt on stdin", _standard_input())
    if args.json:
        raise RequestError("--json needs a prompt: give one, or '-' to read stdin")
    if args.raw:
        raise RequestError("--raw needs a prompt: give one, or '-' to read stdin")
    if not on_terminal(sys.stdout):
        raise RequestError("a chat needs a terminal: give a prompt, or '-' to read stdin")
    return None


def _about(args: argparse.Namespace) -> str | None:
    """Return what a question is about, typed or from a file."""
    file: Path | None = args.about_file
    if file is None:
        return None if args.about is None else _checked("--about text", args.about)
    if args.about is not None:
        raise RequestError("--about and --about-file are the same thing; give one of them")
    if str(file) == "-":
        return _checked("text on stdin", _standard_input())
    try:
        return _checked(f"file {file}", file.read_text("utf-8"))
    except UnicodeDecodeError as error:
        raise RequestError(f"{file} is not UTF-8 at byte {error.start:,}; convert it") from error
    except OSError as error:
        raise NotFoundError(
            f"{file}: cannot be read ({error.strerror or error}); name a readable file"
        ) from error


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


def _open(args: argparse.Namespace) -> TextModel:
    from fathom import library

    opened = library.open(
        args.name,
        adapter=args.adapter,
        context=args.context,
        **opening_options(args, quiet=args.quiet),
    )
    return cast("TextModel", opened)  # one of another kind says itself what it cannot do


def _begin(model: TextModel, task: str, args: argparse.Namespace, text: str) -> Generation:
    """Begin to write."""
    given = options(args)
    match task:
        case "chat":
            system = [] if args.system is None else [{"role": "system", "content": args.system}]
            messages = [*system, {"role": "user", "content": text}]
            return model.chat(messages, tools=None, **given)
        case "infill":
            before, after = _around(args, text)
            return model.infill(before, after, **given)
        case "summarize":
            return model.summarize(text, **given)
        case "translate":
            languages = None if args.languages is None else tuple(args.languages)
            return model.translate(text, languages=languages, **given)
        case _:
            if not args.raw and args.task is None and not args.quiet:
                print(f"fathom: note: {_plainly(model)}", file=sys.stderr)
            return model.generate(text, **given)


def _plainly(model: TextModel) -> str:
    """Say what becomes of a text that is given as it is."""
    if "translate" not in model.tasks:
        return "no chat template here, so the text is continued"
    named = ", ".join(model.task_prompts)
    made = f" (its publisher names {named})" if named else ""
    return f"the text is read as it is{made}; --task translate or summarize say what to write"


def _around(args: argparse.Namespace, text: str) -> tuple[str, str]:
    """Return what is before a gap and after it."""
    if args.prefix is not None or args.suffix is not None:
        return args.prefix or "", args.suffix or ""
    if text.count(FILL) != 1:
        raise RequestError(
            f"the text has {text.count(FILL)} gaps; write {FILL} once where something is missing"
        )
    before, _, after = text.partition(FILL)
    return before, after


def _stream(generation: Generation, *, thinking: bool) -> None:
    """Write each piece as it comes, and end the line also when the answer is cut short."""
    writer = Writer(thinking=thinking)
    try:
        for piece in generation:
            writer.write(piece)
    finally:
        writer.end()
