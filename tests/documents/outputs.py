"""Terminal output in documents: written by running the command that stands above it.

    python tests/documents/outputs.py README.md      # run every command and rewrite its output

A block is a comment ``<!-- output: COMMAND -->`` and the fenced text below it. ``output, varies:``
marks commands whose words depend on the machine, such as an answer and its timings; ``output,
once:`` those that take minutes, or files that not everybody has. The latter run in a folder of
their own, one after another, with the pictures and the autoencoder of the shared data in it.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

_BLOCK = re.compile(
    r"<!-- output(?P<kind>, varies|, once)?: (?P<command>.+?) -->\n```text\n(?P<text>.*?)```",
    re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """A command in a document, and what the document says that it prints."""

    command: str
    text: str
    varies: bool = False
    once: bool = False


def blocks(document: str) -> list[Block]:
    """Return the blocks of a document, in order."""
    return [
        Block(
            found["command"],
            found["text"],
            varies=found["kind"] == ", varies",
            once=found["kind"] == ", once",
        )
        for found in _BLOCK.finditer(document)
    ]


def output_of(command: str, folder: Path | None = None) -> str:
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
        timeout=1800,
        cwd=folder,
    )
    return done.stdout.replace(str(Path.home()), "~").rstrip() + "\n"


def shape(text: str) -> list[str]:
    """Return the lines of an output without their numbers, units and spacing."""
    plain = re.sub(r"\d[\d,.]*", "#", text)
    plain = re.sub(r"# *(ms|s|kB|MB|GB|KiB|MiB|GiB)\b", "#", plain)
    return [" ".join(line.split()) for line in plain.splitlines()]


def rewritten(document: str) -> str:
    """Return the document with every block's output as it is now."""
    with tempfile.TemporaryDirectory() as name:
        scratch = furnished(Path(name))

        def fresh(found: re.Match[str]) -> str:
            before = found[0][: found.start("text") - found.start()]
            folder = scratch if found["kind"] == ", once" else None
            return f"{before}$ {found['command']}\n{output_of(found['command'], folder)}```"

        return _BLOCK.sub(fresh, document)


def furnished(folder: Path) -> Path:
    """Return a folder with the shared pictures and autoencoder in it, where they are at hand."""
    for parent in Path(__file__).resolve().parents:
        data = parent / "shared" / "data"
        if data.is_dir():
            for found in (data / "taef2", *(data / "pictures").iterdir()):
                (folder / found.name).symlink_to(found)
            break
    return folder


if __name__ == "__main__":
    for name in sys.argv[1:]:
        path = Path(name)
        path.write_text(rewritten(path.read_text(encoding="utf-8")), encoding="utf-8")
