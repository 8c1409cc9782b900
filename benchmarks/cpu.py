"""How fast SmolLM2-135M runs on this processor, beside llama.cpp on the same files.

    python -m venv /tmp/peers && CMAKE_ARGS=-DGGML_NATIVE=ON /tmp/peers/bin/pip install \
        --no-binary llama-cpp-python llama-cpp-python
    .venv/bin/python benchmarks/cpu.py --peers /tmp/peers/bin/python   # writes the page
    .venv/bin/python benchmarks/cpu.py --peers … --quality --text wikitext-2/test.txt
    .venv/bin/python benchmarks/cpu.py --peers … --only Q4_1 --rounds 5 --print

Both stay loaded, each in a process of its own, and take turns; a ratio is of two neighbours, so
that what else the machine does falls on both. Questions go over a pipe, a line each: `prefill`
and `decode` take tokens and return seconds, `scores` saves what the model thinks of them. The
peer runs with the number of threads and the attention that decode fastest. Files other than the
published one are made from it by llama.cpp.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from itertools import product
from pathlib import Path
from statistics import median

import numpy as np

from fathom import library
from fathom.catalog.starters import sources
from fathom.checkpoint.sources.locate import locate

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "performance.md"
MODEL = "smollm2:135m"
ROUNDS = 7
READ, WRITTEN, LONG = 512, 64, 4096  # tokens
BEGUN = 32  # tokens that stand before those written

# Type of file → the ratio to llama.cpp in writing and in reading that the project set itself.
TARGETS = {
    "Q4_1": (2.0, 5.0),
    "Q4_0": (1.6, 1.85),
    "Q4_K_M": (1.8, 1.85),
    "Q8_0": (1.45, 1.85),
    "BF16": (1.2, 1.85),
}


class Runner:
    """A process that holds a model and answers questions about it."""

    def __init__(self, command: Sequence[str], *, quiet: bool = False) -> None:
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
        )
        self.name = str(self._answer()["ready"])

    def ask(self, what: str, tokens: Sequence[int], more: int | str = 0) -> float:
        """Return the seconds that it took."""
        question = json.dumps({"what": what, "tokens": list(tokens), "more": more})
        self._process.stdin.write(question + "\n")
        self._process.stdin.flush()
        return float(self._answer()["seconds"])

    def _answer(self) -> dict[str, object]:
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"{self._process.args} ended with {self._process.wait()}")
        return json.loads(line)

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait()


@contextmanager
def running(command: Sequence[str]) -> Iterator[Runner]:
    runner = Runner(command)
    try:
        yield runner
    finally:
        runner.close()


@dataclass(frozen=True)
class Ratio:
    """Rates of ours and of the peer, round by round."""

    ours: tuple[float, ...]
    peer: tuple[float, ...]

    @property
    def each(self) -> list[float]:
        return sorted(mine / theirs for mine, theirs in zip(self.ours, self.peer, strict=True))

    @property
    def middle(self) -> float:
        return median(self.each)

    def cell(self, target: float) -> str:
        reached = "" if self.middle >= target else f", wanted {target:g}"
        spread = f"{self.each[0]:.2f} – {self.each[-1]:.2f}"
        return (
            f"{median(self.ours):,.0f} / {median(self.peer):,.0f} | "
            f"**{self.middle:.2f}** ({spread}{reached})"
        )


def taking_turns(
    ours: Runner, peer: Runner, what: str, tokens: Sequence[int], rounds: int
) -> Ratio:
    """Measure both, round by round; the first round only warms up."""
    count = WRITTEN if what == "decode" else len(tokens)
    rates: list[tuple[float, float]] = []
    for _ in range(rounds + 1):
        mine = count / ours.ask(what, tokens, WRITTEN)
        rates.append((mine, count / peer.ask(what, tokens, WRITTEN)))
    mine, theirs = zip(*rates[1:], strict=True)
    return Ratio(mine, theirs)


def best_setting(python: str, file: Path, tokens: Sequence[int]) -> list[str]:
    """Return the command of the peer with the threads and the attention that write fastest."""
    cores = len(os.sched_getaffinity(0))
    taken: dict[tuple[str, ...], float] = {}
    for threads, flash in product(sorted({1, cores}), (0, 1)):
        script = str(ROOT / "benchmarks" / "cpu_llama.py")
        command = (python, script, "serve", str(file), str(threads), str(flash))
        with running(command) as peer:
            taken[command] = min(peer.ask("decode", tokens, WRITTEN) for _ in range(2))
    return list(min(taken, key=taken.__getitem__))


def output(*command: str) -> str:
    """Return what a command prints."""
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return ran.stdout.strip()


def commit() -> str:
    return output("git", "rev-parse", "--short", "HEAD")


def row(name: str, file: Path, python: str, tokens: Sequence[int], rounds: int) -> str:
    """Measure one file and return its row."""
    command = best_setting(python, file, tokens[:BEGUN])
    ours_command = [sys.executable, str(ROOT / "benchmarks" / "cpu_fathom.py"), str(file)]
    with running(ours_command) as ours, running(command) as peer:
        decode = taking_turns(ours, peer, "decode", tokens[:BEGUN], rounds)
        prefill = taking_turns(ours, peer, "prefill", tokens[:READ], rounds)
        long = [LONG / each.ask("prefill", tokens) for each in (ours, peer) if len(tokens) == LONG]
    writing, reading = TARGETS[name]
    cells = (
        name,
        f"{file.stat().st_size / 1e6:.0f}",
        decode.cell(writing),
        prefill.cell(reading),
        " / ".join(f"{rate:,.0f}" for rate in long),
        f"{rounds}, {commit()}",
    )
    return "| " + " | ".join(cells) + " |"


def divergence(reference: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Return KL(reference ‖ scores) in nats for each position."""

    def logarithms(values: np.ndarray) -> np.ndarray:
        shifted = values.astype(np.float64) - values.max(axis=1, keepdims=True)
        return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))

    wanted, found = logarithms(reference), logarithms(scores)
    return (np.exp(wanted) * (wanted - found)).sum(axis=1)


