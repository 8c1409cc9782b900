"""How near the native products come to what memory and arithmetic allow.

    .venv/bin/python benchmarks/kernels.py
    .venv/bin/python benchmarks/kernels.py --encodings Q4_1 Q8_0 --variant avx2

For each encoding and shape: gigabytes of packed weights read per second with one, four and eight
rows of input, and thousands of millions of operations per second with 512. Copies of a matrix, more
than any cache holds, are gone through by every core for its own rows, without meeting in between;
the best of the rounds counts.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter

import numpy as np

from fathom.ops.native import native

SHAPES = {
    "135M gate": (1536, 576),
    "135M down": (576, 1536),
    "135M output": (49152, 576),
    "1B gate": (8192, 2048),
    "1B down": (2048, 8192),
}
FRESH = 256 << 20  # bytes of weights that are gone through
FEW = (1, 4, 8)
MANY = 512
ROUNDS = 5
PANEL = 16


def rounded(columns: int, encoding: str) -> int:
    """Return as many columns as whole blocks of an encoding have, at least one block."""
    return max(columns // 256, 1) * 256 if encoding.endswith("_K") else columns


def seconds(work: Callable[[int], None], pool: ThreadPoolExecutor, cores: int) -> float:
    """Return the best time of all cores together."""
    best = float("inf")
    for _ in range(ROUNDS):
        began = perf_counter()
        list(pool.map(work, range(cores)))
        best = min(best, perf_counter() - began)
    return best


def measured(module, encoding: str, shape: tuple[int, int], variant: str | None) -> list[str]:
    """Return the cells of one row."""
    rows, columns = shape[0], rounded(shape[1], encoding)
    size = module.packed_bytes(encoding, rows, columns)
    source = np.zeros(rows * module.source_row_bytes(encoding, columns), np.uint8)
    copies = [module.PackedMatrix(encoding, rows, columns) for _ in range(FRESH // size + 1)]
    for matrix in copies:
        matrix.pack(source)  # memory that nobody wrote to is one page of zeros, many times
    cores = len(os.sched_getaffinity(0))
    edges = [rows // PANEL * core // cores * PANEL for core in range(cores)] + [rows]
    cells = []
    with ThreadPoolExecutor(cores) as pool:
        for tokens in (*FEW, MANY):
            x = np.random.default_rng(0).standard_normal((tokens, columns), dtype=np.float32)
            y = np.empty((tokens, rows), np.float32)
            used = copies if tokens < MANY else copies[:1]

            def work(core: int, x=x, y=y, used=used) -> None:
                for matrix in used:
                    matrix.multiply(x, y, edges[core], edges[core + 1], variant)

            took = seconds(work, pool, cores)
            rate = 2 * tokens * rows * columns if tokens == MANY else size
            cells.append(f"{rate * len(used) / took / 1e9:.0f}")
    return cells


def main() -> None:
    module = native()
    if isinstance(module, str):
        raise SystemExit(module)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--encodings", nargs="*", default=module.encodings())
    parser.add_argument("--shapes", nargs="*", choices=SHAPES, default=list(SHAPES))
    parser.add_argument("--variant", help=f"one of {[name for name, _ in module.variants()]}")
    asked = parser.parse_args()
    print("| encoding | matrix | GB/s, 1 row | 4 rows | 8 rows | GFLOP/s, 512 rows |")
    print("|---|---|---:|---:|---:|---:|")
    for encoding in asked.encodings:
        for name in asked.shapes:
            cells = measured(module, encoding, SHAPES[name], asked.variant)
            print(f"| {encoding} | {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
