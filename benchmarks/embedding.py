"""How fast texts become vectors, beside sentence-transformers: two processes that take turns.

    .venv/bin/python benchmarks/embedding.py              # writes docs/embedding.md
    .venv/bin/python benchmarks/embedding.py --rounds 3 --print

Both make vectors of the same 256 texts of mixed lengths with `minilm:l6`, each as it is opened
when nobody says more: ours as a native program, theirs in float32 at the better of one and all
threads. The first pass of each is not counted. A ratio is of two neighbours, so that what else the
machine does falls on both.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import IO

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "embedding.md"
MODEL = "minilm:l6"
TEXTS, WORDS = 256, (4, 8, 16, 32, 64, 128)  # texts, and how many words they have
ROUNDS, WANTED, ALIKE = 5, 2.0, 0.9999

CHILD = """\
import base64, json, sys, time
side, name, path, threads = sys.argv[1:]
texts = json.loads(sys.stdin.readline())
if side == "ours":
    import fathom
    model = fathom.open(name)
    work = lambda: model.embed(texts, truncate=True)  # as theirs does in silence
else:
    import torch
    torch.set_num_threads(int(threads))
    from sentence_transformers import SentenceTransformer
    model = SentenceTransformer(path, device="cpu")
    work = lambda: model.encode(texts, batch_size=32, show_progress_bar=False)
vectors = work()
print(json.dumps(base64.b64encode(vectors.astype("<f4").tobytes()).decode()), flush=True)
for _ in sys.stdin:
    begun = time.perf_counter()
    work()
    print(time.perf_counter() - begun, flush=True)
"""


@dataclass
class Side:
    """One library in a process of its own, and the vectors that it made first."""

    process: subprocess.Popen[str]
    vectors: np.ndarray

    @classmethod
    def start(cls, side: str, path: str, texts: Sequence[str], threads: int) -> Side:
        """Start a process, and let it embed once."""
        process = subprocess.Popen(
            [sys.executable, "-c", CHILD, side, MODEL, path, str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        _pipe(process.stdin).write(json.dumps(list(texts)) + "\n")
        _pipe(process.stdin).flush()
        made = np.frombuffer(_decoded(_pipe(process.stdout).readline()), dtype="<f4")
        return cls(process, made.reshape(len(texts), -1))

    def seconds(self) -> float:
        """Embed all texts once more."""
        _pipe(self.process.stdin).write("again\n")
        _pipe(self.process.stdin).flush()
        return float(_pipe(self.process.stdout).readline())

    def end(self) -> None:
        """Let the process go."""
        _pipe(self.process.stdin).close()
        self.process.wait()


def _pipe(found: IO[str] | None) -> IO[str]:
    if found is None:
        raise RuntimeError("the process has no pipe")
    return found


def _decoded(line: str) -> bytes:
    import base64

    if not line:
        raise RuntimeError("a side ended before it embedded anything; run it by hand")
    return base64.b64decode(json.loads(line))


def texts_of(count: int) -> list[str]:
    """Return texts of mixed lengths, made of the words of our own documents."""
    words = (ROOT / "README.md").read_text().split()
    draw = random.Random(5)
    return [" ".join(draw.choices(words, k=draw.choice(WORDS))) for _ in range(count)]


def measured(path: str, rounds: int) -> tuple[list[float], list[float], float]:
    """Return seconds of ours and of theirs, and the least cosine between their vectors."""
    texts, cores = texts_of(TEXTS), len(os.sched_getaffinity(0))
    ours = Side.start("ours", path, texts, cores)
    several = [Side.start("theirs", path, texts, threads) for threads in {1, cores}]
    theirs = min(several, key=lambda one: min(one.seconds() for _ in range(2)))
    for each in several:
        if each is not theirs:
            each.end()
    taken = [(ours.seconds(), theirs.seconds()) for _ in range(rounds)]
    dots = (ours.vectors * theirs.vectors).sum(axis=1)
    lengths = np.linalg.norm(ours.vectors, axis=1) * np.linalg.norm(theirs.vectors, axis=1)
    ours.end()
    theirs.end()
    return [one for one, _ in taken], [two for _, two in taken], float((dots / lengths).min())


def page(ours: Sequence[float], theirs: Sequence[float], cosine: float) -> str:
    """Return the page about a measurement."""
    from fathom.planning.kernels import kernels

    ratios = sorted(two / one for one, two in zip(ours, theirs, strict=True))
    missed = "" if median(ratios) >= WANTED else f", wanted {WANTED:g}"
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    cores = len(os.sched_getaffinity(0))
    return f"""# Vectors of texts on the processor

Written by `benchmarks/embedding.py` at {commit}: {cores} cores ({platform.machine()}, kernels \
{kernels()[0]}), Python {platform.python_version()}, sentence-transformers \
{version("sentence-transformers")} in float32 on torch {version("torch")}.

{TEXTS} texts of {WORDS[0]} to {WORDS[-1]} words with `{MODEL}`, in texts per second, ours / theirs:
medians of {len(ours)} rounds in turns, the ratio of two neighbours with the least and the greatest.
The least cosine is between both libraries' vectors of one text; not below {ALIKE} is wanted.

| texts per second | ratio | least cosine |
|---:|---|---:|
| {TEXTS / median(ours):,.0f} / {TEXTS / median(theirs):,.0f} | **{median(ratios):.2f}** \
({ratios[0]:.2f} – {ratios[-1]:.2f}{missed}) | {cosine:.6f} |
"""


def main() -> None:
    """Measure, and write the page or print it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=ROUNDS, metavar="INT")
    parser.add_argument("--print", action="store_true", help="write no page")
    args = parser.parse_args()
    from fathom.library.describing import locate

    found = page(*measured(str(locate(MODEL).path), args.rounds))
    sys.stdout.write(found)
    if not args.print:
        PAGE.write_text(found)


if __name__ == "__main__":
    main()