def quality_row(name: str, file: Path, python: str, tokens: Sequence[int], folder: Path) -> str:
    """Return the row of one file."""
    mine, theirs = quality(file, python, tokens, folder)
    return f"| {name} | {mine:.5f} | {theirs:.5f} | {mine / theirs:.2f} | {commit()} |"


def quality(file: Path, python: str, tokens: Sequence[int], folder: Path) -> tuple[float, float]:
    """Return the mean divergence from float32, ours and the peer's, over four windows."""
    peer_command = [
        python, str(ROOT / "benchmarks" / "cpu_llama.py"), "serve", str(file),
        str(len(os.sched_getaffinity(0))), "0",
    ]  # fmt: skip
    ours_command = [sys.executable, str(ROOT / "benchmarks" / "cpu_fathom.py"), str(file)]
    exact = library.open(str(file), device="cpu", dtype="float32")
    sums: list[list[np.ndarray]] = [[], []]
    with running(ours_command) as ours, running(peer_command) as peer:
        for start in range(0, 4 * READ, READ):
            window = list(tokens[start : start + READ])
            wanted = exact.logits([window])[0].numpy()
            for runner, found in zip((ours, peer), sums, strict=True):
                path = folder / "scores.npy"
                runner.ask("scores", window, str(path))
                found.append(divergence(wanted, np.load(path)))
    mine, theirs = (float(np.concatenate(found).mean()) for found in sums)
    return mine, theirs


