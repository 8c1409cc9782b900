"""Terminal output in documents: written by running the command that stands above it.

    python tests/documents/outputs.py README.md      # run every command and rewrite its output

A block is a comment ``<!-- output: COMMAND -->`` and the fenced text below it. ``output, varies:``
marks commands whose words depend on the machine, such as an answer and its timings.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

_BLOCK = re.compile(
    r"<!-- output(?P<varies>, varies)?: (?P<command>.+?) -->\n```text\n(?P<text>.*?)```", re.DOTALL
)


@dataclass(frozen=True)
class Block:
    """A command in a document, and what the document says that it prints."""

    command: str
    text: str
    varies: bool


def blocks(document: str) -> list[Block]:
    """Return the blocks of a document, in order."""
    return [
        Block(found["command"], found["text"], found["varies"] is not None)
        for found in _BLOCK.finditer(document)
    ]


def output_of(command: str) -> str:
    """Run a command as a reader would, and return what a terminal would show."""
    words = shlex.split(command)
    program = Path(sys.executable).with_name(words[0])
    done = subprocess.run(
        [str(program), *words[1:]],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        check=True,
        timeout=300,
    )
    return done.stdout.replace(str(Path.home()), "~").rstrip() + "\n"


def shape(text: str) -> list[str]:
    """Return the lines of an output without their numbers, units and spacing."""
    plain = re.sub(r"\d[\d,.]*", "#", text)
    plain = re.sub(r"# *(ms|s|kB|MB|GB|KiB|MiB|GiB)\b", "#", plain)
    return [" ".join(line.split()) for line in plain.splitlines()]


def rewritten(document: str) -> str:
    """Return the document with every block's output as it is now."""

    def fresh(found: re.Match[str]) -> str:
        before = found[0][: found.start("text") - found.start()]
        return f"{before}$ {found['command']}\n{output_of(found['command'])}```"

    return _BLOCK.sub(fresh, document)


if __name__ == "__main__":
    for name in sys.argv[1:]:
        path = Path(name)
        path.write_text(rewritten(path.read_text(encoding="utf-8")), encoding="utf-8")
