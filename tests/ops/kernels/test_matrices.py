"""Every encoding and every variant of the kernels against the decoders that are not theirs."""

import multiprocessing

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fathom.checkpoint.encodings import ENCODINGS
from fathom.ops import matrices
from fathom.ops.choose import only
from fathom.ops.native import native
from waiting import LONGEST

NATIVE = native()
if isinstance(NATIVE, str):
    pytest.skip(NATIVE, allow_module_level=True)

NAMES = NATIVE.encodings()
VARIANTS = [name for name, lacks in NATIVE.variants() if not lacks]
# Where float16 scales begin in a block of a file.
HALVES = {
    **dict.fromkeys(("Q4_0", "Q5_0", "Q8_0"), (0,)),
    **dict.fromkeys(("Q4_1", "Q5_1", "Q4_K", "Q5_K"), (0, 2)),
    "Q6_K": (208,),
}


def stored(name: str, rows: int, columns: int, seed: int = 0) -> np.ndarray:
    """Random weights as a file has them, (bytes,): every bit of a value is used."""
    random = np.random.default_rng(seed)
    entry = ENCODINGS[name]
    if not rows * columns:
        return np.empty(0, np.uint8)
    if entry.native is not None:
        values = torch.from_numpy(random.standard_normal(rows * columns, dtype=np.float32))
        return values.to(getattr(torch, entry.native)).view(torch.uint8).numpy()
    count = rows * columns // entry.block_elements
    blocks = random.integers(0, 256, (count, entry.block_bytes), dtype=np.uint8)
    for start in HALVES[name]:
        scales = random.uniform(-0.02, 0.02, count).astype(np.float16)
        blocks[:, start : start + 2] = scales.view(np.uint8).reshape(-1, 2)
    return blocks.reshape(-1)


def decoded(name: str, raw: np.ndarray, rows: int, columns: int) -> np.ndarray:
    return ENCODINGS[name].decode(torch.from_numpy(raw.copy()), (rows, columns)).numpy()


def packed(name: str, raw: np.ndarray, rows: int, columns: int):
    matrix = NATIVE.PackedMatrix(name, rows, columns)
    matrix.pack(raw)
    return matrix


def inputs(tokens: int, columns: int) -> np.ndarray:
    return np.random.default_rng(7).standard_normal((tokens, columns), dtype=np.float32)


def product(matrix, x: np.ndarray, variant: str | None = None, refined: int = 0) -> np.ndarray:
    """The result where every number that is not written is one that no product gives."""
    y = np.full((len(x), matrix.rows), np.float32(12345.0))
    matrix.multiply(x, y, variant=variant, refined=refined)
    return y


def columns_of(name: str, blocks: int) -> int:
    return blocks * max(ENCODINGS[name].block_elements, 32)


def test_kernels_know_encodings_by_the_names_of_the_table():
    assert set(NAMES) <= set(ENCODINGS)
    for name in NAMES:
        columns = columns_of(name, 3)
        assert NATIVE.source_row_bytes(name, columns) == ENCODINGS[name].size((columns,))


@pytest.mark.parametrize("name", NAMES)
def test_rows_come_back_bit_for_bit(name: str):
    rows, columns = 37, columns_of(name, 3) + (7 if ENCODINGS[name].native else 0)
    raw = stored(name, rows, columns)
    values = np.empty((rows, columns), np.float32)
    packed(name, raw, rows, columns).unpack(values)
    wanted = decoded(name, raw, rows, columns)
    assert np.array_equal(values.view(np.uint32) << 1, wanted.view(np.uint32) << 1)  # ±0 are one
    assert np.array_equal(values, wanted)


def rounding(name: str, x: np.ndarray, refined: int = 0) -> np.ndarray:
    """The most that an input may differ from what the kernels make of it.

    With eight bits half a step, which is 1/127 of the largest of its 32, and of what is left of
    the `refined` largest of these half a step again; with bfloat16, which keeps eight bits of
    each, half of the last.
    """
    if name in ("F32", "F16"):
        return np.zeros_like(x)
    if name == "BF16":
        return np.abs(x) * 2.0**-9
    largest = np.abs(x).reshape(len(x), -1, 32).max(axis=2)
    left = largest / 254
    for token, own in enumerate(largest):
        left[token, np.argsort(-own)[:refined]] /= 254
    return left.repeat(32, axis=1)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("tokens", [1, 3, 29])
def test_products_are_as_near_as_rounded_inputs_allow(name: str, variant: str, tokens: int):
    rows, columns = 53, columns_of(name, 2) + (9 if ENCODINGS[name].native else 0)
    raw = stored(name, rows, columns)
    x = inputs(tokens, columns)
    weights = decoded(name, raw, rows, columns).astype(np.float64)
    error = np.abs(product(packed(name, raw, rows, columns), x, variant) - x @ weights.T)
    size = np.abs(x) @ np.abs(weights).T
    bound = rounding(name, x) @ np.abs(weights).T
    assert (error <= bound + 1e-6 * size).all()
    assert (error / size).max() < (1e-6 if name in ("F32", "F16") else 1e-2)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("refined", [1, 3, 99])
