"""Pairs of native programs against the modules that define them, for every pair of our tables.

The same files go both ways: read into modules in float32, and packed for programs with their
state in float32.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from fathom import library
from fathom.checkpoint.description import describe
from fathom.checkpoint.progress import QUIET
from fathom.generation.adjusting import Adjuster
from fathom.generation.beams import BeamSearch
from fathom.generation.constraints import Beams, Limits
from fathom.generation.module_pair import ModulePair, ModulePairCourse
from fathom.generation.native_pair import NativePair, NativePairCourse
from fathom.generation.pair_forward import PairCourse, PairForward
from fathom.generation.request import Sampling
from fathom.generation.sequence import array
from fathom.ops.program import Program
from fathom.ops.program_pair import ProgramPair
from fathom.planning.opened import native
from fathom.planning.packing import packed_bytes
from fathom.programs.lowering_decoder import why_not
from fathom.programs.lowering_pair import lower_look
from fathom.residency.packed import PackedWeights
from fathom.residency.programs import load_programs
from fathom.spec.encoder_decoder import EncoderDecoder
from fathom.spec.model import Writing
from fathom.spec.speech import Speech
from parity.seq2seq_case import PairCase, build_pair
from parity.speech_case import WINDOW, SpeechCase, build_speech
from parity.test_programs import error

THREADS = 2
CAPACITY = 36  # more than a page, and no whole ones


def programs_of(folder: Path, spec: Writing) -> ProgramPair:
    """Pack the files of a case, and hold what is forecast from their headers to it."""
    description = describe(folder)
    assert description.contents is not None
    found = load_programs(
        spec,
        description.contents,
        description.assignments(),
        dtype="float32",
        threads=THREADS,
        progress=QUIET,
    )
    forecast = native(description, spec, "float32", None)
    assert sum(packed_bytes(*each) for each in forecast.matrices.values()) == found.weight_bytes
    return found


class Both:
    """One checkpoint as modules and as programs, with a source or several."""

    def __init__(self, folder: Path) -> None:
        self.ours = library.open(str(folder), dtype="float32", device="cpu")
        assert isinstance(self.ours.spec, EncoderDecoder | Speech)
        self.spec: Writing = self.ours.spec
        self.programs = programs_of(folder, self.spec)
        self.modules: PairForward = ModulePair(self.ours.module, dtype=torch.float32)  # type: ignore[type-var]
        self.native: PairForward = NativePair(self.spec, self.programs)


Reading = Callable[[PairCourse], None]


def greedy(course: PairCourse, rows: int, tokens: int) -> list[list[int]]:
    """Write the likeliest tokens of each row."""
    written = [[0] for _ in range(rows)]
    for _ in range(tokens):
        last = [row[-1:] for row in written]
        for row, scores in zip(written, array(course.scores(last)), strict=True):
            row.append(int(scores.argmax()))
    return written


def searched(course: PairCourse, beams: int, vocabulary: int) -> tuple[int, ...]:
    """Return the best of several ways of writing."""
    limits = Limits(end=frozenset({2}), max_tokens=CAPACITY - 1)
    search = BeamSearch(
        Beams(beams),
        Adjuster(Sampling(), limits, 1, vocabulary),
        (0,),
        end=frozenset({2}),
        max_tokens=CAPACITY - 1,
    )
    last = [[0]] * beams
    while not search.done:
        course.reorder(search.take(array(course.scores(last))))
        last = [[token] for token in search.last]
    return search.best


def compare(both: Both, read: Reading, source: int, *, most: int) -> None:
    """Uneven steps with several places, greedy texts and beams, twice over one course."""
    vocabulary = both.spec.vocabulary
    tokens = torch.randint(0, vocabulary, (2, most), generator=torch.Generator().manual_seed(3))
    ways = both.modules, both.native

    def begun(way: PairForward, rows: int) -> PairCourse:
        course = way.begin(rows=rows, capacity=CAPACITY, source=source)
        read(course)
        return course

    courses = [begun(way, 2) for way in ways]
    for _ in range(2):
        begin = 0
        for count in (5, 1, most - 6):
            piece = tokens[:, begin : begin + count].tolist()
            places = [0, count - 1]  # of a single token the same place twice
            theirs, ours = (array(course.scores(piece, places)) for course in courses)
            assert error(ours, theirs) < 1e-5
            begin += count
        assert [course.used for course in courses] == [most, most]
        for course in courses:
            course.rewind()
    written = [greedy(begun(way, 2), 2, CAPACITY) for way in ways]
    assert written[0] == written[1]
    assert searched(begun(ways[0], 4), 4, vocabulary) == searched(begun(ways[1], 4), 4, vocabulary)


def test_a_pair_writes_what_its_modules_do(seq2seq_case: PairCase, tmp_path: Path) -> None:
    reference = build_pair(seq2seq_case, tmp_path)
    both = Both(reference.folder)
    assert why_not(both.spec) is None
    generator = torch.Generator().manual_seed(7)
    text = torch.randint(3, reference.read, (40,), generator=generator).tolist()
    compare(both, lambda course: course.read([text]), len(text), most=30)
    alone, other = (_scores(both, [part], 1) for part in (text[:33], text[:7]))
    together = _scores(both, [text[:33], text[:7]], 2)  # each row reads its own
    np.testing.assert_allclose(together, np.concatenate((alone, other)), atol=1e-5, rtol=1e-5)


def _scores(both: Both, texts: list[list[int]], rows: int) -> np.ndarray:
    course = both.native.begin(rows=rows, capacity=8, source=40)
    course.read(texts)
    return array(course.scores([[0, 3, 4]] * rows))


def test_speech_is_written_as_its_modules_do(speech_case: SpeechCase, tmp_path: Path) -> None:
    both = Both(build_speech(speech_case, tmp_path).folder)
    assert why_not(both.spec) is None
    hidden = _heard(both)
    compare(both, lambda course: course.hear(hidden), WINDOW // 2, most=30)
    heads = [(0, 5), (0, 1)] if len(both.spec.layers) == 1 else [(1, 2), (0, 3), (1, 0)]
    row = list(range(20, 33))
    courses = [
        way.begin(rows=1, capacity=CAPACITY, source=WINDOW // 2)
        for way in (both.modules, both.native)
    ]
    for course in courses:
        course.hear(hidden)
        course.scores([row[:4]])
    modules, native = courses
    assert isinstance(modules, ModulePairCourse) and isinstance(native, NativePairCourse)
    with torch.inference_mode():
        theirs = modules.looks(row, sorted(heads))
    ours = native.looks(_looking(both, heads), row)
    shares = ours.reshape(len(row), len(heads), -1).transpose(1, 0, 2)
    np.testing.assert_allclose(shares, theirs.numpy(), atol=1e-5, rtol=1e-4)


def _heard(both: Both) -> Tensor:
    assert isinstance(both.spec, Speech)
    generator = torch.Generator().manual_seed(7)
    window = torch.randn((1, both.spec.encoder.bands, WINDOW), generator=generator)
    with torch.inference_mode():
        return both.ours.module.encoder(window)  # type: ignore[operator]


def _looking(both: Both, heads: list[tuple[int, int]]) -> Program:
    plan = lower_look(both.spec, heads, WINDOW // 2, "float32")
    description = both.ours._description
    assert description.contents is not None
    with PackedWeights(
        both.spec, description.contents, description.assignments(), threads=THREADS
    ) as weights:
        return Program(plan, weights, most_tokens=5, threads=THREADS)


@pytest.mark.parametrize("length", [0, 41])
def test_what_does_not_fit_is_refused(length: int, tmp_path: Path) -> None:
    from fathom.errors import ContextLengthError
    from parity.cases_seq2seq.t5 import CASES

    both = Both(build_pair(CASES[0], tmp_path).folder)
    course = both.native.begin(rows=1, capacity=4, source=40)
    with pytest.raises(LookupError, match="nothing was read"):
        course.scores([[0]])
    with pytest.raises(ContextLengthError, match="room for 1 to 40"):
        course.read([[5] * length])
    course.read([[5] * 40])
    course.scores([[0, 3, 4]])
    with pytest.raises(ContextLengthError, match="5 tokens do not fit"):
        course.scores([[0, 3]])
