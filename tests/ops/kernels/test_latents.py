"""Attention over latents in programs against its definition: odd sizes, cuts anywhere."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from fathom.ops.attention import Scoring
from fathom.ops.latent_attention import latent_attention
from fathom.ops.program import Program
from fathom.ops.rotary import rotate
from fathom.programs.latent_steps import AttendLatent, LatentHeads, MultiplyHeads, PlaceLatent
from fathom.programs.layout import PAGE_TOKENS, STATE_BYTES
from fathom.programs.plan import Plan, PoolShape, Step
from fathom.programs.steps import Embed, Factor, Matrix, Multiply, NormShape, Rows, Select

from .test_programs import Given, stepped

LONGEST = 700  # tokens: enough for keys to be cut into parts
EPSILON = 1e-5


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    """For each token its key, then its queries, as wide as any test needs."""
    return np.random.default_rng(8).standard_normal((LONGEST, 900)).astype(np.float32)


class Stacks(Given):
    """Weights by name, of which some are stacks of maps, a few of them turned."""

    def matrix(self, matrix: Matrix) -> object:
        values = self.named[matrix.name]
        values = values if matrix.expert is None else values[matrix.expert]
        return Given(one=values.T if matrix.turned else values).matrix(Matrix("one"))


def program(heads: LatentHeads, rows: np.ndarray, ups: tuple, threads: int) -> Program:
    """A program whose keys and queries are projected already: its scores are the heads' results."""
    key_up, value_up = ups
    width, count = heads.latent + heads.turned, heads.heads
    wide, mixed = count * heads.latent, count * value_up.shape[1]
    turned = np.zeros((LONGEST, heads.turned), dtype=np.float32)
    half = heads.turned // 2
    angle = np.arange(LONGEST)[:, None] / 10.0 ** np.arange(1, half + 1)
    turned[:, :half], turned[:, half:] = np.cos(angle), np.sin(angle)
    keys, queries = rows[:, :width], rows[:, width : width + count * (heads.plain + heads.turned)]

    def maps(name: str, *, turned: bool = False) -> tuple[Matrix, ...]:
        return tuple(Matrix(name, head, turned=turned) for head in range(count))

    norm = NormShape(heads.latent, 1, False, EPSILON, "norm", None)
    each, to_latent, to_value = heads.plain + heads.turned, maps("key", turned=True), maps("value")
    steps: tuple[Step, ...] = (
        Embed(Matrix("keys"), "keys", 1.0),
        Embed(Matrix("queries"), "queries", 1.0),
        Embed(Matrix("angles"), "angles", 1.0),
        PlaceLatent(heads, "keys", "angles", False, norm),
        MultiplyHeads(("queries", 0), each, "asked", "room", to_latent),
        AttendLatent(heads, "asked", "found", 0.3),
        MultiplyHeads(("found", 0), heads.latent, "mixed", "room of latents", to_value),
        Select("mixed", "chosen"),
        Multiply("chosen", None, (Factor(Matrix("identity"), None),)),
    )
    plan = Plan(
        {
            "keys": Rows(width),
            "queries": Rows(queries.shape[1]),
            "angles": Rows(heads.turned),
            "asked": Rows(wide),
            "found": Rows(wide),
            "room": Rows(heads.plain, count),
            "room of latents": Rows(heads.latent, count),
            "mixed": Rows(mixed),
            "chosen": Rows(mixed),
        },
        steps,
        (PoolShape(None, PAGE_TOKENS * width * STATE_BYTES[heads.state]),),
        0,
        mixed,
    )
    weights = Stacks(
        keys=keys,
        queries=queries,
        angles=turned,
        key=key_up,
        value=value_up,
        norm=np.linspace(0.5, 1.5, heads.latent),
        identity=np.eye(mixed),
    )
    return Program(plan, weights, most_tokens=LONGEST, threads=threads)