def test_remainders_give_the_largest_blocks_as_many_bits_again(
    name: str, variant: str, refined: int
):
    rows, tokens = 53, 75  # more tokens than those that are near each other
    columns = columns_of(name, 32 * 6 // columns_of(name, 1) + 1)
    raw = stored(name, rows, columns)
    x = inputs(tokens, columns)
    x[:, 37] *= 40  # mostly the same block of every token
    x[::3, columns - 1] *= 60
    matrix = packed(name, raw, rows, columns)
    y = product(matrix, x, variant, refined)
    weights = decoded(name, raw, rows, columns).astype(np.float64)
    bound = rounding(name, x, refined) @ np.abs(weights).T
    size = np.abs(x) @ np.abs(weights).T
    assert (np.abs(y - x @ weights.T) <= bound + 1e-6 * size).all()
    for token in (0, 1, 74):
        alone = product(matrix, x[token : token + 1], variant, refined)
        assert np.array_equal(alone[0], y[token])
    plain = ENCODINGS[name].native is not None  # which has no remainders
    assert np.array_equal(y, product(matrix, x, variant)) == plain


@pytest.mark.parametrize("name", NAMES)
def test_variants_round_inputs_alike(name: str):
    """Integers are exact and only the order of float sums differs."""
    rows, columns = 48, columns_of(name, 4)
    matrix = packed(name, stored(name, rows, columns), rows, columns)
    x = inputs(11, columns)
    results = [product(matrix, x, variant) for variant in VARIANTS]
    for other in results[1:]:
        np.testing.assert_allclose(other, results[0], rtol=1e-4, atol=2e-4)


@pytest.mark.parametrize("variant", VARIANTS)
@given(rows=st.integers(0, 40), tokens=st.integers(0, 20), blocks=st.integers(0, 3), data=st.data())
@settings(max_examples=25, deadline=None)
def test_any_shape_any_range_of_rows_and_any_company(
    variant: str, rows: int, tokens: int, blocks: int, data
):
    name = data.draw(st.sampled_from(NAMES))
    columns = columns_of(name, blocks)
    matrix = packed(name, stored(name, rows, columns), rows, columns)
    assert matrix.nbytes == NATIVE.packed_bytes(name, rows, columns) == matrix.memory.size
    x = inputs(tokens, columns)
    refined = data.draw(st.integers(0, 3))
    whole = product(matrix, x, variant, refined)
    for token in range(min(tokens, 3)):  # alone as among others, to the last bit
        alone = product(matrix, x[token : token + 1], variant, refined)
        assert np.array_equal(alone[0], whole[token])
    begin = data.draw(st.integers(0, rows))
    end = data.draw(st.integers(begin, rows))
    part = np.full_like(whole, 5.0)
    matrix.multiply(x, part, begin, end, variant, refined)
    assert np.array_equal(part[:, begin:end], whole[:, begin:end])
    assert (part[:, :begin] == 5.0).all() and (part[:, end:] == 5.0).all()


@pytest.mark.parametrize("name", NAMES)
def test_parts_packed_below_each_other_are_the_whole(name: str):
    columns = columns_of(name, 2)
    raw = [stored(name, rows, columns, seed=rows) for rows in (5, 16, 1, 22)]
    matrix = matrices.pack(name, columns, [torch.from_numpy(part) for part in raw])
    whole = packed(name, np.concatenate(raw), 44, columns)
    assert np.array_equal(matrix.memory, whole.memory)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_in_an_input_reaches_every_output_of_its_token(
    name: str, variant: str, bad: float
):
    columns = columns_of(name, 2)
    matrix = packed(name, stored(name, 20, columns), 20, columns)
    x = inputs(3, columns)
    sound = product(matrix, x, variant, refined=2)
    x[1, 40] = bad
    y = product(matrix, x, variant, refined=2)
    assert not np.isfinite(y[1]).any()
    assert np.array_equal(y[[0, 2]], sound[[0, 2]])


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_no_number_in_a_weight_reaches_its_row(name: str, variant: str, bad: float):
    rows, columns = 20, columns_of(name, 2)
    raw = stored(name, rows, columns)
    row = raw.reshape(rows, -1)[6]
    if name in HALVES:
        start = HALVES[name][0]
        row[start : start + 2] = np.array([bad], np.float16).view(np.uint8)
    else:
        dtype = getattr(torch, ENCODINGS[name].native)
        value = torch.tensor([bad]).to(dtype).view(torch.uint8).numpy()
        row[: len(value)] = value
    y = product(packed(name, raw, rows, columns), inputs(3, columns), variant)
    finite = np.isfinite(y)
    assert not finite[:, 6].any()
    assert np.delete(finite, 6, axis=1).all()


@pytest.mark.parametrize("size", [0.0, 1e-38, 1e-45, 1e30])
@pytest.mark.parametrize("name", NAMES)
def test_inputs_of_any_size_stay_numbers(name: str, size: float):
    columns = columns_of(name, 1)
    raw = stored(name, 16, columns)
    x = inputs(2, columns) * np.float32(size)
    y = product(packed(name, raw, 16, columns), x)
    wanted = x.astype(np.float64) @ decoded(name, raw, 16, columns).T
    np.testing.assert_allclose(y, wanted, rtol=0.2, atol=max(size * 0.5, 1e-35))


def test_large_matrices_lie_beside_each_other_and_outlive_one_another():
    sizes = [(4096, 576), (700, 1536), (100_000, 2048)]  # the last is larger than a chunk
    kept = [NATIVE.PackedMatrix("Q4_0", *size) for size in sizes]
    for matrix in kept:
        assert matrix.memory.ctypes.data % 64 == 0
        assert not matrix.memory[:4096].any() and not matrix.memory[-4096:].any()
    raw = stored("Q4_0", 700, 1536)
    kept[1].pack(raw)
    assert not kept[0].memory.any()
    seen = kept[1].memory
    wanted = packed("Q4_0", raw, 700, 1536).memory.copy()
    kept.clear()
    assert np.array_equal(seen, wanted)


def _in_child(queue) -> None:
    columns = 64
    matrix = packed("Q4_0", stored("Q4_0", 16, columns), 16, columns)
    queue.put(product(matrix, inputs(1, columns)).tolist())


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")  # beside threads
def test_a_forked_process_computes_the_same():
    _in_parent = product(packed("Q4_0", stored("Q4_0", 16, 64), 16, 64), inputs(1, 64)).tolist()
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    child = context.Process(target=_in_child, args=(queue,))
    child.start()
    result = queue.get()
    child.join(timeout=LONGEST)
    assert child.exitcode == 0
    assert result == _in_parent


REFUSED = {
    "an encoding without a kernel": lambda: NATIVE.PackedMatrix("IQ1_S", 16, 256),
    "columns that end inside a block": lambda: NATIVE.PackedMatrix("Q4_0", 16, 33),
    "half a row": lambda: NATIVE.PackedMatrix("Q8_0", 2, 32).pack(np.zeros(67, np.uint8)),
    "rows outside": lambda: NATIVE.PackedMatrix("Q8_0", 2, 32).pack(np.zeros(34, np.uint8), 2, 1),
    "another width": lambda: product(NATIVE.PackedMatrix("Q8_0", 2, 32), inputs(1, 31)),
    "fewer remainders than none": lambda: product(
        NATIVE.PackedMatrix("Q8_0", 2, 32), inputs(1, 32), refined=-1
    ),
    "unknown kernels": lambda: product(NATIVE.PackedMatrix("Q8_0", 2, 32), inputs(1, 32), "abacus"),
    "a part that is not whole rows": lambda: matrices.pack("Q8_0", 32, [torch.zeros(35).byte()]),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_is_refused(what: str):
    with pytest.raises(ValueError):
        REFUSED[what]()
    # The twin: the same with the right numbers.
    matrix = NATIVE.PackedMatrix("Q8_0", 2, 32)
    matrix.pack(np.zeros(34, np.uint8), 1, 1)
    assert not product(matrix, inputs(1, 32), VARIANTS[0]).any()


def test_the_operation_agrees_with_its_reference_and_says_why_not():
    columns = 96
    weight = matrices.pack("Q8_0", columns, [torch.from_numpy(stored("Q8_0", 24, columns))])
    x = torch.from_numpy(inputs(6, columns)).reshape(2, 3, columns)
    for dtype in (torch.float32, torch.bfloat16):
        fast = matrices.packed_linear(x.to(dtype), weight)
        with only("reference"):
            slow = matrices.packed_linear(x.to(dtype), weight)
        assert fast.dtype == slow.dtype == dtype
        assert fast.shape == slow.shape == (2, 3, 24)
        scale = slow.float().abs().max()
        assert (fast.float() - slow.float()).abs().max() < 0.02 * scale
    matrices.packed_linear(x.requires_grad_(), weight)
    assert "gradient" in matrices.packed_linear.refusals["native"]


def test_the_kernels_in_use_are_the_first_that_lack_nothing():
    name, reason = NATIVE.best()
    assert name == VARIANTS[0]
    better = [variant for variant, lacks in NATIVE.variants() if lacks]
    assert all(variant in reason for variant in better[: NATIVE.variants().index((name, ""))])
