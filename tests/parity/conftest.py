"""Cases found, references built once, ours opened once."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeAlias

import pytest
import torch
from torch import Tensor

from fathom import library
from fathom.library import TextModel
from fathom.spec.classes import model_class
from fathom.spec.model import TextModel as Spec
from parity.case import Case, Reference, build_reference

# The argument of a test → the folder whose cases it is run over.
TABLES = {
    "case": "cases",
    "encoder_case": "cases_encoders",
    "seq2seq_case": "cases_seq2seq",
    "speech_case": "cases_speech",
    "listening_case": "cases_listening",
    "vision_case": "cases_vision",
    "segmenter_case": "cases_segmenters",
    "detector_case": "cases_detectors",
}


def all_cases() -> list[Case]:
    """Return the cases of every family of decoders."""
    return cases_of("cases")


def cases_of(table: str) -> list[Any]:
    """Return the cases of every file in a table: a folder beside this file."""
    folder = importlib.import_module(f"parity.{table}")
    return [
        case
        for name in sorted(module.name for module in pkgutil.iter_modules(folder.__path__))
        for case in importlib.import_module(f"parity.{table}.{name}").CASES
    ]


@dataclass(frozen=True)
class Pair:
    """Ours and the reference, over one checkpoint in float32, and tokens to try."""

    case: Case
    reference: Reference
    ours: TextModel
    tokens: Tensor  # (2, length)


@pytest.fixture(scope="session")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Case], Pair]:
    """Return what opens a case, once per session."""

    @cache
    def opened(case_id: str) -> Pair:
        case = next(case for case in all_cases() if case.id == case_id)
        reference = build_reference(case, tmp_path_factory.mktemp(case.id))
        ours = library.open(str(reference.folder), dtype="float32", device="cpu")
        generator = torch.Generator().manual_seed(7)
        shape = (2, case.length)
        tokens = torch.randint(0, reference.vocabulary, shape, generator=generator)
        return Pair(case, reference, ours, tokens)

    return lambda case: opened(case.id)


Measured: TypeAlias = Callable[[str, Spec, float], float]


@pytest.fixture
def measured(record_property: Callable[[str, object], None]) -> Measured:
    """Return what notes the error of a case for docs/support.md (`support.py`), and gives it."""

    def note(case_id: str, spec: Spec, error: float) -> float:
        record_property("support", {"case": case_id, "class": model_class(spec)[0], "error": error})
        return error

    return note


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    for argument, table in TABLES.items():
        if argument in metafunc.fixturenames:
            found = cases_of(table)
            metafunc.parametrize(argument, found, ids=[case.id for case in found])


@pytest.fixture
def pair(case: Case, pairs: Callable[[Case], Pair]) -> Pair:
    """Return ours and the reference for the case at hand."""
    return pairs(case)
