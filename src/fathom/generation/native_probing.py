"""How fast the native kernels are here, measured in a process of its own that loads no torch.

Started by `planning.probe` as ``python -m fathom.generation.native_probing``, beside `probing`.
What is timed are programs as models run them: products with matrices that no cache holds, and
small decoders with few and with many tokens before them.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from fathom.generation.pages import PagedState
from fathom.generation.timing import median_seconds
from fathom.ops.native import native
from fathom.ops.program import Batch, Program
from fathom.planning.contention import turns
from fathom.planning.costs import mixing_operations
from fathom.planning.memory_watch import settled
from fathom.planning.native_program import moved
from fathom.planning.probe import NativeRates
from fathom.programs.lowering_decoder import lower, rotations
from fathom.programs.plan import Plan
from fathom.programs.steps import Embed, Factor, Matrix, Multiply, Rows
from fathom.spec.attention import Attention
from fathom.spec.decoder import Decoder, Embedding, Layer, Output, Residual
from fathom.spec.feed_forward import GatedMlp
from fathom.spec.parts import Norm, parameters
from fathom.spec.positions import Rotary

if TYPE_CHECKING:
    from numpy.typing import NDArray

ENCODINGS = ("Q4_1", "Q8_0", "BF16")
SIDES = (512, 2048)  # inputs of matrices, of a small model's and of a large one's
WIDE = 4  # outputs by inputs
FEW, MANY = 8, 512  # rows of a batch, and of a prompt's piece
NARROW, EXACT = "Q8_0", "BF16"  # of the small decoders, and of one whose scores are exact
DEEP, SHALLOW = 24, 6  # layers of one whose weights and keys no cache holds, and of a quick one
KEYS = 2048  # before a token whose attention is timed
_BUDGET = 0.05  # seconds of passes per figure
_ORDINARY = 0x14  # a byte that makes an ordinary number, and a small scale, in every encoding
_LEAST = 0.1  # of a time, below which the rest after taking off what is known says nothing


@dataclass(frozen=True)
class Even:
    """Weights for a program (`programs.assembly`): every number alike, each matrix its own."""

    encoding: str
    shapes: Mapping[str, tuple[int, ...]]
    threads: int = 1

    def matrix(self, matrix: Matrix) -> Any:
        """Return a packed matrix."""
        module: Any = native()
        rows, columns = self.shapes[matrix.name][-2:]
        packed = module.PackedMatrix(self.encoding, rows, columns)
        part = -(-rows // self.threads // 16) * 16
        row_bytes = module.source_row_bytes(self.encoding, columns)
        source = np.full(min(part, rows) * row_bytes, _ORDINARY, dtype=np.uint8)

        def pack(begin: int) -> None:
            count = min(part, rows - begin)
            packed.pack(source[: count * row_bytes], begin, count)

        with ThreadPoolExecutor(self.threads) as pool:
            list(pool.map(pack, range(0, rows, part)))
        return packed

    def vector(self, name: str) -> NDArray[np.float32]:
        """Return a small tensor of ones."""
        return np.ones(prod(self.shapes[name]), dtype=np.float32)


def rates(threads: int, room: int, idle: int) -> NativeRates:
    """Measure the speeds with so many threads, within `room` bytes for weights."""
    read: dict[str, tuple[tuple[int, float], ...]] = {}
    products: dict[str, tuple[tuple[int, float], ...]] = {}
    for encoding in ENCODINGS:
        read[encoding], products[encoding] = _products(encoding, threads, room)
    module: Any = native()
    few, step_seconds = _steps(threads, read[NARROW])
    paired, rest = _pieces(threads, NARROW, dict(products[NARROW])[MANY])
    exact, _ = _pieces(threads, EXACT, dict(products[EXACT])[MANY])
    kernels: str = module.best()[0]
    return NativeRates(kernels, read, products, exact, paired, few, rest, step_seconds, idle)


def _products(
    encoding: str, threads: int, room: int
) -> tuple[tuple[tuple[int, float], ...], tuple[tuple[int, float], ...]]:
    """Return (inputs, bytes per second) of one row and (rows, FLOP/s) of more."""
    read = []
    for side in SIDES:
        chain = _chain(encoding, side, room, threads)
        size = sum(one.nbytes for name, one in chain.matrices.items() if name.name != "table")
        read.append((side, size / _seconds(partial(chain.run, _batch(1), []))))
    work = 2 * SIDES[-1] ** 2 * WIDE * (len(chain.matrices) - 1)
    some = FEW * work / _seconds(partial(chain.run, _batch(FEW), []))
    short = _chain(encoding, SIDES[0], 1, threads)  # reading it matters no more
    flops = 2 * MANY * SIDES[0] ** 2 * WIDE / _seconds(partial(short.run, _batch(MANY), []))
    return tuple(read), ((FEW, some), (MANY, flops))


def _chain(encoding: str, side: int, size: int, threads: int) -> Program:
    """Return a program of products with matrices of at least `size` packed bytes together."""
    module: Any = native()
    outputs = WIDE * side
    count = -(-size // module.packed_bytes(encoding, outputs, side))
    names = [f"matrix {index}" for index in range(count)]
    steps = [Multiply("in", "out", (Factor(Matrix(name), None),)) for name in names]
    rows = {"in": Rows(side), "out": Rows(outputs)}
    plan = Plan(rows, (Embed(Matrix("table"), "in", 1.0), *steps), (), 0, 0)
    shapes = {"table": (16, side), **dict.fromkeys(names, (outputs, side))}
    return Program(plan, Even(encoding, shapes, threads), most_tokens=MANY, threads=threads)


def _batch(tokens: int) -> Batch:
    """Return tokens of one sequence, no scores wanted."""
    none = np.zeros(0, dtype=np.int32)
    ids = np.zeros(tokens, dtype=np.int32)
    return Batch(ids, (tokens,), (0,), [], np.zeros((1, 0), dtype=np.float32), none)


@dataclass(frozen=True)
class Small:
    """A decoder of even weights, and room for a sequence."""

    spec: Decoder
    program: Program
    state: PagedState

    @classmethod
    def of(cls, spec: Decoder, threads: int, encoding: str = NARROW) -> Small:
        """Return one whose pages hold ordinary numbers."""
        plan = lower(spec)
        weights = Even(encoding, {one.name: one.shape for one in parameters(spec)}, threads)
        program = Program(plan, weights, most_tokens=MANY, threads=threads)
        state = PagedState(plan, rotations(spec), capacity=spec.context, most_tokens=MANY)
        pattern = np.random.default_rng(5).standard_normal(2**18).astype(np.float16)
        for pages in state.pages:  # keys that differ, for which sums are scaled anew
            pages[:] = np.resize(pattern.view(np.uint8), pages.shape)
        return cls(spec, program, state)

    def seconds(self, tokens: int, start: int) -> float:
        """Return the time of taking in tokens, so many already there."""
        state = self.state
        ids = np.zeros(tokens, dtype=np.int32)
        none = np.zeros(0, dtype=np.int32)
        batch = Batch(ids, (tokens,), (start,), state.tables, state.frequencies, none)
        return _seconds(partial(self.program.run, batch, state.pages))


def _steps(threads: int, read: tuple[tuple[int, float], ...]) -> tuple[float, float]:
    """Return FLOP/s of one query, and what each step costs beside reading its weights.

    A decoder whose weights and keys pass through every cache at each token, as a model's do.
    """
    deep = Small.of(decoder(DEEP), threads)
    near, far = deep.seconds(1, 0), deep.seconds(1, KEYS - 1)
    few = _attended(deep.spec) * (KEYS - 1) / max(far - near, _LEAST * far)
    size = sum(one.nbytes for one in deep.program.matrices.values())
    beside = max(near - size / dict(read)[SIDES[0]], _LEAST * near)
    return few, beside / len(deep.program.plan.steps)


def _pieces(threads: int, encoding: str, product_flops: float) -> tuple[float, float]:
    """Return FLOP/s of many queries, and bytes per second of steps beside products."""
    small = Small.of(decoder(SHALLOW), threads, encoding)
    early, late = small.seconds(MANY, 0), small.seconds(MANY, KEYS - MANY)
    each = MANY * _attended(small.spec)
    many = each * (KEYS - MANY) / max(late - early, _LEAST * late)
    plan = small.program.plan
    width = {name: rows.width * rows.repeats for name, rows in plan.rows.items()}
    numbers = MANY * sum(moved(step, width) for step in plan.steps)
    maps = sum(one.elements for one in parameters(small.spec) if one.name.startswith("layers"))
    known = 2 * MANY * maps / product_flops + each * (MANY // 2) / many
    return many, numbers / max(early - known, _LEAST * early)


def _attended(spec: Decoder) -> int:
    """Return the operations of a token's queries for each key in reach."""
    return sum(mixing_operations(layer, 2) - mixing_operations(layer, 1) for layer in spec.layers)


def decoder(layers: int) -> Decoder:
    """Return a decoder of a small model's shape."""
    width, inner = 576, 1024
    attention = Attention(width, 9, 3, 64, positions=Rotary(10_000.0, 64))
    residual = Residual(before=Norm(width, 1e-5))
    layer = Layer(attention, residual, GatedMlp(width, inner, "silu"), residual)
    return Decoder(
        context=KEYS,
        embedding=Embedding(512, width),
        layers=(layer,) * layers,
        norm=Norm(width, 1e-5),
        output=Output(width, 512),
    )


def _seconds(work: Callable[[], object]) -> float:
    return median_seconds(work, _BUDGET)


def main(threads: int, room: int) -> str:
    """Return the rates as JSON, memory measured while the process is new; an empty object where
    there are no native kernels."""
    import jinja2  # noqa: F401  # what opening a model imports belongs to the idle process
    import tokenizers  # noqa: F401

    import fathom.generation.generate  # noqa: F401

    if isinstance(native(), str):
        return "{}"
    idle, began = settled(), turns()
    found = asdict(rates(threads, room, idle))
    return json.dumps({**found, "waited": turns().since(began)})


if __name__ == "__main__":
    sys.stdout.write(main(**json.loads(sys.argv[1])))
