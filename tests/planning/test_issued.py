"""Operations counted in a formula against those that PyTorch's dispatcher sees."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from fathom.dialects.config import Config
from fathom.dialects.dialect import find
from fathom.generation.state import ContiguousState
from fathom.planning.issued import issued
from fathom.planning.speed import expected_experts
from fathom.spec.decoder import Decoder
from parity.conftest import cases_of
from planning.profiled import random_module

BEFORE = 12  # tokens, more than the windows of the parity cases
OFF = 0.15  # shape of a norm, a bias, a slice: a few views more or less


class Counted(TorchDispatchMode):
    """Counts every operation, views included."""

    def __init__(self) -> None:
        super().__init__()
        self.operations = 0

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        self.operations += 1
        return function(*args, **(kwargs or {}))


def _one_of_each() -> list[object]:
    """Return the first case of every dialect that its keys alone describe."""
    found: dict[str, object] = {}
    for case in cases_of("cases"):
        if case.build is None and case.model_type not in found and case.config:
            complete = {"num_experts_per_tok": 1, **case.config, "model_type": case.model_type}
            spec = find(case.model_type).read(Config(complete))
            found[case.model_type] = pytest.param(spec, id=case.model_type)
    return list(found.values())


@pytest.mark.parametrize("spec", _one_of_each())
def test_operations_of_the_layers_are_those_that_are_dispatched(spec: Decoder) -> None:
    module = random_module(spec, torch.float32)
    state = ContiguousState(spec, batch=1, capacity=BEFORE + 4, dtype=torch.float32)
    with torch.inference_mode():
        module.hidden(
            torch.zeros(1, BEFORE, dtype=torch.long), step=state.advance(BEFORE), state=state
        )
        with Counted() as counted:
            module.hidden(torch.zeros(1, 1, dtype=torch.long), step=state.advance(1), state=state)
    predicted = sum(issued(layer, BEFORE) for layer in spec.layers)
    once = 90  # embedding, last norm, the angles of two rotations, places of new keys
    assert predicted * (1 - OFF) <= counted.operations <= predicted * (1 + OFF) + once


@pytest.mark.parametrize(("experts", "active"), [(8, 2), (64, 6), (5, 5)])
def test_expected_experts_are_those_of_even_choices(experts: int, active: int) -> None:
    """By simulation: rows that each choose without repetition."""
    generator = torch.Generator().manual_seed(1)
    for batch in (1, 3, 16):
        chosen = torch.rand(2000, batch, experts, generator=generator).topk(active).indices
        hit = torch.zeros(2000, experts).scatter(1, chosen.flatten(1), 1.0)
        found = expected_experts(experts, active, batch)
        assert found == pytest.approx(hit.sum(dim=1).mean().item(), rel=0.02)
