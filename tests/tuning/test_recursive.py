"""Training a recursive model: it learns, repeats itself, and tells test from training."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fathom.inputs import sudoku
from fathom.tasks.solve import SHIFT
from fathom.tuning.puzzle_runs import PuzzleRun
from fathom.tuning.recipe import Recipe
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
