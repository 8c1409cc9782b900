"""Costs against an independent count: PyTorch's own counter, real modules, allocated state."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from fathom.generation.state import ContiguousState
from fathom.models.assemble import assemble
from fathom.planning import costs
from fathom.planning.predict import predict
from fathom.spec.attention import Attention, Window
from fathom.spec.decoder import Decoder, Embedding, Layer, Output, Residual
from fathom.spec.experts import Experts, Router
from fathom.spec.feed_forward import GatedMlp, Mlp
from fathom.spec.parts import Linear, Norm, Parameter, Table, active, count, parameters
from fathom.spec.roles import EXACT, Role
from fathom.spec.state_space import Convolution, Mamba

WIDTH, LENGTH = 16, 8
NORM = Norm(WIDTH, 1e-6)
ATTENTION = Attention(WIDTH, heads=4, kv_heads=2, head_width=6)
WINDOWED = replace(ATTENTION, reach=Window(3))
MAMBA = Mamba(WIDTH, inner=20, state_width=5, rank=3, convolution=Convolution(20, 4))
GATED, PLAIN = GatedMlp(WIDTH, 24), Mlp(WIDTH, 40)
EXPERTS = Experts(Router(WIDTH, experts=4, active=2), inner=12, shared=GATED)


def decoder(
    mixer=ATTENTION, feed_forward=GATED, *, tied: bool = False, narrow: int | None = None
) -> Decoder:
    layer = Layer(mixer, Residual(before=NORM), feed_forward, Residual(before=NORM))
    output = Output(WIDTH, 50, tied=tied, table_width=narrow)
    return Decoder(64, Embedding(50, WIDTH, table_width=narrow), (layer,) * 3, NORM, output)


SPECS = {
    "gated": decoder(),
    "plain": decoder(feed_forward=PLAIN),
    "tied": decoder(tied=True),
    "narrow": decoder(tied=True, narrow=10),
    "experts": decoder(feed_forward=EXPERTS),
    "all-heads": decoder(replace(ATTENTION, kv_heads=4)),
}


def module(spec: Decoder) -> torch.nn.Module:
    made = assemble(spec).to_empty(device="cpu")
    generator = torch.Generator().manual_seed(3)
    for tensor in made.parameters():
        tensor.data.normal_(std=0.3, generator=generator)
    return made


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_operations_are_those_that_pytorch_counts(spec: Decoder) -> None:
    """Over a whole pass; its scores are worked out for every pair, so each token sees them all."""
    tokens = torch.arange(LENGTH)[None]
    counter = FlopCounterMode(display=False)
    with torch.inference_mode(), sdpa_kernel(SDPBackend.MATH), counter:
        module(spec)(tokens)
    per_token = costs.map_operations(spec) + costs.mixing_operations(spec, LENGTH)
    assert counter.get_total_flops() == LENGTH * per_token


@pytest.mark.parametrize("dtype", costs.BYTES)
@pytest.mark.parametrize("mixer", [ATTENTION, WINDOWED, MAMBA], ids=["all", "window", "mamba"])
@pytest.mark.parametrize("context", [1, 3, 40])
def test_state_is_what_is_allocated(mixer: object, context: int, dtype: str) -> None:
    spec = decoder(mixer)
    state = ContiguousState(spec, batch=2, capacity=context, dtype=getattr(torch, dtype))
    held = sum(array.nbytes for layer in state.layers for array in layer.arrays.values())
    assert 2 * costs.state_bytes(spec, dtype, context) == held


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_one_token_reads_each_matrix_that_it_passes(spec: Decoder) -> None:
    """Weights read are those passed, but of the embedding's table one row; a tied one is read."""
    read = costs.weight_bytes_read(spec, lambda _: 1.0)
    row = spec.embedding.table_width or WIDTH
    assert read == active(spec) - 50 * row + row + (50 * row if spec.output.tied else 0)
    norms = sum(one.elements for one in parameters(spec) if one.role is Role.NORM)
    assert sum(costs.matrices(spec)) == read - row - norms - _biases(spec)


def _biases(spec: Decoder) -> int:
    return sum(one.elements for one in parameters(spec) if one.name.endswith("bias"))


def test_exact_roles_lie_in_float32() -> None:
    storage = costs.computed_in("bfloat16")
    lie = {role: storage(Parameter("any", (1,), role)) for role in Role}
    assert lie == {role: 4 if role in EXACT else 2 for role in Role}
    exact = sum(one.elements for one in parameters(decoder()) if one.role in EXACT)
    assert costs.weight_bytes(decoder(), storage) == 2 * count(decoder()) + 2 * exact


def test_state_grows_until_the_window_is_full() -> None:
    storage = costs.computed_in("float32")
    row = 2 * 2 * 6 * 4  # a key and a value of two heads of six numbers of four bytes
    everything = costs.cost(ATTENTION, storage, dtype="float32", context=40)
    window = costs.cost(WINDOWED, storage, dtype="float32", context=40)
    recurrent = costs.cost(MAMBA, storage, dtype="float32", context=40)
    assert (everything.state_bytes, everything.state_bytes_per_token) == (40 * row, row)
    assert (window.state_bytes, window.state_bytes_per_token) == (3 * row, row)
    assert recurrent.state_bytes_per_token == 0 < recurrent.state_bytes


def test_a_stack_is_read_map_by_map_where_some_are_chosen() -> None:
    chosen = Linear(3, 5, Role.INTO_INNER, stack=7, active=2)
    every = Linear(3, 5, Role.INTO_HEADS, stack=7)
    assert list(costs.matrices(chosen)) == [15, 15]
    assert list(costs.matrices(every)) == [7 * 15]
    assert costs.weight_bytes_read(chosen, lambda _: 1.0) == 30
    assert costs.weight_bytes_read(every, lambda _: 1.0) == 105


def test_a_shared_embedding_reads_a_row_of_the_other_one() -> None:
    own, shared = Embedding(50, WIDTH), Embedding(50, WIDTH, shared=True)
    assert count(shared) == 0 < count(own)
    assert costs.weight_bytes_read(shared, lambda _: 1.0) == WIDTH
    assert costs.weight_bytes_read(own, lambda _: 1.0) == WIDTH


def test_a_table_of_no_embedding_is_read_whole() -> None:
    assert costs.weight_bytes_read(Table(32, 8, Role.DENSE), lambda _: 1.0) == 32 * 8
    assert costs.weight_bytes_read(Table(32, 8), lambda _: 1.0) == 8


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_the_plan_and_the_explanation_agree(spec: Decoder) -> None:
    """The forecast's terms are the sums of what every part is said to cost."""
    storage = costs.computed_in("bfloat16")
    parts = (spec.embedding, *spec.layers, spec.norm, spec.output)
    found = costs.total(costs.cost(part, storage, dtype="bfloat16", context=9) for part in parts)
    predicted = predict(spec, dtype="bfloat16", context=9, batch=2)
    assert 2 * found.state_bytes == predicted.state_bytes
    assert found.parameters == count(spec)
    assert found.active == active(spec) == sum(costs.active_by_role(spec).values())
    assert predicted.weights_bytes == sum(costs.weight_bytes(part, storage) for part in parts)


def test_totals_add_field_by_field() -> None:
    one = costs.Cost(1, 2, 3, 4, 5, 6)
    assert costs.total([one, one, one]) == costs.Cost(3, 6, 9, 12, 15, 18)
    assert costs.total([]) == costs.Cost()
