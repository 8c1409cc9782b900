"""How fast models run on this processor, beside peers on the same files; a part at a time.

    .venv/bin/python benchmarks/cpu.py --list
    .venv/bin/python benchmarks/cpu.py decode/Q4_0 eight start --peers /tmp/peers/bin/python
    .venv/bin/python benchmarks/cpu.py all --text wikitext-2/test.txt

Each part takes less than a minute, or says so, and leaves its figures in `benchmarks/cpu.json`;
the page is written from there. The peers are those of the `bench` extra, llama-cpp-python built
natively (`CMAKE_ARGS=-DGGML_NATIVE=ON pip install --no-binary llama-cpp-python …`), in this
environment or in another whose Python `--peers` names. Files other than the published one are
made from it by llama.cpp, once, beside the peers' Python or in `--files`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np
from cpu_page import FIGURES, TARGETS, write
from cpu_runners import (
    ROOT,
    WRITTEN,
    best_setting,
    llama,
    ours,
    running,
    script,
    taking_turns,
)

from fathom import library
from fathom.catalog.starters import sources
from fathom.checkpoint.sources.locate import locate

MODEL, EMBEDDER = "smollm2:135m", "minilm:l6"
ROUNDS = 5
READ, LONG = 512, 4096  # tokens
BEGUN = 32  # tokens that stand before those written
KINDS = ("Q4_1", "Q4_0", "Q4_K_M", "Q8_0", "BF16")
CONTEXTS = (128, 512, 1024, 2048, 3072, 4096)
SHAPES = ("512x6", "768x12", "1024x16", "1536x16", "2048x14")  # width and layers; 30 M to 1 B
TEXTS = 256
EIGHT = 8

Figures = dict[str, object]


@dataclass(frozen=True)
class Bench:
    """What parts are measured with."""

    peers: str
    folder: Path
    text: str
    rounds: int

    def file(self, kind: str) -> Path:
        """Return a file of a type, made by llama.cpp where nobody publishes it."""
        published = locate(MODEL, catalog=sources()).path
        if kind == "Q4_1":
            return published
        path = self.folder / f"SmolLM2-135M-Instruct.{kind}.gguf"
        if not path.is_file():
            arguments = ("quantise", str(published), str(path), kind)
            subprocess.run(script("cpu_llama.py", *arguments, python=self.peers), check=True)
        return path

    def tokens(self, count: int) -> list[int]:
        tokenizer = library.open(MODEL, device="cpu").tokenizer
        return tokenizer.encode(self.text[: 16 * count])[:count]

    def peer(self, kind: str) -> list[str]:
        """Return the command of llama.cpp at its best setting, which is looked for once."""
        found = FIGURES.get(f"setting/{kind}")
        if found is None:
            threads, flash = best_setting(self.file(kind), self.peers, self.tokens(BEGUN))
            FIGURES[f"setting/{kind}"] = found = {"threads": threads, "flash": flash}
        return llama(self.file(kind), self.peers, int(found["threads"]), int(found["flash"]))

    def against(self, kind: str, what: str, tokens: Sequence[int], count: int) -> Figures:
        rounds = 1 if count >= LONG else self.rounds
        with running(ours(self.file(kind))) as mine, running(self.peer(kind)) as peer:
            return taking_turns(mine, peer, what, tokens, count, rounds)


def decode(bench: Bench, kind: str) -> Figures:
    return bench.against(kind, "decode", bench.tokens(BEGUN), WRITTEN)


def prefill(bench: Bench, kind: str) -> Figures:
    return bench.against(kind, "prefill", bench.tokens(READ), READ)


def long(bench: Bench, kind: str) -> Figures:
    return bench.against(kind, "prefill", bench.tokens(LONG), LONG)


def eight(bench: Bench) -> Figures:
    return bench.against("Q4_1", "together", bench.tokens(EIGHT * BEGUN), EIGHT * WRITTEN)


def transformers(bench: Bench) -> Figures:
    file = bench.file("Q4_1")
    peer_command = script("cpu_torch.py", "decode", str(file), python=sys.executable)
    with running(ours(file)) as mine, running(peer_command) as peer:
        return taking_turns(mine, peer, "decode", bench.tokens(BEGUN), WRITTEN, 3)


def embeddings(bench: Bench) -> Figures:
    """Texts of mixed length, cut from one; the peer in a process of its own."""
    random = np.random.default_rng(3)
    words = bench.text.split()
    starts, sizes = random.integers(0, len(words) - 50, TEXTS), random.integers(4, 50, TEXTS)
    texts = [" ".join(words[a : a + n]) for a, n in zip(starts, sizes, strict=True)]
    model = library.open(EMBEDDER, device="cpu")
    with tempfile.TemporaryDirectory() as folder:
        path, vectors = Path(folder) / "texts.json", Path(folder) / "vectors.npy"
        path.write_text(json.dumps(texts))
        source = locate(EMBEDDER, catalog=sources()).path
        where = str(source if source.is_dir() else source.parent)
        with running(script("cpu_torch.py", "embed", where, str(path))) as peer:
            peer.ask("embed", (), str(vectors))
            mine = np.asarray(model.embed(texts))
            rates = []
            for _ in range(3):
                began = perf_counter()
                model.embed(texts)
                rates.append((TEXTS / (perf_counter() - began), TEXTS / peer.ask("embed")))
        theirs = np.load(vectors)
    lengths = np.linalg.norm(mine, axis=1) * np.linalg.norm(theirs, axis=1)
    ratios = sorted(a / b for a, b in rates)
    return {
        "ours": median(a for a, _ in rates),
        "peer": median(b for _, b in rates),
        "least": ratios[0],
        "value": median(ratios),
        "most": ratios[-1],
        "rounds": 3,
        "cosine": float(((mine * theirs).sum(axis=1) / lengths).min()),
    }


def start(bench: Bench) -> Figures:
    """Return the seconds of `fathom run` until its first token."""
    command = [str(Path(sys.executable).with_name("fathom")), "run", MODEL, "Why is the sky blue?"]
    command += ["--quiet", "--no-record", "--max-tokens", "16"]
    firsts = []
    for _ in range(bench.rounds):
        began = perf_counter()
        with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) as process:
            if not process.stdout.read(1):
                raise SystemExit(f"{' '.join(command)} said nothing")
            firsts.append(perf_counter() - began)
            process.stdout.read()
    return {"value": median(firsts), "least": min(firsts), "most": max(firsts)}


def load(bench: Bench) -> Figures:
    """Return the seconds of opening the model in a process that has imported everything."""
    code = (
        "import sys, time\nfrom fathom import library\n"
        f"library.open('{MODEL}', device='cpu')\n"
        f"began = time.perf_counter()\nlibrary.open('{MODEL}', device='cpu')\n"
        "print(time.perf_counter() - began)"
    )
    taken = [
        float(subprocess.check_output([sys.executable, "-c", code], text=True, cwd=ROOT))
        for _ in range(bench.rounds)
    ]
    return {"value": median(taken), "least": min(taken), "most": max(taken)}


def memory(bench: Bench, kind: str) -> Figures:
    """Return what a process grew by, opening and reading, beside the file and the state."""
    code = (
        "import sys\nfrom fathom import library\nimport fathom.residency.programs\n"
        "import fathom.residency.packed, fathom.generation.generate, fathom.inputs.gguf\n"
        "from fathom.ops.native import native\n"
        "native()\n"  # what is idle has its code, as `planning.native` counts it
        "from fathom.planning.memory_watch import resident, settled\n"
        "idle = settled()\nmodel = library.open(sys.argv[1], device='cpu')\n"
        "from fathom.generation.forward import NativeForward\n"
        "course = NativeForward(model.spec, model.program).begin(2048)\n"
        "course.scores([1] * 2048)\n"
        "print((resident() - idle), course._state.nbytes)"
    )
    command = [sys.executable, "-c", code, str(bench.file(kind))]
    grown, state = map(int, subprocess.check_output(command, text=True, cwd=ROOT).split())
    stored = bench.file(kind).stat().st_size
    return {"value": grown / (stored + state), "grown": grown, "stored": stored, "state": state}


def bandwidth(bench: Bench) -> Figures:
    """Return which share of the memory's rate of reading a large model's tokens reach."""
    with running(ours(Path("random"))) as mine:
        size = mine.ask("bytes")
        mine.ask("decode", [1], 4)
        rates = []
        for _ in range(bench.rounds):
            taken = mine.ask("decode", [1], 8) / 8
            rates.append((size / taken, read_rate()))
    shares = sorted(mine / all for mine, all in rates)
    return {
        "value": median(shares),
        "least": shares[0],
        "most": shares[-1],
        "ours": median(mine for mine, _ in rates),
        "peer": median(all for _, all in rates),
    }


def read_rate() -> float:
    """Return the bytes per second that all cores together read of memory, plainly added up."""
    from concurrent.futures import ThreadPoolExecutor

    cores = len(os.sched_getaffinity(0))
    arrays = [np.ones(32 << 20, dtype=np.uint64) for _ in range(cores)]
    best = float("inf")
    with ThreadPoolExecutor(cores) as pool:
        for _ in range(4):
            began = perf_counter()
            list(pool.map(np.bitwise_or.reduce, arrays))
            best = min(best, perf_counter() - began)
    return sum(each.nbytes for each in arrays) / best


def context(bench: Bench) -> Figures:
    """Return how well a line fits the milliseconds of a token at several lengths."""
    with running(ours(bench.file("Q4_1"))) as mine:
        token = bench.tokens(BEGUN)[:8]
        taken = [
            min(mine.ask("steps", token, length) for _ in range(3)) / len(token) * 1e3
            for length in CONTEXTS
        ]
    return line(CONTEXTS, taken)


def size(bench: Bench) -> Figures:
    """Return how well a line fits the milliseconds of a token with models of several sizes.

    All are Llama shapes of random Q4_0 weights: encodings have costs of their own per byte.
    """
    sizes, taken = [], []
    for shape in SHAPES:
        with running(ours(Path(f"random:{shape}"))) as mine:
            sizes.append(mine.ask("bytes") / 1e6)
            mine.ask("decode", [1], 8)
            rounds = range(bench.rounds)
            taken.append(min(mine.ask("decode", [1], 16) for _ in rounds) / 16 * 1e3)
    return line(sizes, taken)


def line(x: Sequence[float], y: Sequence[float]) -> Figures:
    slope, begin = np.polyfit(x, y, 1)
    off = np.asarray(y) - (begin + slope * np.asarray(x))
    explained = 1 - float((off**2).sum() / ((np.asarray(y) - np.mean(y)) ** 2).sum())
    return {"value": explained, "slope": float(slope), "begin": float(begin), "points": list(y)}


def quality(bench: Bench, kind: str) -> Figures:
    """Return divergence from float32 beside the peer's, and perplexity beside float32's."""
    tokens = bench.tokens(4 * READ)
    exact = library.open(str(bench.file(kind)), device="cpu", dtype="float32")
    sums: list[list[np.ndarray]] = [[], []]
    losses: list[list[np.ndarray]] = [[], []]
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "scores.npy")
        peer_command = llama(bench.file(kind), bench.peers, len(os.sched_getaffinity(0)), 0)
        with running(ours(bench.file(kind))) as mine, running(peer_command) as peer:
            for first in range(0, len(tokens), READ):
                window = tokens[first : first + READ]
                wanted = logarithms(np.asarray(exact.logits([window])[0]))
                losses[1].append(loss(wanted, window))
                for runner, found in zip((mine, peer), sums, strict=True):
                    runner.ask("scores", window, path)
                    scores = logarithms(np.load(path))
                    found.append((np.exp(wanted) * (wanted - scores)).sum(axis=1))
                    if runner is mine:
                        losses[0].append(loss(scores, window))
    own, other = (float(np.concatenate(found).mean()) for found in sums)
    perplexity, exactly = (float(np.exp(np.concatenate(each).mean())) for each in losses)
    return {
        "ours": own,
        "peer": other,
        "value": own / other,
        "perplexity": perplexity,
        "exactly": exactly,
        "off": perplexity / exactly - 1,
    }


def logarithms(scores: np.ndarray) -> np.ndarray:
    shifted = scores.astype(np.float64) - scores.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def loss(scores: np.ndarray, window: Sequence[int]) -> np.ndarray:
    return -scores[np.arange(len(window) - 1), window[1:]]


PARTS: Mapping[str, Callable[[Bench], Figures]] = {
    **{
        f"{measure.__name__}/{kind}": lambda bench, measure=measure, kind=kind: measure(bench, kind)
        for measure in (decode, prefill, long, quality)
        for kind in KINDS
    },
    **{f"memory/{kind}": lambda bench, kind=kind: memory(bench, kind) for kind in ("Q4_1", "Q8_0")},
    **{
        measure.__name__: measure
        for measure in (eight, transformers, embeddings, start, load, bandwidth, context, size)
    },
}


def about(python: str) -> str:
    """Return the machine and the versions in a line."""
    from fathom.planning.kernels import kernels

    asked = [python, "-c", "import llama_cpp; print(llama_cpp.__version__)"]
    peer = subprocess.check_output(asked, text=True).strip()
    names = ("transformers", "sentence-transformers")
    others = ", ".join(f"{name} {version(name)}" for name in names)
    return (
        f"{len(os.sched_getaffinity(0))} cores ({platform.machine()}, kernels {kernels()[0]}),"
        f" Python {platform.python_version()}, torch {version('torch')}, llama-cpp-python {peer}"
        f" built natively, {others}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", help="parts, or `all`; none writes the page alone")
    parser.add_argument("--list", action="store_true", help="the parts, and what they want")
    parser.add_argument("--peers", default=sys.executable, help="a Python with llama-cpp-python")
    parser.add_argument("--files", type=Path, help="where files that llama.cpp makes are kept")
    parser.add_argument("--text", type=Path, help="text to read; WikiText-2's test split")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    asked = parser.parse_args()
    if asked.list:
        for part in PARTS:
            print(f"{part:18}{TARGETS.get(part, '')}")
        return
    unknown = set(asked.parts) - {*PARTS, "all"}
    if unknown:
        parser.error(f"no such parts: {', '.join(sorted(unknown))}; --list has them")
    text = asked.text or ROOT / "docs" / "landscape.md"
    folder = asked.files or Path(asked.peers).absolute().parent.parent
    bench = Bench(asked.peers, folder, text.read_text(), asked.rounds)
    for part in PARTS if "all" in asked.parts else asked.parts:
        found = PARTS[part](bench)
        commit = ("git", "rev-parse", "--short", "HEAD")
        found["commit"] = subprocess.check_output(commit, text=True, cwd=ROOT).strip()
        FIGURES[part] = found
        print(part, json.dumps(found), flush=True)
        write(about(asked.peers))
    if not asked.parts:
        write(about(asked.peers))


if __name__ == "__main__":
    main()
