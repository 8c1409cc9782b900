"""The chat in a real pseudo-terminal: what is typed, what is answered, what Ctrl-C stops."""

from __future__ import annotations

import os
import re
import select
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from waiting import LONGEST

pty = pytest.importorskip("pty", reason="pseudo-terminals are POSIX")

FAKE = Path(__file__).with_name("fake_library.py")
CTRL_C, CTRL_D = "\x03", "\x04"


class Terminal:
    """A child process on a pseudo-terminal, typed into and read like a person would."""

    def __init__(self, *words: str) -> None:
        self.process, self.descriptor = pty.fork()
        if self.process == 0:
            # As a shell at a terminal does; what runs in the background ignores Ctrl-C, and its
            # children too.
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            environment = {**os.environ, "TERM": "dumb", "PYTHONUNBUFFERED": "1"}
            program = [sys.executable, str(FAKE), *words]
            os.execve(program[0], program, environment)
        self.seen = ""

    def type(self, text: str) -> None:
        os.write(self.descriptor, text.encode())

    def expect(self, pattern: str, seconds: float = LONGEST) -> str:
        """Read until the pattern appears after what was expected before; return what came."""
        deadline = time.monotonic() + seconds
        while True:
            found = re.search(pattern, self.seen)
            if found:
                came, self.seen = self.seen[: found.end()], self.seen[found.end() :]
                return came
            remaining = deadline - time.monotonic()
            if remaining <= 0 or not self._read(remaining):
                raise AssertionError(f"{pattern!r} did not come; there was {self.seen!r}")

    def _read(self, seconds: float) -> bool:
        ready, _, _ = select.select([self.descriptor], [], [], seconds)
        try:
            came = os.read(self.descriptor, 4096) if ready else b""
        except OSError:  # Linux says so when the child has closed its side
            return False
        self.seen += came.decode(errors="replace")
        return bool(came)

    def exit_code(self) -> int:
        """Read to the end and return the exit code."""
        while self._read(LONGEST):
            pass
        _, status = os.waitpid(self.process, 0)
        self.process = 0
        return os.waitstatus_to_exitcode(status)

    def close(self) -> None:
        if self.process:
            os.kill(self.process, signal.SIGKILL)
            os.waitpid(self.process, 0)
        os.close(self.descriptor)


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    chat = Terminal("run", "echo")
    try:
        chat.expect("Echo: /help lists what you can type")
        chat.expect(">>> ")
        yield chat
    finally:
        chat.close()


def test_a_chat_remembers_and_forgets(terminal: Terminal) -> None:
    terminal.type("hello\n")
    terminal.expect("1: hello\r?\n")  # the fake says how many messages it was given
    terminal.expect("1 tokens in, 2 out")
    terminal.expect(">>> ")
    terminal.type("again\n")
    terminal.expect("3: again")
    terminal.expect(">>> ")
    terminal.type("/reset\n")
    terminal.expect("forgotten")
    terminal.expect(">>> ")
    terminal.type("anew\n")
    terminal.expect("1: anew")
    terminal.expect(">>> ")
    terminal.type("/exit\n")
    assert terminal.exit_code() == 0


def test_help_and_what_is_no_command(terminal: Terminal) -> None:
    terminal.type("/help\n")
    terminal.expect("/reset +forget")
    terminal.expect(">>> ")
    terminal.type("/rest\n")
    terminal.expect("there is no /rest")
    terminal.expect(">>> ")
    terminal.type("\n")
    terminal.expect(">>> ")
    terminal.type("/usr/bin is what?\n")  # more than one word: a question
    terminal.expect("1: /usr/bin is what?")


def test_ctrl_d_leaves(terminal: Terminal) -> None:
    terminal.type(CTRL_D)
    assert terminal.exit_code() == 0


def test_ctrl_c_stops_the_answer_and_keeps_the_chat(terminal: Terminal) -> None:
    terminal.type("speak slowly\n")
    terminal.expect("slowly 0 1 2")
    terminal.type(CTRL_C)
    came = terminal.expect(r"\(stopped\)")
    assert " 999" not in came
    terminal.expect(">>> ")
    terminal.type("next\n")
    terminal.expect("3: next")  # the half answer was kept


def test_ctrl_c_at_the_prompt_drops_the_line(terminal: Terminal) -> None:
    terminal.type("half a li")
    terminal.expect("half a li")
    terminal.type(CTRL_C)
    try:
        terminal.expect("Ctrl-D or /exit leaves", seconds=LONGEST / 4)
    except AssertionError:  # it came between the prompt and the read behind it, which Python misses
        terminal.type(CTRL_C)
        terminal.expect("Ctrl-D or /exit leaves")
    terminal.expect(">>> ")
    terminal.type("whole\n")
    terminal.expect("1: whole")


def test_an_error_is_told_and_the_chat_goes_on(terminal: Terminal) -> None:
    terminal.type("too long\n")
    terminal.expect("fathom: 70 tokens exceed the context of 64")
    terminal.expect(">>> ")
    terminal.type("short\n")
    terminal.expect("1: short")  # the question that failed is not part of the chat


def test_a_chat_keeps_its_system_text_and_is_quiet_when_asked() -> None:
    chat = Terminal("run", "echo", "--system", "Be brief.", "--quiet")
    try:
        chat.expect(">>> ")
        chat.type("hello\n")
        chat.expect("2: hello")
        assert "tokens in" not in chat.expect(">>> ")
        chat.type("/reset\n")
        chat.expect("forgotten")
        chat.expect(">>> ")
        chat.type("anew\n")
        chat.expect("2: anew")
    finally:
        chat.close()


def test_a_checkpoint_without_template_holds_no_chat() -> None:
    chat = Terminal("run", "bare")
    try:
        chat.expect("fathom: this checkpoint has no chat template: give a prompt")
        assert chat.exit_code() == 2
    finally:
        chat.close()


def test_facts_on_a_terminal_are_the_same_facts() -> None:
    chat = Terminal("inspect", "echo")
    try:
        came = chat.expect("made up")
        assert "134,515,008" in came and "Q4_1 2.00 kB (66.7%)" in came
        assert chat.exit_code() == 0
    finally:
        chat.close()


def test_reasoning_is_shown_and_not_said_again(terminal: Terminal) -> None:
    terminal.type("think\n")
    terminal.expect("hm so\r?\n\r?\nyes!\r?\n")
    terminal.expect(">>> ")
    terminal.type("next\n")
    terminal.expect("3: next")