def files(published: Path, python: str, folder: Path, wanted: Sequence[str]) -> dict[str, Path]:
    """Return a file of each type, those that nobody publishes made by llama.cpp."""
    made = {"Q4_1": published}
    script = str(ROOT / "benchmarks" / "cpu_llama.py")
    for kind in wanted:
        if kind not in made:
            made[kind] = folder / f"SmolLM2-135M-Instruct.{kind}.gguf"
            command = [python, script, "quantise", str(published), str(made[kind]), kind]
            subprocess.run(command, check=True)
    return {kind: made[kind] for kind in wanted}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peers", required=True, help="a Python that has llama-cpp-python")
    parser.add_argument("--text", type=Path, help="text to read; WikiText-2's test split for KL")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--only", choices=TARGETS, nargs="*", default=list(TARGETS))
    parser.add_argument("--short", action="store_true", help="leave out the prompt of 4,096")
    parser.add_argument("--quality", action="store_true", help="divergence instead of speed")
    parser.add_argument("--print", action="store_true", help="write no page")
    asked = parser.parse_args()
    model = library.open(MODEL, device="cpu")
    text = asked.text.read_text() if asked.text else (ROOT / "docs" / "landscape.md").read_text()
    tokens = model.tokenizer.encode(text[: 16 * LONG])[: READ if asked.short else LONG]
    published = locate(MODEL, catalog=sources()).path
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for kind, path in files(published, asked.peers, folder, asked.only).items():
            if asked.quality:
                found = quality_row(kind, path, asked.peers, tokens, folder)
            else:
                found = row(kind, path, asked.peers, tokens, asked.rounds)
            print(found, flush=True)
            if not asked.print:
                write(found, 1 if asked.quality else 0, asked.peers)


def write(found: str, table: int, python: str) -> None:
    """Put a row in a table of the page, in place of the one that its file had."""
    tables: list[dict[str, str]] = [{}, {}]
    index = -1
    for line in PAGE.read_text().splitlines() if PAGE.is_file() else ():
        index += line.startswith("| file |")
        if line.startswith(tuple(f"| {kind} |" for kind in TARGETS)):
            tables[index][line.split("|")[1].strip()] = line
    tables[table][found.split("|")[1].strip()] = found
    rows = ["\n".join(kept[kind] for kind in TARGETS if kind in kept) for kept in tables]
    PAGE.write_text(PREFACE.format(about=about(python), rows=rows[0], quality=rows[1]))


def about(python: str) -> str:
    """Return the machine and the versions in a line."""

    from fathom.residency.programs import kernels

    peer = output(python, "-c", "import llama_cpp; print(llama_cpp.__version__)")
    cores = len(os.sched_getaffinity(0))
    return (
        f"{cores} cores ({platform.machine()}, kernels {kernels()[0]}), Python"
        f" {platform.python_version()}, torch {version('torch')}, llama-cpp-python {peer} built"
        " natively"
    )


PREFACE = """\
# Performance on the processor

Written by `benchmarks/cpu.py`: {about}.

SmolLM2-135M-Instruct, the same file for both, in tokens per second, ours / llama.cpp: medians of
the rounds. Both take turns and a ratio is of two neighbours, with the least and the greatest;
above 1 is faster. Writing is 64 tokens after 32; reading is a prompt of 512, and once of 4,096.
Each row says what it wanted to reach where it did not.

| file | MB | writing | ratio | reading 512 | ratio | reading 4,096 | rounds, commit |
|---|---:|---:|---|---:|---|---:|---|
{rows}

Where a row misses, products are not what it waits for: `benchmarks/kernels.py` has them alone at
the rate at which memory is read, and in long prompts well above the rate that the target
needs. The rest of a token goes to threads that meet between steps, attention and norms; a prompt
of bfloat16 is bound by arithmetic that is half as quick as that of bytes.

How far the probabilities of the next token are from those of the same weights in float32: the
mean Kullback-Leibler divergence in nats over 2,048 positions of WikiText-2, which is not wanted
to be above 1.1 times that of llama.cpp.

| file | ours | llama.cpp | ratio | commit |
|---|---:|---:|---:|---|
{quality}
"""

if __name__ == "__main__":
    main()