def defined(heads: LatentHeads, rows: np.ndarray, ups: tuple) -> np.ndarray:
    """What `ops.latent_attention` finds for a whole sequence, (tokens, heads · value width)."""
    x, width = torch.from_numpy(rows), heads.latent + heads.turned
    each = heads.plain + heads.turned
    weight = torch.linspace(0.5, 1.5, heads.latent)
    latent = functional.rms_norm(x[:, : heads.latent], (heads.latent,), weight, EPSILON)
    query = x[:, width : width + heads.heads * each].unflatten(-1, (heads.heads, each))
    query = query.transpose(0, 1)[None]
    half = heads.turned // 2
    angle = torch.arange(len(rows))[:, None] / 10.0 ** torch.arange(1, half + 1)
    turn = angle.cos()[None, None].float(), angle.sin()[None, None].float()
    plain, turning = query.split((heads.plain, heads.turned), dim=-1)
    key = rotate(x[None, None, :, heads.latent : width], *turn)[:, 0]
    query = torch.cat((plain, rotate(turning, *turn)), dim=-1)
    parts = (torch.from_numpy(each) for each in ups)
    found = latent_attention.reference(query, latent[None], key, *parts, Scoring(scale=0.3))
    return found[0].transpose(0, 1).flatten(1).numpy()


@st.composite
def shapes(draw: st.DrawFn) -> LatentHeads:
    heads, plain = draw(st.sampled_from([1, 3, 16, 17])), draw(st.sampled_from([1, 5, 16]))
    latent, turned = draw(st.sampled_from([1, 12, 24])), draw(st.sampled_from([2, 8]))
    state = draw(st.sampled_from(["float32", "float16"]))
    return LatentHeads("queries", heads, plain, latent, turned, 0, 0, state)


@settings(max_examples=40, deadline=None)
@given(
    heads=shapes(),
    value_width=st.sampled_from([1, 7, 16]),
    tokens=st.sampled_from([1, 5, 33, 100, LONGEST]),
    threads=st.sampled_from([1, 2, 3]),
    data=st.data(),
)
def test_attention_over_latents_is_its_definition(
    rows: np.ndarray,
    heads: LatentHeads,
    value_width: int,
    tokens: int,
    threads: int,
    data: st.DataObject,
) -> None:
    """However a sequence is cut, in either type of state."""
    draw = np.random.default_rng(5).standard_normal
    ups = (
        draw((heads.heads, heads.plain, heads.latent)).astype(np.float32),
        draw((heads.heads, value_width, heads.latent)).astype(np.float32),
    )
    cuts = sorted(data.draw(st.sets(st.integers(1, tokens), max_size=4)) - {tokens})
    if tokens > 3:
        cuts = sorted({*cuts, tokens - 2, tokens - 1})  # single tokens, that see many keys
    found = stepped(program(heads, rows, ups, threads), tokens, cuts)
    expected = defined(heads, rows[:tokens], ups)
    tolerance = 2e-5 if heads.state == "float32" else 2e-2
    assert np.abs(found - expected).max() < tolerance * max(1.0, np.abs(expected).max())


@pytest.mark.parametrize(
    "changed", [{"plain": 4}, {"turned": 3}, {"page_offset": 4}, {"heads": 2}], ids=str
)
def test_shapes_that_do_not_fit_are_refused(rows: np.ndarray, changed: dict[str, int]) -> None:
    heads = LatentHeads("queries", 3, 5, 12, 8, 0, 0, "float32")
    ups = (np.ones((3, 5, 12), np.float32), np.ones((3, 7, 12), np.float32))
    assert np.isfinite(stepped(program(heads, rows, ups, 1), 4, [])).all()
    plan = program(heads, rows, ups, 1).plan
    steps = tuple(
        replace(step, heads=replace(step.heads, **changed))
        if isinstance(step, PlaceLatent | AttendLatent)
        else step
        for step in plan.steps
    )
    weights = Stacks(
        **{name: np.ones((8, 20)) for name in ("keys", "angles")}, queries=np.ones((8, 39)),
        key=ups[0], value=ups[1], norm=np.ones(12), identity=np.eye(21),
    )  # fmt: skip
    weights.named["angles"] = np.ones((8, 8))
    with pytest.raises(ValueError, match=r"fill their rows|have widths|aligned"):
        Program(replace(plan, steps=steps), weights, most_tokens=8, threads=1)
