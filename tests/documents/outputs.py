"""Terminal output in documents: written by running the command that stands above it.

    python tests/documents/outputs.py README.md      # run every command and rewrite its output
    python tests/documents/outputs.py README.md tones solver   # those that hold one of the words

A block is a comment ``<!-- output: COMMAND -->`` and the fenced text below it. ``output, varies:``
marks commands whose words depend on the machine, such as an answer and its timings; ``output,
once:`` those that take minutes, or files that not everybody has. The latter run in a folder of
their own, one after another, with the pictures and the autoencoder of the shared data in it, and
the sound of a telephone number being dialled.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_BLOCK = re.compile(
    r"<!-- output(?P<kind>, varies|, once)?: (?P<command>.+?) -->\n```text\n(?P<text>.*?)```",
    re.DOTALL,
)


DIALLED = "5550142"  # which is held out of training


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


def rewritten(document: str, words: Sequence[str] = ()) -> str:
    """Return the document with every block's output as it is now, or of those with a word."""
    with tempfile.TemporaryDirectory() as name:
        scratch = furnished(Path(name))

        def fresh(found: re.Match[str]) -> str:
            if words and not any(word in found["command"] for word in words):
                return found[0]
            before = found[0][: found.start("text") - found.start()]
            folder = scratch if found["kind"] == ", once" else None
            return f"{before}$ {found['command']}\n{output_of(found['command'], folder)}```"

        return _BLOCK.sub(fresh, document)


def furnished(folder: Path) -> Path:
    """Return a folder with a dialled number, and the shared data where they are at hand."""
    dial(folder / "dialled.wav")
    for parent in Path(__file__).resolve().parents:
        data = parent / "shared" / "data"
        if data.is_dir():
            for found in (data / "taef2", *(data / "pictures").iterdir()):
                (folder / found.name).symlink_to(found)
            break
    return folder


def dial(file: Path) -> None:
    """Write the sound of a number that no training hears, on a line with some noise."""
    import numpy as np
    import soundfile

    from fathom.tuning.tones import RATE, Line, dialled

    chance, tones = np.random.default_rng(7), dialled(DIALLED, Line())
    sound = (0.01 * chance.standard_normal(2 * RATE)).astype(np.float32)
    sound[RATE // 2 : RATE // 2 + len(tones)] += tones
    soundfile.write(file, sound, RATE)


if __name__ == "__main__":
    path, words = Path(sys.argv[1]), sys.argv[2:]
    path.write_text(rewritten(path.read_text(encoding="utf-8"), words), encoding="utf-8")
