"""How fast this machine is and what an idle process holds, measured in a process of its own.

Started by `planning.probe` as ``python -m fathom.generation.probing``, which reads one line of
JSON from it. A process of its own, because what is held and warmed up here would otherwise count
as the memory and the speed of the model that is run next. The rates are those of the calls that
run models: products of one row and of many with matrices of several sizes, beyond every cache
where a model's would be; attention; and the layers of a small decoder, whose code is ours.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from time import thread_time
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from fathom.generation.state import ContiguousState
from fathom.generation.timing import median_seconds
from fathom.models.assemble import assemble
from fathom.models.decoder import Decoder as DecoderModel
from fathom.planning.contention import turns
from fathom.planning.issued import ONCE, issued
from fathom.planning.memory_watch import settled
from fathom.planning.probe import COLD, DTYPES, Rates
from fathom.planning.speed import MAPS, token_seconds
from fathom.residency.allocation import hold_what_is_alive
from fathom.spec.attention import Attention
from fathom.spec.decoder import Decoder, Embedding, Layer, Output, Residual
from fathom.spec.feed_forward import GatedMlp
from fathom.spec.parts import Norm, parameters
from fathom.spec.positions import Rotary

SIDES = (512, 1024, 2048, 4096)  # inputs of matrices, from a small model's to a large one's
WIDE = 8  # outputs by inputs of the wider one of two matrices
ROWS = (2, 8, 32, 128, 512)  # of a batch, of an expert, of a prompt's piece
_PRODUCT = (1024, 2048)  # inputs and outputs of the matrix that many rows meet
_BUDGET = 0.08  # seconds of passes per figure
_LEAST = 1e-7  # seconds that a call takes on any machine
_TINY = 64  # width of a decoder that is nothing but calls
_TOKENS = 512  # of a prompt's piece


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes of an idle process, what working kernels add to it, and each product prepared."""

    process: int
    code: int
    prepared: int


