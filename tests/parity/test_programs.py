"""Native programs against the modules that define them, for every decoder of our table.

The same files go both ways: read into modules in float32, and packed for the program with its
state in float32.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy

import numpy as np
import pytest
import torch

from fathom.checkpoint.description import describe
from fathom.generation.batching.executors import by_layer
from fathom.generation.pages import PagedState
from fathom.ops.program import Batch, Program
from fathom.planning.grouping import GROUPS
from fathom.planning.opened import native
from fathom.planning.packing import packed_bytes
from fathom.programs.layout import PAGE_TOKENS
from fathom.programs.lowering_decoder import lower, rotations, why_not
from fathom.residency.packed import PackedWeights, read_back
from parity.case import Case
from parity.conftest import Pair, all_cases

THREADS = 2
FAMILIES = {case.model_type: case for case in reversed(all_cases())}  # one of each


class Sequences:
    """Sequences of one program that share their pages' memory, as a server holds them."""

    def __init__(self, program: Program, pair: Pair, count: int, capacity: int) -> None:
        self.program = program
        each = -(-capacity // PAGE_TOKENS)
        order = np.random.default_rng(5).permutation(count * each).astype(np.int32)
        pools = program.plan.pools
        self.pages = [np.zeros(count * each * pool.page_bytes, dtype=np.uint8) for pool in pools]
        self.tables = [order.reshape(count, each) for _ in pools]
        self.slots = np.random.default_rng(6).permutation(count + 1)
        room = (count + 1) * program.plan.slot_bytes
        self.memory = np.full(room, 255, dtype=np.uint8)  # not a number, which nobody reads
        alone = PagedState(
            program.plan, rotations(pair.ours.spec), capacity=capacity, most_tokens=1
        )
        self.frequencies = alone.frequencies
        self.used = [0] * count

    def scores(self, tokens: dict[int, Sequence[int]]) -> dict[int, np.ndarray]:
        """Take tokens of some sequences in at once; return the scores after each of them."""
        owners = list(tokens)
        counts = [len(tokens[owner]) for owner in owners]
        ids = np.concatenate([np.asarray(tokens[owner]) for owner in owners]).astype(np.int32)
        batch = Batch(
            ids=ids,
            counts=counts,
            starts=[self.used[owner] for owner in owners],
            tables=[np.ascontiguousarray(table[owners]) for table in self.tables],
            frequencies=np.repeat(self.frequencies, len(owners), axis=0),
            outputs=np.arange(len(ids), dtype=np.int32),
            slots=[int(self.slots[owner]) for owner in owners],
        )
        found = self.program.run(batch, self.pages, self.memory)
        for owner, count in zip(owners, counts, strict=True):
            self.used[owner] += count
        ends = np.cumsum(counts)[:-1]
        return dict(zip(owners, np.split(found, ends), strict=True))


def error(ours: np.ndarray, theirs: np.ndarray) -> float:
    assert ours.shape == theirs.shape
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max())


def tolerance(pair: Pair, program: Program, whole: np.ndarray) -> float:
    """Return how far a program may be from modules, whose numbers are `whole`.

    Recurrences carry rounding on from token to token, in a few cases until the modules themselves
    are further than this from the independent implementation, and that from exact numbers.
    """
    if not program.plan.slot_bytes:
        return 1e-5
    return max(1e-5, 3 * error(whole, pair.reference.logits(pair.tokens).numpy()))


def program_of(pair: Pair, quant: str | None = None) -> Program:
    """Pack the files of a case for its program, perhaps as integers."""
    description = describe(pair.reference.folder)
    assert description.contents is not None
    plan = lower(pair.ours.spec, "float32")
    with PackedWeights(
        pair.ours.spec,
        description.contents,
        description.assignments(),
        threads=THREADS,
        quant=quant,
    ) as weights:
        return Program(plan, weights, most_tokens=2 * pair.case.length, threads=THREADS)


def planned_bytes(pair: Pair, quant: str | None = None) -> int:
    """Return the bytes of packed matrices that a forecast from the headers counts."""
    forecast = native(describe(pair.reference.folder), pair.ours.spec, "float32", None, quant)
    return sum(packed_bytes(*each) for each in forecast.matrices.values())


def test_a_program_computes_what_the_modules_do(pair: Pair) -> None:
    """Whole prompts; then in uneven steps, two sequences side by side at different places."""
    assert why_not(pair.ours.spec) is None
    program = program_of(pair)
    assert planned_bytes(pair) == sum(each.nbytes for each in program.matrices.values())
    length, tokens = pair.case.length, pair.tokens.tolist()
    whole = pair.ours.logits(pair.tokens).numpy()
    allowed = tolerance(pair, program, whole)
    together = Sequences(program, pair, 2, length).scores({0: tokens[0], 1: tokens[1]})
    for row in (0, 1):
        assert error(together[row], whole[row]) < allowed

    side = Sequences(program, pair, 2, length)
    pieces: dict[int, list[np.ndarray]] = {0: [], 1: []}
    cuts = {0: [0, 7, 8, 9, 12, length], 1: [0, 1, 2, 11, 12, length]}
    for step in range(len(cuts[0]) - 1):
        given = {row: tokens[row][cuts[row][step] : cuts[row][step + 1]] for row in (0, 1)}
        for row, scores in side.scores(given).items():
            pieces[row].append(scores)
    for row in (0, 1):
        assert error(np.concatenate(pieces[row]), whole[row]) < allowed


@pytest.mark.parametrize("family", FAMILIES)
def test_a_sequence_goes_on_from_the_copy_of_a_page_as_from_its_own(
    family: str, pairs: Callable[[Case], Pair]
) -> None:
    """Whatever its layers leave in a page, and wherever: to the bit."""
    pair = pairs(FAMILIES[family])
    program = program_of(pair)
    if program.plan.slot_bytes:
        pytest.skip("what a recurrence remembers lies in no page")
    tokens, cut = pair.tokens[0].tolist(), 7
    sequences = Sequences(program, pair, 2, pair.case.length)
    sequences.scores({0: tokens[:cut]})
    for pool, (pages, table) in enumerate(zip(sequences.pages, sequences.tables, strict=True)):
        source, target = table
        for layer in by_layer(program.plan, pool, pages):
            layer[target] = layer[source]
    sequences.used[1] = cut
    own, copied = (sequences.scores({owner: tokens[cut:]})[owner] for owner in (0, 1))
    assert np.array_equal(own, copied)


@pytest.mark.parametrize("quant", GROUPS)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_program_of_integers_computes_what_modules_with_its_numbers_do(
    family: str, quant: str, pairs: Callable[[Case], Pair]
) -> None:
    """As near as inputs of eight bits allow: they choose other experts, and add up in memories."""
    pair = pairs(FAMILIES[family])
    program = program_of(pair, quant)
    assert planned_bytes(pair, quant) == sum(each.nbytes for each in program.matrices.values())
    module = deepcopy(pair.ours.module)
    read_back(program.matrices, module)
    with torch.inference_mode():
        exact = module(pair.tokens[:1]).numpy()[0]
    found = Sequences(program, pair, 1, pair.case.length).scores({0: pair.tokens[0].tolist()})[0]
    assert np.linalg.norm(found - exact) < 0.3 * np.linalg.norm(exact)
