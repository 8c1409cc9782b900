"""Steps that look at a source, against their definitions; and what is refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fathom.ops import attention
from fathom.ops.distance import buckets
from fathom.ops.program import Batch, Program
from fathom.ops.sinusoid import waves
from fathom.programs import layout
from fathom.programs.cross_steps import Accept, Look, Waves
from fathom.programs.distance_table import Distances
from fathom.programs.layout import PAGE_TOKENS, StateType
from fathom.programs.plan import Plan, PoolShape
from fathom.programs.steps import Attend, Deliver, Embed, Heads, Matrix, Place, Rows
from ops.kernels.test_programs import Given

NONE = np.zeros(0, dtype=np.int32)
TOLERANCE = {"float32": 1e-5, "float16": 2e-2}


def numbers(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


def batch(tokens: Sequence[int], **changes: object) -> Batch:
    """Tokens of several sequences from their starts on; ids count on through all of them."""
    count = sum(tokens)
    made = Batch(
        ids=np.arange(count, dtype=np.int32),
        counts=tokens,
        starts=[0] * len(tokens),
        tables=[],
        frequencies=np.zeros((len(tokens), 0), dtype=np.float32),
        outputs=np.arange(count, dtype=np.int32),
    )
    return replace(made, **changes)  # type: ignore[arg-type]


class Looking:
    """Programs over one source: what places its keys and values, and what looks at them."""

    def __init__(self, heads: int, kv_heads: int, width: int, state: StateType) -> None:
        self.kv_heads, self.width = kv_heads, width
        page = kv_heads * layout.head_bytes(width, state)
        self.pools = (PoolShape(None, page, source=True),)
        both = 2 * kv_heads * width
        self.placed = Plan(
            {"both": Rows(both)},
            (Accept("both"), Place(Heads("both", 0, kv_heads, width, 0, 0, state))),
            self.pools,
            0,
            0,
            delivered=0,
        )
        self.heads = Heads("queries", heads, kv_heads, width, 0, 0, state)

    def pages(self, sources: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Place sources, (tokens, both) each; return the pages and (sources, pages) of them."""
        each = -(-max(len(one) for one in sources) // PAGE_TOKENS)
        order = np.random.default_rng(5).permutation(len(sources) * each).astype(np.int32)
        tables = order.reshape(len(sources), each)
        pages = np.full(order.size * self.pools[0].page_bytes, 255, dtype=np.uint8)
        reader = Program(self.placed, Given(), most_tokens=9, threads=2)
        for table, source in zip(tables, sources, strict=True):
            for begin in range(0, len(source), 9):
                rows = np.ascontiguousarray(source[begin : begin + 9])
                ids = np.zeros(len(rows), dtype=np.int32)
                own = {"starts": [begin], "tables": [table[None]], "given": rows, "outputs": NONE}
                reader.run(batch([len(rows)], ids=ids, **own), [pages])
        return pages, tables

    def finds(self, steps: tuple[object, ...], width: int, queries: np.ndarray) -> Program:
        rows = {"queries": Rows(queries.shape[1]), "found": Rows(width)}
        plan = Plan(
            rows,
            (Embed(Matrix("rows"), "queries", 1.0), *steps, Deliver("found")),  # type: ignore[arg-type]
            self.pools,
            0,
            0,
            delivered=width,
        )
        return Program(plan, Given(rows=queries), most_tokens=len(queries), threads=2)


@settings(max_examples=25, deadline=None)
@given(
    group=st.sampled_from([1, 2]),
    kv_heads=st.sampled_from([1, 3]),
    width=st.sampled_from([8, 20, 64]),
    state=st.sampled_from(["float32", "float16"]),
    tokens=st.sampled_from([(1, 1), (3, 70), (1, 5)]),
    read=st.sampled_from([(1, 33), (700, 40), (32, 64)]),
)
def test_a_source_is_seen_whole(
    group: int,
    kv_heads: int,
    width: int,
    state: StateType,
    tokens: tuple[int, int],
    read: tuple[int, int],
) -> None:
    """Sequences side by side, each with a source of its own length, in either type."""
    heads = group * kv_heads
    looking = Looking(heads, kv_heads, width, state)
    sources = [numbers(length, 2 * kv_heads * width) for length in read]
    queries = numbers(sum(tokens), heads * width)
    pages, tables = looking.pages(sources)
    scale, chosen, most = width**-0.5, tuple(range(heads)), max(read)
    attend = Attend(looking.heads, "found", "everything", 0, scale, looks=True)
    look = Look(looking.heads, "found", 0, chosen, most, scale)
    made = batch(tokens, tables=[tables], read=read)
    mixed = looking.finds((attend,), heads * width, queries).run(made, [pages])
    shares = looking.finds((look,), heads * most, queries).run(made, [pages])
    begins = np.cumsum([0, *tokens])
    for index, source in enumerate(sources):
        own = slice(begins[index], begins[index + 1])
        query = torch.from_numpy(queries[own]).view(-1, heads, width).transpose(0, 1)[None]
        both = torch.from_numpy(source).view(-1, 2 * kv_heads, width).transpose(0, 1)[None]
        key, value = both.split(kv_heads, dim=1)
        scoring = attention.Scoring(scale=scale, causal=False)
        expected = attention.reference(query, key, value, scoring)[0].transpose(0, 1).flatten(1)
        np.testing.assert_allclose(mixed[own], expected, atol=TOLERANCE[state])
        scores = query @ key.repeat_interleave(group, dim=1).transpose(-1, -2) * scale
        wanted = np.zeros((len(query[0, 0]), heads, most), dtype=np.float32)
        wanted[:, :, : len(source)] = scores[0].softmax(dim=-1).transpose(0, 1)
        np.testing.assert_allclose(shares[own].reshape(wanted.shape), wanted, atol=TOLERANCE[state])


@settings(max_examples=25, deadline=None)
@given(
    causal=st.booleans(),
    tokens=st.sampled_from([1, 33, 100]),
    shape=st.sampled_from([(8, 20), (32, 128), (4, 5)]),
    threads=st.sampled_from([1, 3]),
)
def test_distances_are_added_to_scores(
    causal: bool, tokens: int, shape: tuple[int, int], threads: int
) -> None:
    heads, width, (count, furthest) = 3, 8, shape
    rows = numbers(tokens, 3 * heads * width)
    scores = 3 * numbers(count, heads)
    far = Distances("scores", count, furthest, heads, not causal)
    placed = Heads("heads", heads, heads, width, 0, 0, "float32")
    plan = Plan(
        {"heads": Rows(rows.shape[1]), "found": Rows(heads * width)},
        (
            Embed(Matrix("rows"), "heads", 1.0),
            Place(placed),
            Attend(placed, "found", "everything", 0, 1.0, causal=causal, distances=far),
            Deliver("found"),
        ),
        (PoolShape(None, heads * layout.head_bytes(width, "float32")),),
        0,
        0,
        delivered=heads * width,
    )
    runs = Program(plan, Given(rows=rows, scores=scores), most_tokens=tokens, threads=threads)
    table = np.arange(-(-tokens // PAGE_TOKENS), dtype=np.int32)[None]
    pages = np.full(table.size * plan.pools[0].page_bytes, 255, dtype=np.uint8)
    found = runs.run(batch([tokens], tables=[table]), [pages])
    parts = torch.from_numpy(rows).view(tokens, 3, heads, width).permute(1, 2, 0, 3)[:, None]
    positions = torch.arange(tokens)
    ahead = positions[None] - positions[:, None]
    places = buckets(ahead, count=count, furthest=furthest, both_directions=not causal)
    bias = torch.from_numpy(scores)[places].permute(2, 0, 1)[None]
    scoring = attention.Scoring(scale=1.0, causal=causal)
    mask = attention.visible(positions[None], positions[None], scoring)
    expected = attention.reference(*parts, scoring, mask, bias)[0].transpose(0, 1).flatten(1)
    np.testing.assert_allclose(found, expected, atol=2e-5)


@pytest.mark.parametrize("width", [2, 15, 48])
def test_waves_are_those_of_positions(width: int) -> None:
    rows = numbers(40, width)
    steps = Embed(Matrix("rows"), "rows", 1.0), Waves("rows"), Deliver("rows")
    plan = Plan({"rows": Rows(width)}, steps, (), 0, 0, delivered=width)
    runs = Program(plan, Given(rows=rows), most_tokens=40, threads=2)
    found = runs.run(batch([40], starts=[1000]), [])
    expected = waves(torch.arange(1000, 1040)[None], width)[0].numpy()
    np.testing.assert_allclose(found - rows, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"read": None}, "length of its source"),
        ({"read": [0]}, "pages for all that was read"),
        ({"read": [PAGE_TOKENS + 1]}, "pages for all that was read"),
        ({"read": [1, 1]}, "length of its source"),
        ({"tables": [np.array([[1]], dtype=np.int32)]}, "pages of the pool"),
        ({"given": numbers(1, 8)}, "rows are given"),
        ({"starts": [5000]}, None),  # where a text stands does not matter to its source
        ({}, None),
    ],
)
def test_what_lies_outside_a_source_is_refused(
    changed: dict[str, object], complaint: str | None
) -> None:
    looking = Looking(1, 1, 8, "float32")
    pages, tables = looking.pages([numbers(PAGE_TOKENS, 16)])
    attend = Attend(looking.heads, "found", "everything", 0, 1.0, looks=True)
    runs = looking.finds((attend,), 8, numbers(4, 8))
    made = batch([1], tables=[tables], read=[PAGE_TOKENS])
    if complaint is None:
        assert np.isfinite(runs.run(replace(made, **changed), [pages])).all()  # type: ignore[arg-type]
        return
    with pytest.raises(ValueError, match=complaint):
        runs.run(replace(made, **changed), [pages])  # type: ignore[arg-type]


def test_rows_that_are_given_are_as_many_as_tokens() -> None:
    looking = Looking(1, 1, 8, "float32")
    reader = Program(looking.placed, Given(), most_tokens=9, threads=1)
    page = [np.zeros(looking.pools[0].page_bytes, dtype=np.uint8)]
    made = batch([2], ids=np.zeros(2, np.int32), tables=[np.zeros((1, 1), np.int32)], outputs=NONE)
    reader.run(replace(made, given=numbers(2, 16)), page)
    for given_rows in (None, numbers(1, 16)):
        with pytest.raises(ValueError, match="rows are given"):
            reader.run(replace(made, given=given_rows), page)
