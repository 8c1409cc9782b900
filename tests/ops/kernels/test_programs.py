"""Programs: attention over pages against its definition, what is refused, forks and threads."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from threading import Thread

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fathom.ops import attention
from fathom.ops.native import native
from fathom.ops.program import Batch, Program
from fathom.programs import layout
from fathom.programs.layout import PAGE_TOKENS
from fathom.programs.plan import Plan, PoolShape
from fathom.programs.steps import (
    Attend,
    Embed,
    Factor,
    Heads,
    Matrix,
    Multiply,
    Narrow,
    Place,
    Rows,
    Select,
)

LONGEST = 700  # tokens: enough for keys to be cut into parts
PROMPT = 64  # tokens of a piece from which on another kernel attends


class Given:
    """Weights by name, packed as float32; those named "bytes" take inputs in eight bits."""

    def __init__(self, **named: np.ndarray) -> None:
        self.named = named

    def matrix(self, matrix: Matrix) -> object:
        values = np.ascontiguousarray(self.named[matrix.name], dtype=np.float32)
        if matrix.name == "bytes":
            return native().PackedMatrix("Q8_0", *values.shape)  # type: ignore[union-attr]
        packed = native().PackedMatrix("F32", *values.shape)  # type: ignore[union-attr]
        packed.pack(values.view(np.uint8).reshape(-1))
        return packed

    def vector(self, name: str) -> np.ndarray:
        return np.ascontiguousarray(self.named[name], dtype=np.float32).reshape(-1)


@pytest.fixture(scope="module")
def projected() -> np.ndarray:
    """A row of query, key and value heads for each token, as wide as any test needs."""
    return np.random.default_rng(3).standard_normal((LONGEST, 1024)).astype(np.float32)


def attending(attend: Attend, rows: np.ndarray, threads: int) -> Program:
    """A program whose tokens are projected already: its scores are what the heads found."""
    heads = attend.heads
    mixed = heads.heads * heads.width
    page = heads.kv_heads * layout.head_bytes(heads.width, heads.state)
    plan = Plan(
        {"heads": Rows(rows.shape[1]), "mixed": Rows(mixed), "chosen": Rows(mixed)},
        (
            Embed(Matrix("rows"), "heads", 1.0),
            Place(heads),
            attend,
            Select("mixed", "chosen"),
            Multiply("chosen", None, (Factor(Matrix("identity"), None),)),
        ),
        (PoolShape(None, page),),
        0,
        mixed,
    )
    identity = np.eye(mixed, dtype=np.float32)
    weights = Given(rows=rows, identity=identity, sinks=SINKS, bytes=np.zeros((16, 32)))
    return Program(plan, weights, most_tokens=LONGEST, threads=threads)


SINKS = np.linspace(-1, 2, 8, dtype=np.float32)


def defined(attend: Attend, rows: np.ndarray) -> np.ndarray:
    """What `ops.attention` finds for whole sequences, (tokens, heads · width)."""
    heads, tokens = attend.heads, len(rows)
    shape = (heads.heads + 2 * heads.kv_heads, heads.width)
    parts = torch.from_numpy(rows).view(tokens, *shape).transpose(0, 1)[None]
    sizes = (heads.heads, heads.kv_heads, heads.kv_heads)
    query, key, value = parts.split(sizes, dim=1)
    scoring = attention.Scoring(
        scale=attend.scale,
        window=attend.reach_width if attend.reach == "window" else None,
        chunk=attend.reach_width if attend.reach == "chunk" else None,
        soft_cap=attend.soft_cap or None,
        sinks=torch.from_numpy(SINKS[: heads.heads]) if attend.sinks else None,
    )
    positions = torch.arange(tokens)[None]
    bias = None
    if attend.slopes is not None:
        distance = positions[:, None, :, None] - positions[:, None, None, :]
        bias = -torch.tensor(attend.slopes)[None, :, None, None] * distance.clamp(min=0)
    mask = attention.visible(positions, positions, scoring)
    found = attention.reference(query, key, value, scoring, mask, bias)
    return found[0].transpose(0, 1).flatten(1).numpy()


def stepped(
    runs: Program, tokens: int, cuts: Sequence[int], chosen: Sequence[int] | None = None
) -> np.ndarray:
    """Send tokens, cut at some places, into pages in no order; ask for all or those chosen."""
    pages = -(-tokens // PAGE_TOKENS)
    table = np.random.default_rng(pages).permutation(pages).astype(np.int32)[None]
    memory = np.full(pages * runs.plan.pools[0].page_bytes, 255, dtype=np.uint8)  # not a number
    found = []
    for begin, end in zip([0, *cuts], [*cuts, tokens], strict=True):
        count = end - begin
        batch = Batch(
            np.arange(begin, end, dtype=np.int32),
            (count,),
            (begin,),
            (table,),
            np.zeros((1, 0), dtype=np.float32),
            np.asarray(range(count) if chosen is None else chosen, dtype=np.int32),
        )
        found.append(runs.run(batch, [memory]))
    return np.concatenate(found)


@st.composite
def variants(draw: st.DrawFn) -> Attend:
    kv_heads = draw(st.sampled_from([1, 2, 3]))
    group = draw(st.sampled_from([1, 2])) if kv_heads == 3 else draw(st.sampled_from([1, 3, 4]))
    heads = min(8, kv_heads * group) // kv_heads * kv_heads
    width = draw(st.sampled_from([1, 8, 20, 64]))
    state = draw(st.sampled_from(["float32", "float16"]))
    reach = draw(st.sampled_from(["everything", "window", "chunk"]))
    slopes = draw(st.booleans())
    return Attend(
        Heads("heads", heads, kv_heads, width, 0, 0, state),
        "mixed",
        reach,
        draw(st.sampled_from([1, 31, 32, 40, 400])),
        draw(st.sampled_from([width**-0.5, 3 * width**-0.5])),
        draw(st.sampled_from([0.0, 5.0])),
        tuple(np.linspace(0.01, 0.5, heads).tolist()) if slopes else None,
        draw(st.sampled_from([None, "sinks"])),
        query=draw(st.sampled_from([None, Matrix("rows"), Matrix("bytes")])),
    )


@settings(max_examples=60, deadline=None)
@given(
    attend=variants(),
    tokens=st.sampled_from([1, 5, 32, 33, 100, LONGEST]),
    threads=st.sampled_from([1, 2, 3]),
    data=st.data(),
)
def test_attention_over_pages_is_attention(
    projected: np.ndarray, attend: Attend, tokens: int, threads: int, data: st.DataObject
) -> None:
    """However a sequence is cut, whatever the reach, in either type of state."""
    heads = attend.heads
    width = (heads.heads + 2 * heads.kv_heads) * heads.width
    rows = np.ascontiguousarray(projected[:tokens, :width])
    if heads.heads < len(SINKS) and attend.sinks:
        attend = replace(attend, sinks=None)  # sinks are as many as heads
    cuts = sorted(data.draw(st.sets(st.integers(1, tokens), max_size=4)) - {tokens})
    if tokens > 3:
        cuts = sorted({*cuts, tokens - 2, tokens - 1})  # single tokens, that see many keys
    found = stepped(attending(attend, rows, threads), tokens, cuts)
    expected = defined(attend, rows)
    tolerance = 1e-5 if heads.state == "float32" else 1e-2
    off = np.abs(found - expected) / max(1.0, float(np.abs(expected).max()))
    if heads.state == "float16":  # long pieces may be of bfloat16, which errs, but not in one way
        begins = [0, *cuts]
        for begin, end in zip(begins, [*cuts, tokens], strict=True):
            if end - begin >= PROMPT:
                assert np.sqrt((off[begin:end] ** 2).mean()) < tolerance
                off[begin:end] = 0
    assert off.max() < tolerance


@settings(max_examples=20, deadline=None)
@given(attend=variants(), most=st.integers(2, 9), threads=st.sampled_from([1, 2, 3]))
def test_a_few_tokens_have_the_bits_of_single_ones(
    projected: np.ndarray, attend: Attend, most: int, threads: int
) -> None:
    """Whatever the number of threads, so that what was drafted can be checked in one pass."""
    attend = replace(attend, sinks=None)
    width = (attend.heads.heads + 2 * attend.heads.kv_heads) * attend.heads.width
    rows = np.ascontiguousarray(projected[:LONGEST, :width])
    begun = LONGEST - 20
    singles = stepped(attending(attend, rows, 1), LONGEST, [*range(begun, LONGEST)])
    together = stepped(attending(attend, rows, threads), LONGEST, [*range(begun, LONGEST, most)])
    np.testing.assert_array_equal(together[begun:], singles[begun:])


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize(
    ("tokens", "chosen"), [(5, [4]), (100, [99, 0, 3]), (LONGEST, []), (5, [])]
)
def test_rows_of_chosen_tokens_are_those_that_they_have_among_all(
    projected: np.ndarray, tokens: int, chosen: list[int], threads: int
) -> None:
    attend = plain("float16")
    rows = np.ascontiguousarray(projected[:tokens, :64])
    whole = attending(attend, rows, threads)
    embed, place, _, _, scores = whole.plan.steps
    assert isinstance(scores, Multiply)
    steps = (
        embed,
        place,
        replace(attend, narrowed=True),
        Narrow((("mixed", "chosen"),)),
        replace(scores, source="mixed"),
    )
    weights = Given(rows=rows, identity=np.eye(32, dtype=np.float32))
    plan = replace(whole.plan, steps=steps)
    narrowed = Program(plan, weights, most_tokens=LONGEST, threads=threads)
    found = stepped(narrowed, tokens, [], chosen)
    np.testing.assert_array_equal(found, stepped(whole, tokens, [])[chosen])


@pytest.mark.parametrize(("query", "least", "most"), [("rows", 0, 3e-3), ("bytes", 4e-3, 3e-2)])
def test_large_channels_of_keys_leave_a_prompt_as_exact_as_its_products(
    projected: np.ndarray, query: str, least: float, most: float
) -> None:
    """Rounding what makes a score is an error of an exponent, and grows with the score: scores are
    of bfloat16 only where what made the queries was rounded further."""
    heads = Heads("heads", 3, 1, 64, 0, 0, "float16")
    attend = Attend(heads, "mixed", "everything", 0, 0.125, query=Matrix(query))
    rows = np.ascontiguousarray(projected[:256, : 5 * 64])
    rows[:, 7::64] *= 6.0
    rows[:, 4 * 64 :] = projected[:256, 512:576]
    found, expected = stepped(attending(attend, rows, 2), 256, []), defined(attend, rows)
    off = np.sqrt(((found - expected) ** 2).mean() / (expected**2).mean())
    quick = native().best()[0] == "avx512-vnni-bf16"  # type: ignore[union-attr]
    assert (least if quick else 0) <= off < most  # others have one kernel for all queries


def plain(state: str = "float32") -> Attend:
    heads = Heads("heads", 2, 1, 16, 0, 0, state)  # type: ignore[arg-type]
    return Attend(heads, "mixed", "everything", 0, 0.25)


def test_a_page_is_as_large_as_is_said() -> None:
    module = native()
    for width in (1, 16, 20, 128):
        for state, size in layout.STATE_BYTES.items():
            told = layout.head_bytes(width, state)  # type: ignore[arg-type]
            assert told == size * module.head_numbers(width)  # type: ignore[union-attr]
    assert module.page_tokens == PAGE_TOKENS  # type: ignore[union-attr]
    assert module.widest_head == layout.WIDEST_HEAD  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"ids": np.array([64], dtype=np.int32)}, "token it knows"),
        ({"ids": np.array([-1], dtype=np.int32)}, "token it knows"),
        ({"starts": (32,)}, "pages for all tokens"),
        ({"starts": (-1,)}, "position it knows"),
        ({"tables": (np.array([[1]], dtype=np.int32),)}, "pages of the pool"),
        ({"tables": (np.array([[-1]], dtype=np.int32),)}, "pages of the pool"),
        ({"outputs": np.array([1], dtype=np.int32)}, "outputs of tokens"),
        ({"ids": np.zeros(LONGEST + 1, dtype=np.int32), "counts": (LONGEST + 1,)}, "room"),
        ({}, None),
    ],
)
def test_what_lies_outside_is_refused(
    projected: np.ndarray, changed: dict[str, object], complaint: str | None
) -> None:
    runs = attending(plain(), np.ascontiguousarray(projected[:64, :64]), 2)
    batch = Batch(
        ids=np.array([63], dtype=np.int32),
        counts=(1,),
        starts=(31,),
        tables=(np.array([[0]], dtype=np.int32),),
        frequencies=np.zeros((1, 0), dtype=np.float32),
        outputs=np.array([0], dtype=np.int32),
    )
    memory = [np.zeros(runs.plan.pools[0].page_bytes, dtype=np.uint8)]
    if complaint is None:
        assert np.isfinite(runs.run(batch, memory)).all()
        return
    with pytest.raises(ValueError, match=complaint):
        runs.run(replace(batch, **changed), memory)  # type: ignore[arg-type]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_computes(projected: np.ndarray) -> None:
    """Threads do not come along in a fork: the child starts its own."""
    rows = np.ascontiguousarray(projected[:40, :64])
    runs = attending(plain(), rows, 2)
    before = stepped(runs, 40, [])
    child = os.fork()
    if child == 0:
        same = np.array_equal(stepped(runs, 40, []), before)
        os._exit(0 if same else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert np.array_equal(stepped(runs, 40, []), before)


def test_programs_run_from_several_threads_at_once(projected: np.ndarray) -> None:
    """They share their threads and take turns; nobody's rows are another's."""
    rows = np.ascontiguousarray(projected[:100, :64])
    both = [attending(plain(), rows, threads) for threads in (1, 2)]
    expected = stepped(both[0], 100, [50])
    found: list[np.ndarray] = []

    def work(runs: Program) -> None:
        for _ in range(20):
            found.append(stepped(runs, 100, [50]))

    threads = [Thread(target=work, args=(runs,)) for runs in (*both, *both)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 80
    assert all(np.allclose(each, expected, atol=1e-6) for each in found)


def test_not_a_number_comes_out(projected: np.ndarray) -> None:
    """Broken numbers are not hidden by masks or maxima."""
    rows = np.ascontiguousarray(projected[:40, :64]).copy()
    rows[3, 40] = np.nan  # of a key
    found = stepped(attending(plain(), rows, 2), 40, [])
    assert np.isfinite(found[:3]).all()
    assert np.isnan(found[3:]).any(axis=1).all()