def memory() -> Memory:
    """Measure a process that has just begun: first idle, then after each kind of kernel.

    Each type's kernels are used on a few numbers; then products with as many different numbers
    of rows, of which oneDNN keeps the code of each.
    """
    import jinja2  # noqa: F401  # what opening a model imports belongs to the idle process
    import tokenizers  # noqa: F401

    idle = settled()
    hold_what_is_alive()
    with torch.inference_mode():
        for name in DTYPES:
            _use_kernels(getattr(torch, name))
        worked = settled()
        prepared = _prepare(torch.bfloat16, pieces := 16)
    return Memory(idle, max(0, worked - idle), max(0, prepared - worked) // pieces)


def _use_kernels(dtype: torch.dtype) -> None:
    x = torch.ones(_TOKENS, 2048, dtype=dtype)
    weight = torch.ones(4096, 2048, dtype=dtype)  # packing buffers grow up to a bound
    for rows in (_TOKENS, 64, 1):
        functional.linear(x[:rows], weight)
    x = x[:, :256].contiguous()
    heads = x.view(1, 4, 128, 256)
    functional.scaled_dot_product_attention(heads, heads, heads, is_causal=True)
    functional.rms_norm(x.float(), (256,), None, 1e-5), functional.silu(x), functional.gelu(x)
    torch.cat((x, x)).float().softmax(-1).cos().sort()
    torch.zeros(512, 256, dtype=dtype)[:, :1] = x[:, :1]


def _prepare(dtype: torch.dtype, pieces: int) -> int:
    """Multiply with so many new numbers of rows; return what the process then holds."""
    x, weight = torch.ones(4 * pieces, 768, dtype=dtype), torch.ones(768, 768, dtype=dtype)
    for rows in range(3, 4 * pieces, 4):
        functional.linear(x[:rows], weight)
    return settled()


def rates(threads: int, room: int, held: Memory) -> Rates:
    """Measure the speeds with so many threads, within `room` bytes."""
    torch.set_num_threads(threads)
    with torch.inference_mode():
        buffer = _buffer(room)
        found = Rates(
            threads=threads,
            memory_read=_rate(buffer.nbytes, buffer.view(torch.float32).sum),
            matvec={name: _matvec(buffer.view(getattr(torch, name))) for name in DTYPES},
            matmul={name: _matmul(buffer.view(getattr(torch, name))) for name in DTYPES},
            attention={name: _attention(getattr(torch, name), _TOKENS) for name in DTYPES},
            attention_step={name: _attention(getattr(torch, name), 1) for name in DTYPES},
            moved={name: _moved(getattr(torch, name)) for name in DTYPES},
            idle_bytes=held.process,
            code_bytes=held.code,
            prepared_bytes=held.prepared,
        )
        return replace(
            found, operation_seconds=_operation_seconds(found), call_seconds=_call_seconds()
        )


def _buffer(room: int) -> Tensor:
    """Return bytes beyond every cache, each page written: an unwritten page is not memory yet.

    The byte 0x3C makes an ordinary number in every type, where zeros or denormals might be fast
    or slow for reasons of their own.
    """
    largest = 4 * max(SIDES) ** 2  # one float32 matrix; sizes stay a multiple of it
    return torch.full((max(1, room // largest) * largest,), 0x3C, dtype=torch.uint8)


def _matvec(weights: Tensor) -> tuple[tuple[int, float, float], ...]:
    """Time one row times each wide matrix of the buffer, for each number of inputs.

    What a call costs beside reading is told by a small matrix and one that is so many times wider.
    """
    least, size = SIDES[0], weights.element_size()
    square, wide = (_pass(weights, least, outputs) for outputs in (least, WIDE * least))
    call = max(0.0, square - (wide - square) / (WIDE - 1))  # beside what grows with the matrix
    points = []
    for side in SIDES:
        outputs = min(WIDE * side, weights.numel() // side)
        taken = _pass(weights, side, outputs)
        points.append((side, call, side * outputs * size / max(taken - call, taken / 2)))
    return tuple(points)


def _pass(weights: Tensor, inputs: int, outputs: int, rows: int = 1) -> float:
    """Return the seconds of rows times one matrix, over all such that the buffer holds."""
    count = weights.numel() // (inputs * outputs)
    matrices = weights[: count * inputs * outputs].view(-1, outputs, inputs).unbind()
    if rows > COLD:
        matrices = matrices[:2]
    row = torch.ones(rows, inputs, dtype=weights.dtype)
    return 1 / _rate(len(matrices), partial(_multiply, row, matrices))


def _multiply(row: Tensor, matrices: Sequence[Tensor]) -> None:
    for matrix in matrices:
        functional.linear(row, matrix)


def _matmul(weights: Tensor) -> tuple[tuple[int, float], ...]:
    """Time several rows times matrices: floating-point operations per second."""
    inputs, outputs = _PRODUCT
    return tuple(
        (rows, 2 * rows * inputs * outputs / _pass(weights, inputs, outputs, rows)) for rows in ROWS
    )


def _attention(dtype: torch.dtype, tokens: int) -> float:
    """Time fused attention over 2,048 keys, of many tokens the later keys hidden by a mask."""
    heads, keys, width = 8, 2048, 64
    query = torch.ones(1, heads, tokens, width, dtype=dtype)
    key = torch.ones(1, heads, keys, width, dtype=dtype)
    mask = torch.ones(tokens, keys, dtype=torch.bool).tril(keys - tokens)
    seen = mask if tokens > 1 else None
    attend = partial(functional.scaled_dot_product_attention, query, key, key, seen)
    return _rate(4 * heads * tokens * keys * width, attend)


def _moved(dtype: torch.dtype) -> float:
    """Time a norm in float32, an activation, a product and a sum: bytes read and written."""
    x = torch.ones(_TOKENS, 1024, dtype=dtype)
    exact, size = 4, x.element_size()
    turned = 0 if size == exact else 2 * (size + exact)

    def work() -> None:
        normed = functional.rms_norm(x.float(), (x.shape[-1],), None, 1e-5).to(dtype)
        torch.add(functional.silu(normed) * x, x)

    return _rate(x.numel() * (2 * exact + turned + 8 * size), work)


def _operation_seconds(found: Rates) -> float:
    """Time a token of a small decoder, whose products are known: the rest is calling operations."""
    spec = small_decoder()
    calls = ONCE + sum(issued(layer, 1) for layer in spec.layers)
    products = token_seconds(spec, "float32", 2, replace(found, operation_seconds=0.0))[MAPS]
    return max(_step(spec) - products, _LEAST * calls) / calls


def _call_seconds() -> float:
    """Time a token of a tiny decoder: its products are nothing beside calling them.

    This thread alone works for it, so that others on the machine do not count.
    """
    spec = small_decoder(width=_TINY)
    calls = ONCE + sum(issued(layer, 1) for layer in spec.layers)
    return max(median_seconds(_stepping(spec), _BUDGET, thread_time) / calls, _LEAST)


def small_decoder(width: int = 512) -> Decoder:
    """Return a decoder of eight layers, of 75 MB in float32: as small as no cache holds.

    Between two operations of a real model its weights pass through every cache, and calling is
    the slower for it. One of less `width` lies in a cache.
    """
    inner, heads = 2 * width, 8
    attention = Attention(
        width, heads, heads // 2, width // heads, positions=Rotary(10_000.0, width // heads)
    )
    residual = Residual(before=Norm(width, 1e-5))
    layer = Layer(attention, residual, GatedMlp(width, inner, "silu"), residual)
    return Decoder(
        context=_TOKENS,
        embedding=Embedding(512, width),
        layers=(layer,) * 8,
        norm=Norm(width, 1e-5),
        output=Output(width, 512),
    )


def _step(spec: Decoder) -> float:
    """Return the seconds in which the layers of a decoder take one more token."""
    return 1 / _rate(1, _stepping(spec))


def _stepping(spec: Decoder) -> Callable[[], None]:
    module = _with_weights(spec)
    state = ContiguousState(spec, batch=1, capacity=spec.context, dtype=torch.float32)
    token = torch.zeros(1, 1, dtype=torch.long)

    def work() -> None:
        if state.used == state.capacity:
            state.reset()
        module.hidden(token, step=state.advance(1), state=state)

    return work


def _with_weights(spec: Decoder) -> DecoderModel:
    module = assemble(spec)
    for one in parameters(spec):
        path, _, leaf = one.name.rpartition(".")
        weight = nn.Parameter(torch.full(one.shape, 0.01), requires_grad=False)
        setattr(module.get_submodule(path), leaf, weight)
    return cast(DecoderModel, module)


def _rate(amount: float, work: Callable[[], object]) -> float:
    """Return amount per second of the median pass, after one to warm up: what models will see."""
    return amount / median_seconds(work, _BUDGET)


def main(threads: int, room: int) -> str:
    """Return the rates as JSON: memory first, while the process is new."""
    torch.set_num_threads(threads)
    held, began = memory(), turns()
    found = rates(threads, room, held)
    return json.dumps(asdict(replace(found, waited=turns().since(began))))


if __name__ == "__main__":
    sys.stdout.write(main(**json.loads(sys.argv[1])))
