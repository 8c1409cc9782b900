"""Fathom answering `benchmarks/cpu.py`: see there for the questions.

python benchmarks/cpu_fathom.py FILE
"""

from __future__ import annotations

import json
import sys
from time import perf_counter

import numpy as np

from fathom import library
from fathom.generation.forward import NativeForward
from fathom.ops.program import Batch
from fathom.residency.programs import kernels

CONTEXT = 4608


class Ours:
    """One model and the course of one sequence."""

    def __init__(self, path: str) -> None:
        model = library.open(path, device="cpu")
        if model.program is None:
            raise SystemExit(f"{path} runs as modules: there is nothing to measure")
        self.forward = NativeForward(model.spec, model.program)
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

    def scores(self, tokens: list[int], path: str) -> float:
        """Save the scores after each token, (tokens, vocabulary)."""
        state = self.forward.begin(CONTEXT)._state
        batch = Batch(
            ids=np.asarray(tokens, dtype=np.int32),
            counts=(len(tokens),),
            starts=(state.advance(len(tokens)),),
            tables=state.tables,
            frequencies=state.frequencies,
            outputs=np.arange(len(tokens), dtype=np.int32),
        )
        np.save(path, self.forward.program.run(batch, state.pages))
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
