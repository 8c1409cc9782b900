"""Fathom answering `benchmarks/cpu.py`: see there for the questions.

python benchmarks/cpu_fathom.py FILE
python benchmarks/cpu_fathom.py random       # a Llama shape of 1B parameters, random Q4_0 weights
python benchmarks/cpu_fathom.py random:768x12   # another width and number of layers
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from time import perf_counter

import numpy as np

from fathom import library
from fathom.checkpoint.description import describe
from fathom.generation.forward import NativeForward
from fathom.ops.native import native
from fathom.ops.program import Batch, Program
from fathom.planning.kernels import kernels
from fathom.programs.lowering_decoder import lower
from fathom.programs.steps import Matrix
from fathom.spec.model import TextModel
from fathom.spec.parts import parameters

CONTEXT = 4608
SEQUENCES = 8  # at once
LARGE = {  # Llama 3.2 1B
    "model_type": "llama",
    "hidden_size": 2048,
    "intermediate_size": 8192,
    "num_hidden_layers": 16,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 64,
    "vocab_size": 128256,
    "rms_norm_eps": 1e-5,
    "max_position_embeddings": 8192,
    "tie_word_embeddings": True,
}


class RandomWeights:
    """Random Q4_0 blocks for every matrix, and ones for everything small."""

    def __init__(self, spec: TextModel) -> None:
        self._shapes = {one.name: one.shape for one in parameters(spec)}
        self._random = np.random.default_rng(5)

    def matrix(self, matrix: Matrix) -> object:
        rows, columns = self._shapes[matrix.name]
        packed = native().PackedMatrix("Q4_0", rows, columns)
        blocks = self._random.integers(0, 256, (rows * columns // 32, 18), dtype=np.uint8)
        blocks[:, :2] = np.frombuffer(np.float16(0.004).tobytes(), np.uint8)
        packed.pack(blocks.reshape(-1))
        return packed

    def vector(self, name: str) -> np.ndarray:
        return np.ones(self._shapes[name], np.float32).reshape(-1)


def _random(path: str) -> NativeForward:
    shape = LARGE
    if ":" in path:
        width, layers = map(int, path.partition(":")[2].split("x"))
        heads = width // int(LARGE["head_dim"])
        shape = {
            **LARGE,
            "hidden_size": width,
            "intermediate_size": 4 * width,
            "num_hidden_layers": layers,
            "num_attention_heads": heads,
            "num_key_value_heads": heads // 4,
            "vocab_size": 32000,
        }
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "config.json"
        config.write_text(json.dumps(shape), encoding="utf-8")
        spec = describe(config).text
    plan = lower(spec, "float16")
    threads = len(os.sched_getaffinity(0))
    return NativeForward(spec, Program(plan, RandomWeights(spec), most_tokens=512, threads=threads))


def _opened(path: str) -> NativeForward:
    model = library.open(path, device="cpu")
    if model.program is None:
        raise SystemExit(f"{path} runs as modules: there is nothing to measure")
    return NativeForward(model.spec, model.program)


class Ours:
    """One model and the course of one sequence."""

    def __init__(self, path: str) -> None:
        self.forward = _random(path) if path.startswith("random") else _opened(path)
        self.course = self.forward.begin(CONTEXT)

    def prefill(self, tokens: list[int], count: int) -> float:
        self.course.reset()
        began = perf_counter()
        self.course.scores(tokens)
        return perf_counter() - began

    def decode(self, tokens: list[int], count: int) -> float:
        self.course.reset()
        scores = self.course.scores(tokens)
        began = perf_counter()
        for _ in range(count):
            scores = self.course.scores([int(scores.argmax())])
        return perf_counter() - began

    def steps(self, tokens: list[int], count: int) -> float:
        """Take tokens in one after the other behind `count` that are in the state by now."""
        self.course.back(min(count, len(self.course.ids)))
        while len(self.course.ids) < count:
            self.course.scores(tokens[:1] * min(512, count - len(self.course.ids)))
        began = perf_counter()
        for token in tokens:
            self.course.scores([token])
        return perf_counter() - began

    def bytes(self, tokens: list[int], count: int) -> float:
        """Return the bytes that a token reads of packed weights."""
        return float(sum(each.nbytes for each in self.forward.program.matrices.values()))

    def together(self, tokens: list[int], count: int) -> float:
        """Write `count` tokens after each of eight prompts, a token of each at a time."""
        size, program = len(tokens) // SEQUENCES, self.forward.program
        state = self.forward.begin(size + count)._state
        kept = [table.max() + 1 for table in state.tables]
        numbers = np.arange(SEQUENCES, dtype=np.int32)[:, None]
        tables = [table + own * numbers for table, own in zip(state.tables, kept, strict=True)]
        pages = [np.empty(SEQUENCES * each.nbytes, np.uint8) for each in state.pages]

        def step(ids: list[int], each: int, start: int) -> list[int]:
            batch = Batch(
                ids=np.asarray(ids, dtype=np.int32),
                counts=(each,) * SEQUENCES,
                starts=(start,) * SEQUENCES,
                tables=tables,
                frequencies=np.repeat(state.frequencies, SEQUENCES, axis=0),
                outputs=np.arange(each - 1, SEQUENCES * each, each, dtype=np.int32),
                slots=tuple(range(SEQUENCES)),
            )
            return [int(row.argmax()) for row in program.run(batch, pages, state.memory)]

        prompts = np.asarray(tokens[: size * SEQUENCES]).reshape(SEQUENCES, size)
        room = program.most_tokens // SEQUENCES
        for start in range(0, size, room):
            piece = prompts[:, start : start + room]
            last = step(piece.reshape(-1).tolist(), piece.shape[1], start)
        began = perf_counter()
        for index in range(count):
            last = step(last, 1, size + index)
        return perf_counter() - began

    def scores(self, tokens: list[int], path: str) -> float:
        """Save the scores after each token, (tokens, vocabulary)."""
        state, program = self.forward.begin(CONTEXT)._state, self.forward.program
        found = []
        for start in range(0, len(tokens), program.most_tokens):
            piece = tokens[start : start + program.most_tokens]
            batch = Batch(
                ids=np.asarray(piece, dtype=np.int32),
                counts=(len(piece),),
                starts=(state.advance(len(piece)),),
                tables=state.tables,
                frequencies=state.frequencies,
                outputs=np.arange(len(piece), dtype=np.int32),
                slots=(0,),
            )
            found.append(program.run(batch, state.pages, state.memory))
        np.save(path, np.concatenate(found))
        return 0.0


def main(path: str) -> None:
    ours = Ours(path)
    print(json.dumps({"ready": kernels()[0]}), flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        took = getattr(ours, asked["what"])(asked["tokens"], asked["more"])
        print(json.dumps({"seconds": took}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
