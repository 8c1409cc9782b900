"""The chat at a terminal: Ctrl-C stops the answer and keeps the chat."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import TYPE_CHECKING

from fathom.cli.figures import figure_lines
from fathom.cli.writing import Writer
from fathom.errors import FathomError

if TYPE_CHECKING:
    from fathom.library import Generation, TextModel

PROMPT = ">>> "
HELP = """\
/reset   forget what was said
/help    this list
/exit    leave; so does Ctrl-D
Ctrl-C   stop the answer; what was said so far is kept"""


@dataclass
class Conversation:
    """What was said, oldest first; the system text stays through a reset."""

    system: str | None
    messages: list[dict[str, str]] = field(default_factory=list)
    told: set[str] = field(default_factory=set)  # notes: each is said once

    def __post_init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget all but the system text."""
        self.messages = [] if self.system is None else [_message("system", self.system)]

    def tell(self, notes: Sequence[str]) -> None:
        """Say what has not been said before."""
        for note in notes:
            if note not in self.told:
                print(f"fathom: note: {note}", file=sys.stderr)
        self.told.update(notes)

    def add(self, question: str, answer: str) -> None:
        """Keep one exchange."""
        self.messages += [_message("user", question), _message("assistant", answer)]


def chat(
    model: TextModel,
    system: str | None,
    options: Mapping[str, object],
    *,
    quiet: bool = False,
    done: Callable[[TextModel, Generation], None] = lambda model, generation: None,
) -> int:
    """Read, answer and repeat until /exit or the end of input; return the exit code.

    `done` is called after each answer that came to its end.
    """
    _line_editing()
    conversation = Conversation(system)
    if not quiet:
        print(f"{model.card.title or model.card.name}: /help lists what you can type")
    for line in _lines():
        match line.strip():
            case "":
                continue
            case "/exit":
                return 0
            case "/reset":
                conversation.reset()
                print("forgotten")
            case "/help":
                print(HELP)
            case command if command.startswith("/") and " " not in command:
                print(f"there is no {command}\n{HELP}")
            case _:
                generation = _exchange(model, conversation, line, options, quiet)
                if generation is not None:
                    done(model, generation)
    return 0


def _lines() -> Iterator[str]:
    """Yield what is typed. Ctrl-C drops the line being typed; Ctrl-D ends."""
    while True:
        try:
            yield input(PROMPT)
        except KeyboardInterrupt:
            print("\n(Ctrl-D or /exit leaves)")
        except EOFError:
            print()
            return


def _exchange(
    model: TextModel,
    conversation: Conversation,
    question: str,
    options: Mapping[str, object],
    quiet: bool,
) -> Generation | None:
    """Answer one question; return what came, None where it was stopped or failed.

    An error is told and the chat goes on without that question.
    """
    messages = [*conversation.messages, _message("user", question)]
    pieces: list[str] = []
    writer = Writer(thinking=not quiet)
    try:
        question.encode("utf-8")
        generation = model.chat(messages, tools=None, **options)
        if not quiet:
            conversation.tell(generation.notes)
        with _stoppable() as asked_to_stop:
            for piece in generation:
                pieces.append(piece)
                writer.write(piece)
                if asked_to_stop:
                    break
    except UnicodeEncodeError as error:
        print(f"fathom: that line is not UTF-8 at character {error.start:,}", file=sys.stderr)
        return None
    except FathomError as error:
        writer.end()
        print(f"fathom: {error} (/reset forgets what was said)", file=sys.stderr)
        return None
    except KeyboardInterrupt:  # a second Ctrl-C, before the next token came
        asked_to_stop = [signal.SIGINT]
    writer.end()
    answer = "".join(pieces)
    if not answer:
        print()
    if asked_to_stop:
        print("(stopped)")
    elif not quiet:
        print("\n".join(figure_lines(generation)[-1:]), file=sys.stderr)
    if answer:
        conversation.add(question, answer)
    return None if asked_to_stop else generation


@contextmanager
def _stoppable() -> Iterator[list[int]]:
    """While an answer runs, note the first Ctrl-C, so that it ends between two tokens.

    The list fills when Ctrl-C is pressed. A second press interrupts at once: a long prompt can
    take a while until its first token.
    """
    pressed: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        if pressed:
            signal.default_int_handler(number, frame)
        pressed.append(number)

    before = signal.signal(signal.SIGINT, note)
    try:
        yield pressed
    finally:
        signal.signal(signal.SIGINT, before)


def _line_editing() -> None:
    """Arrow keys and history, where the system has them; `input` uses the module by itself."""
    try:
        import readline  # noqa: F401
    except ImportError:
        return  # Windows consoles edit lines by themselves


def _message(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}
