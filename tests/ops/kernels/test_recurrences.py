"""Recurrences of programs against their definitions: odd sizes, cuts anywhere, slots anywhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeAlias

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from fathom.ops.activation import ACTIVATIONS
from fathom.ops.convolution import causal_convolution
from fathom.ops.delta_rule import delta_rule, unit
from fathom.ops.program import Batch, Program
from fathom.ops.selective_scan import selective_scan
from fathom.ops.state_space_duality import state_space_duality
from fathom.programs.plan import Plan
from fathom.programs.recurrent_steps import Convolve, Delta, Dual, Recurrent, Scan
from fathom.programs.steps import Embed, Factor, Matrix, Multiply, NormShape, Rows, Select

from .test_programs import Given

LONGEST = 150  # tokens: more than the kernels take at once
OFFSET = 3  # numbers of a row before the first column
NAMES = ("weight", "bias", "decay", "time_step_bias", "skip", "norm")
Rowed: TypeAlias = torch.Tensor  # (tokens, width)


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    """What a step finds in its rows, for each token."""
    return np.random.default_rng(4).standard_normal((LONGEST, 400)).astype(np.float32)


def vectors(sizes: dict[str, int]) -> dict[str, np.ndarray]:
    """Small tensors by name; decays are logarithms of ordinary rates."""
    draw = np.random.default_rng(9).standard_normal
    return {name: draw(size).astype(np.float32) for name, size in sizes.items()}


def program(step: Recurrent, width: int, result: int, weights: Given, threads: int) -> Program:
    """A program whose tokens are rows already: its scores are what the step made of them."""
    plan = Plan(
        {"rows": Rows(width), "found": Rows(result), "chosen": Rows(result)},
        (
            Embed(Matrix("rows"), "rows", 1.0),
            step,
            Select("found", "chosen"),
            Multiply("chosen", None, (Factor(Matrix("identity"), None),)),
        ),
        (),
        0,
        result,
        -(-4 * (step.slot_offset // 4 + step.remembered) // 64) * 64,
    )
    return Program(plan, weights, most_tokens=LONGEST, threads=threads)


def stepped(runs: Program, cuts: Sequence[Sequence[int]], lengths: Sequence[int]) -> list:
    """Send the first rows through, once for each sequence, all side by side.

    `cuts` are places of the same number for every sequence; the memory holds no number before.
    """
    count = len(lengths)
    slots = np.random.default_rng(count).permutation(count + 2)[:count]
    memory = np.full((count + 2) * runs.plan.slot_bytes, 255, dtype=np.uint8)
    found: list[list[np.ndarray]] = [[] for _ in lengths]
    edges = [[0, *own, length] for own, length in zip(cuts, lengths, strict=True)]
    for step in range(len(edges[0]) - 1):
        spans = [(own[step], own[step + 1]) for own in edges]
        ids = np.concatenate([np.arange(begin, end) for begin, end in spans]).astype(np.int32)
        if not len(ids):
            continue
        counts = [end - begin for begin, end in spans]
        batch = Batch(
            ids,
            counts,
            [begin for begin, _ in spans],
            [],
            np.zeros((count, 0), dtype=np.float32),
            np.arange(len(ids), dtype=np.int32),
            slots.tolist(),
        )
        pieces = np.split(runs.run(batch, [], memory), np.cumsum(counts)[:-1])
        for own, piece in zip(found, pieces, strict=True):
            own.append(piece)
    return [np.concatenate(own) for own in found]


def columns(*widths: int) -> list[tuple[str, int]]:
    """Return columns beside one another."""
    begins = np.cumsum((OFFSET, *widths))
    return [("rows", int(begin)) for begin in begins[:-1]]


def parted(x: Rowed, widths: Sequence[int]) -> Sequence[torch.Tensor]:
    """Return what lies in columns, each (1, tokens, width)."""
    return x[None, :, OFFSET : OFFSET + sum(widths)].split(list(widths), dim=-1)


@st.composite
def convolutions(draw: st.DrawFn) -> tuple[Convolve, dict[str, int], Callable[..., Rowed], int]:
    channels, kernel = draw(st.sampled_from([1, 16, 37])), draw(st.integers(1, 8))
    activation = draw(st.sampled_from(["silu", "gelu"]))
    bias = draw(st.sampled_from([None, "bias"]))
    step = Convolve(("rows", OFFSET), "found", channels, kernel, "weight", bias, activation, 64)

    def defined(x: Rowed, given: dict[str, torch.Tensor]) -> Rowed:
        weight = given["weight"].view(channels, kernel)
        before = torch.zeros(1, kernel - 1, channels)
        own = x[None, :, OFFSET : OFFSET + channels]
        made, _ = causal_convolution(own, weight, given["bias"] if bias else None, before)
        return ACTIVATIONS[activation](made)[0]

    return step, {"weight": channels * kernel, "bias": channels}, defined, channels


@st.composite
def scans(draw: st.DrawFn) -> tuple[Scan, dict[str, int], Callable[..., Rowed], int]:
    inner, state = draw(st.sampled_from([1, 16, 45])), draw(st.sampled_from([1, 5, 16]))
    widths = (inner, inner, state, state, inner)
    step = Scan(
        *columns(*widths), "found", inner, state, "decay", "time_step_bias", "skip", 0
    )  # fmt: skip

    def defined(x: Rowed, given: dict[str, torch.Tensor]) -> Rowed:
        value, time, write, read, gate = parted(x, widths)
        passed = functional.softplus(time + given["time_step_bias"])
        decay = -given["decay"].view(inner, state).exp()
        memory = torch.zeros(1, inner, state)
        found, _ = selective_scan.reference(value, passed, decay, write, read, memory)
        return ((found + given["skip"] * value) * functional.silu(gate))[0]

    return step, {"decay": inner * state, "time_step_bias": inner, "skip": inner}, defined, inner


@st.composite
def duals(draw: st.DrawFn) -> tuple[Dual, dict[str, int], Callable[..., Rowed], int]:
    groups, state = draw(st.sampled_from([1, 2])), draw(st.sampled_from([1, 4, 7]))
    heads, width = groups * draw(st.integers(1, 2)), draw(st.sampled_from([1, 16, 20, 70]))
    limits = draw(st.sampled_from([(0.0, None), (0.1, 0.5)]))
    widths = (heads * width, groups * state, groups * state, heads)
    step = Dual(
        *columns(*widths), "found", heads, width, groups, state, limits, "decay",
        "time_step_bias", "skip", 128,
    )  # fmt: skip

    def defined(x: Rowed, given: dict[str, torch.Tensor]) -> Rowed:
        value, write, read, time = parted(x, widths)
        value = value.unflatten(-1, (heads, width))
        write, read = (each.unflatten(-1, (groups, state)) for each in (write, read))
        passed = functional.softplus(time + given["time_step_bias"]).clamp(*limits)
        memory = torch.zeros(1, heads, width, state)
        decay = -given["decay"].exp()
        found, _ = state_space_duality.reference(value, passed, decay, write, read, memory)
        return (found + given["skip"][:, None] * value).flatten(2)[0]

    sizes = dict.fromkeys(("decay", "time_step_bias", "skip"), heads)
    return step, sizes, defined, heads * width


@st.composite
def deltas(draw: st.DrawFn) -> tuple[Delta, dict[str, int], Callable[..., Rowed], int]:
    key_heads, key_width = draw(st.sampled_from([1, 2])), draw(st.sampled_from([1, 8, 13]))
    heads, width = key_heads * draw(st.integers(1, 2)), draw(st.sampled_from([1, 16, 20, 50]))
    keys = key_heads * key_width
    widths = (keys, keys, heads * width, heads, heads)
    norm = NormShape(width, 1, False, 1e-5, "norm", None)
    step = Delta(
        *columns(*widths), "found", heads, width, key_heads, key_width, "decay",
        "time_step_bias", norm, 0,
    )  # fmt: skip

    def defined(x: Rowed, given: dict[str, torch.Tensor]) -> Rowed:
        query, key, value, share, time = parted(x, widths)
        query, key = (
            unit(each.unflatten(-1, (key_heads, key_width)))
            .repeat_interleave(heads // key_heads, dim=2)
            .transpose(1, 2)
            for each in (query, key)
        )
        value = value.unflatten(-1, (heads, width)).transpose(1, 2)
        rate = -given["decay"].exp() * functional.softplus(time + given["time_step_bias"])
        rate, share = rate.transpose(1, 2), share.sigmoid().transpose(1, 2)
        memory = torch.zeros(1, heads, key_width, width)
        query = query * key_width**-0.5
        found, _ = delta_rule.reference(query, key, value, rate, share, memory)
        normed = functional.rms_norm(found, (width,), given["norm"], 1e-5)
        return normed.transpose(1, 2).flatten(2)[0]

    sizes = {"decay": heads, "time_step_bias": heads, "norm": width}
    return step, sizes, defined, heads * width


@settings(max_examples=80, deadline=None)
@given(
    chosen=st.one_of(convolutions(), scans(), duals(), deltas()),
    lengths=st.lists(st.sampled_from([1, 2, 9, 64, 65, LONGEST // 2]), min_size=1, max_size=2),
    threads=st.sampled_from([1, 2, 3]),
    data=st.data(),
)
def test_a_recurrence_is_its_definition(
    rows: np.ndarray,
    chosen: tuple[Recurrent, dict[str, int], Callable[..., Rowed], int],
    lengths: list[int],
    threads: int,
    data: st.DataObject,
) -> None:
    """However sequences are cut and whoever is beside them, to the last bit; and it is right."""
    step, sizes, defined, result = chosen
    given_vectors = vectors(sizes)
    identity = np.eye(result, dtype=np.float32)
    weights = Given(rows=rows, identity=identity, **given_vectors)
    runs = program(step, rows.shape[1], result, weights, threads)
    cuts = [sorted(data.draw(st.lists(st.integers(0, n), min_size=2, max_size=2))) for n in lengths]
    found = stepped(runs, cuts, lengths)
    tensors = {name: torch.from_numpy(each) for name, each in given_vectors.items()}
    for own, length in zip(found, lengths, strict=True):
        assert np.array_equal(own, stepped(runs, [[]], [length])[0])
        expected = defined(torch.from_numpy(rows[:length]), tensors).numpy()
        assert np.abs(own - expected).max() < 2e-5 * max(1.0, np.abs(expected).max())


def plain() -> tuple[Convolve, Program]:
    step = Convolve(("rows", 0), "found", 16, 4, "weight", None, "silu", 0)
    rows = np.ones((8, 16), dtype=np.float32)
    weights = Given(rows=rows, identity=np.eye(16), weight=np.ones((16, 4)))
    return step, program(step, 16, 16, weights, 2)


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"slots": ()}, "slot for every sequence"),
        ({"slots": (0, 0)}, "slot for every sequence"),
        ({"slots": (0, 2)}, "slots of the pool"),
        ({"slots": (-1, 0)}, "slots of the pool"),
        ({}, None),
    ],
)
def test_slots_that_are_not_there_are_refused(
    changed: dict[str, object], complaint: str | None
) -> None:
    _, runs = plain()
    none = np.zeros((2, 0), dtype=np.float32)
    batch = Batch(
        np.zeros(2, np.int32), (1, 1), (0, 0), [], none, np.arange(2, dtype=np.int32), (1, 0)
    )
    memory = np.zeros(2 * runs.plan.slot_bytes, dtype=np.uint8)
    if complaint is None:
        assert np.isfinite(runs.run(batch, [], memory)).all()
        return
    with pytest.raises(ValueError, match=complaint):
        runs.run(replace(batch, **changed), [], memory)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "changed",
    [{"channels": 17}, {"kernel": 9}, {"source": ("rows", 1)}, {"slot_offset": 4}],
    ids=str,
)
def test_shapes_that_do_not_fit_are_refused(changed: dict[str, object]) -> None:
    step, _ = plain()
    weights = Given(rows=np.ones((8, 16)), identity=np.eye(16), weight=np.ones((16, 4)))
    with pytest.raises(ValueError, match=r"size|lie in their rows|aligned|fills rows"):
        program(replace(step, **changed), 16, 16, weights, 1)  # type: ignore[type-var]


def test_a_broken_number_stays_in_the_memory() -> None:
    """A token that is not a number breaks what comes after it, and nothing of other sequences."""
    step, _ = plain()
    rows = np.ones((8, 16), dtype=np.float32)
    rows[3] = np.nan
    weights = Given(rows=rows, identity=np.eye(16), weight=np.ones((16, 4)))
    found = stepped(program(step, 16, 16, weights, 2), [[], []], [8, 3])
    assert np.isfinite(found[0][:3]).all()
    assert np.isnan(found[0][3:7]).all()
    assert np.isfinite(found[1]).all()
