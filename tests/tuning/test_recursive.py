"""Training a recursive model: it learns, repeats itself, and tells test from training."""

from __future__ import annotations

from dataclasses import replace
from math import cos, pi

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fathom.inputs import sudoku
from fathom.tasks.solve import SHIFT
from fathom.tuning import puzzle_runs
from fathom.tuning.puzzle_runs import PuzzleRun, exact
from fathom.tuning.recipe import Recipe, share_of_rate
from fathom.tuning.recursive import begin, stablemax_loss, train, without_recursion
from fathom.tuning.runs import RUNS
from fathom.tuning.sudoku import Maker, Repeated, held_out

RUN = RUNS["trm"]["sudoku-4"]
assert isinstance(RUN, PuzzleRun)


@pytest.mark.slow
def test_sudoku_of_four_rows_is_learned() -> None:
    recipe = Recipe(steps=250, batch=48, average=0.98)
    assert RUN.perform(recipe, lambda report: None).outcome.solved > 0.8


def test_a_run_repeats_itself() -> None:
    what, recipe = RUN.described(), Recipe(steps=4, batch=4, warm=2, average=0.5)
    first, second = (train(what, Maker(4, 1, testing=False), recipe) for _ in range(2))
    for one, other in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(one, other)


def test_the_average_is_of_the_weights_over_time() -> None:
    what = RUN.described()
    seen = Recipe(steps=1, batch=4, warm=1, average=0.75, seed=3)
    kept = train(what, Maker(4, 1, testing=False), seen)
    last = train(what, Maker(4, 1, testing=False), Recipe(1, 4, warm=1, average=0.0, seed=3))
    start = begin(what, 3)
    for mean, new, old in zip(
        kept.parameters(), last.parameters(), start.parameters(), strict=True
    ):
        torch.testing.assert_close(mean, 0.75 * old.detach() + 0.25 * new)


@pytest.mark.parametrize("recursion", [True, False])
def test_one_run_measures_what_a_run_of_each_kind_would_give(
    monkeypatch: pytest.MonkeyPatch, recursion: bool
) -> None:
    """Last and averaged weights along one training, against trainings that keep one of them."""
    monkeypatch.setattr(puzzle_runs, "exact", lambda model, puzzles: _weighed(model))
    recipe = Recipe(steps=5, batch=4, warm=1, average=0.5, floor=1.0, seed=2)
    run = replace(RUN, puzzles=8, tested=2)
    points = list(run.curve(recipe, every=2, recursion=recursion))
    assert [point.step for point in points] == [2, 4]
    assert 0 < points[0].seconds < points[1].seconds
    without = None if recursion else "recursion"
    for point in points:
        found = {0.0: point.last, 0.5: point.averaged}
        assert found[0.0] != found[0.5]
        for share, weighed in found.items():
            alone = replace(recipe, steps=point.step, average=share)
            assert run.perform(alone, lambda report: None, without).outcome.solved == weighed


def _weighed(model: torch.nn.Module) -> float:
    return sum(float(one.detach().double().sum()) for one in model.parameters())


def test_the_rate_rises_and_falls_to_its_floor() -> None:
    for floor in (0.0, 0.25, 1.0):
        recipe = Recipe(steps=50, batch=1, warm=10, floor=floor)
        assert [share_of_rate(step, recipe) for step in (0, 4, 9, 10)] == [0.1, 0.5, 1.0, 1.0]
        for step in range(10, 51):
            swing = cos(pi * (step - 10) / 40)
            expected = (1 + floor) / 2 + (1 - floor) / 2 * swing
            assert share_of_rate(step, recipe) == pytest.approx(expected)
        assert share_of_rate(50, recipe) == pytest.approx(floor)


def test_many_puzzles_are_answered_as_each_alone() -> None:
    model = begin(RUN.described(), 0)
    questions, answers = Maker(4, 3, testing=True)(120)
    filled = answers.clone()
    rows = torch.arange(0, 120, 3)
    filled[rows] = questions[rows]

    class Given(torch.nn.Module):
        """Gives each puzzle its place in `filled`, whatever it is asked with."""

        def forward(self, tokens: torch.Tensor) -> torch.Tensor:
            at = [int((questions == one).all(dim=1).nonzero()[0]) for one in tokens]
            return torch.nn.functional.one_hot(filled[at], model.spec.vocabulary)

    assert exact(Given(), (questions, answers)) == 80 / 120


def test_without_recursion_the_parameters_are_the_same() -> None:
    whole = RUN.described()
    once = without_recursion(whole)
    assert once.parts() == whole.parts()
    assert (once.cycles, once.inner, once.rounds) == (1, 1, 1)


@given(st.lists(st.floats(-30, 30), min_size=3, max_size=3), st.integers(0, 2))
def test_stablemax_is_the_cross_entropy_of_its_shares(scores: list[float], target: int) -> None:
    grown = [x + 1 if x >= 0 else 1 / (1 - x) for x in scores]
    share = torch.tensor(grown[target] / sum(grown), dtype=torch.float64)
    loss = stablemax_loss(torch.tensor([scores], dtype=torch.float64), torch.tensor([target]))
    torch.testing.assert_close(loss[0], -share.log())


@pytest.mark.parametrize("size", [4, 6])
def test_no_test_puzzle_is_a_training_puzzle_in_disguise(size: int) -> None:
    sides = [Maker(size, 0, testing=testing)(30)[1] - SHIFT for testing in (False, True)]
    classes = [{sudoku.canonical(tuple(grid)) for grid in side.tolist()} for side in sides]
    assert classes[0]
    assert classes[1]
    assert not classes[0] & classes[1]


def test_a_disguise_is_the_same_puzzle() -> None:
    base = Maker(6, 5, testing=False)(3)
    questions, answers = Repeated(base, 6, 1)(20)
    known = {sudoku.canonical(tuple(grid)) for grid in (base[1] - SHIFT).tolist()}
    for question, answer in zip(
        (questions - SHIFT).tolist(), (answers - SHIFT).tolist(), strict=True
    ):
        assert sudoku.solved(answer, question)
        assert sudoku.unique(question)
        assert sudoku.canonical(tuple(answer)) in known
        assert not held_out(tuple(answer))
    assert len({tuple(grid) for grid in answers.tolist()}) == 20
