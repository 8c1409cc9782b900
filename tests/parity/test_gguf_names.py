"""GGUF names against ggml's own map from the publishers' names, tensor by tensor.

A publisher's tensor leads to our parameters by one table and, by ggml's map, to a GGUF tensor,
which must lead to the same parameters by our other table.
"""

from __future__ import annotations

from collections.abc import Callable

import gguf as ggml
import pytest

from fathom.checkpoint.naming import assign, spell
from fathom.dialects import gguf
from fathom.dialects.dialect import find
from fathom.spec.parts import parameters
from parity.case import Case
from parity.conftest import Pair, all_cases
from parity.gguf_files import architecture_of

CASES = [case for case in all_cases() if case.gguf and case.gguf_names]

BARE = (".ssm_a", ".ssm_d")  # which ggml reads without a leaf


@pytest.mark.parametrize("held", CASES, ids=[case.id for case in CASES])
def test_publishers_and_ggufs_names_meet(held: Case, pairs: Callable[[Case], Pair]) -> None:
    spec = pairs(held).ours.spec
    shapes = {parameter.name: parameter.shape for parameter in parameters(spec)}
    dialect = find(held.model_type)
    known = ggml.get_tensor_name_map(_architecture(held), len(spec.layers))
    expected: dict[str, set[str]] = {}
    for found in spell(dialect.rules(spec), shapes):
        names = {known.get_name(name, try_suffixes=(".weight", ".bias")) for name in found.theirs}
        if None not in names:  # the converter's own code renames what its map does not know
            expected |= {ours: {_whole(str(name)) for name in names} for ours in found.ours}
    tensors = sorted(set().union(*expected.values()))
    assignments = assign(gguf.rules(dialect, spec), tensors, expected)
    assert {ours: set(a.theirs) for a in assignments for ours in a.ours} == expected
    assert len(expected) > len(shapes) / 2


def _whole(name: str) -> str:
    """Return a name with its leaf: converters add one to most names that publishers leave bare."""
    return name if name.endswith((".weight", ".bias", *BARE)) else f"{name}.weight"


def _architecture(case: Case) -> ggml.MODEL_ARCH:
    name = architecture_of({"model_type": case.model_type, **case.config})
    return next(arch for arch, known in ggml.MODEL_ARCH_NAMES.items() if known == name)
