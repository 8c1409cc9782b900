"""Layers that run whole against the modules that they stand for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fathom.blocks.build import build
from fathom.blocks.state import Passing, Step
from fathom.blocks.whole_layers import packed
from fathom.ops.activation import ACTIVATIONS
from fathom.ops.native import native
from fathom.programs.lowering_whole import HOSTS, whole_layers, whole_plan, why_no_plan
from fathom.programs.plan import NoProgramError
from fathom.spec.attention import Attention, GatedAttention, Window
from fathom.spec.decoder import Layer, Residual
from fathom.spec.feed_forward import GatedMlp, Mlp
from fathom.spec.grid import GridAttention, GridLayer
from fathom.spec.parts import Bare, Norm, count, parameters
from fathom.spec.positions import Rotary
from fathom.spec.roles import EXACT, Role
from fathom.spec.vision import PatchEmbedding, VisionEncoder
from fathom.spec.windowed import WindowAttention

WIDTH, HEADS = 48, 3
LAYER_NORM = Norm(WIDTH, 1e-5, "layer", bias=True)
BEFORE = Residual(before=LAYER_NORM)
ATTENTION = Attention(
    WIDTH, HEADS, HEADS, 16, causal=False, input_bias=True, output_bias=True, key_bias=False
)
PLAIN = Layer(ATTENTION, BEFORE, Mlp(WIDTH, 100, "gelu", bias=True), BEFORE)
SCALED = Residual(
    before=Norm(WIDTH, 1e-6), scales=Bare((WIDTH,), Role.NORM), gate=Bare((1,), Role.NORM)
)
NARROW = replace(ATTENTION, head_width=10, scale=0.5, input_bias=False, key_bias=None)
LAYERS: Mapping[str, Layer] = {
    "usual": PLAIN,
    "causal": replace(PLAIN, mixer=replace(ATTENTION, causal=True)),
    "odd heads, no biases": replace(PLAIN, mixer=replace(NARROW, output_bias=False)),
    "scales and a gate": replace(PLAIN, mixer_residual=SCALED, feed_forward_residual=SCALED),
    "closing norms": replace(
        PLAIN,
        mixer_residual=Residual(closing=LAYER_NORM),
        feed_forward_residual=Residual(closing=LAYER_NORM),
    ),
    **{
        f"gated {name}": replace(PLAIN, feed_forward=GatedMlp(WIDTH, 36, name))
        for name in ("silu", "gelu_tanh")
    },
    **{name: replace(PLAIN, feed_forward=Mlp(WIDTH, 36, name)) for name in ACTIVATIONS},
}


def grid_layer(mixer: GridAttention | WindowAttention) -> GridLayer:
    return GridLayer(mixer, BEFORE, Mlp(WIDTH, 64, "gelu", bias=True), BEFORE)


GRIDS: Mapping[str, tuple[GridLayer, tuple[int, int]]] = {
    "whole": (grid_layer(GridAttention(WIDTH, HEADS, (5, 8), False)), (5, 8)),
    "whole, no distances": (
        grid_layer(GridAttention(WIDTH, HEADS, (5, 8), False, relative=False)),
        (5, 8),
    ),
    "windows that stick out": (grid_layer(GridAttention(WIDTH, HEADS, (4, 3), True)), (6, 8)),
    "no biases": (grid_layer(GridAttention(WIDTH, HEADS, (4, 4), True, bias=False)), (7, 5)),
    "learned distances": (grid_layer(WindowAttention(WIDTH, HEADS, 4, False)), (8, 7)),
    "shifted": (grid_layer(WindowAttention(WIDTH, HEADS, 4, True)), (9, 10)),
    "larger than the grid": (grid_layer(WindowAttention(WIDTH, HEADS, 7, True)), (3, 5)),
}


@pytest.fixture(params=[1, 2])
def threads(request: pytest.FixtureRequest) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield
    torch.set_num_threads(before)


def filled(layer: Layer | GridLayer, dtype: torch.dtype = torch.float32) -> nn.Module:
    """Return a layer's module with random weights; exact ones in float32."""
    module = build(layer)
    assert isinstance(module, nn.Module)
    chance = torch.Generator().manual_seed(count(layer))
    for one in parameters(layer):
        kind = torch.float32 if one.role in EXACT else dtype
        weights = torch.randn(one.shape, generator=chance) * 0.2 + (one.role is Role.NORM)
        path, _, leaf = one.name.rpartition(".")
        setattr(module.get_submodule(path), leaf, nn.Parameter(weights.to(kind), False))
    return module.eval()


def states(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(3))


def off(found: Tensor, expected: Tensor) -> float:
    return ((found.float() - expected).abs().max() / expected.abs().max()).item()


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("length", [1, 37, 150])
@pytest.mark.parametrize("name", LAYERS)
@torch.inference_mode()
def test_a_layer_is_its_module(name: str, length: int) -> None:
    module, x = filled(LAYERS[name]), states(2, length, WIDTH)
    step, state = Step.dense(2, 0, length, x.device), Passing()
    expected = module(x, step, state)
    assert off(packed(module, LAYERS[name])(x, step, state), expected) < 1e-5


@torch.inference_mode()
def test_padding_is_seen_by_none() -> None:
    module, x = filled(PLAIN), states(3, 20, WIDTH)
    real = torch.ones(3, 20, dtype=torch.bool)
    real[0, 12:], real[2, :5] = False, False
    step, state = Step.padded(real), Passing()
    expected = module(x, step, state)
    found = packed(module, PLAIN)(x, step, state)
    assert off(found[real], expected[real]) < 1e-5
    assert found.isfinite().all()


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("name", GRIDS)
@torch.inference_mode()
def test_a_layer_of_a_grid_is_its_module(name: str) -> None:
    layer, grid = GRIDS[name]
    module, x = filled(layer), states(2, *grid, WIDTH)
    expected = module(x)
    assert off(packed(module, layer)(x), expected) < 1e-5


@pytest.mark.parametrize("name", ["usual", "shifted", "whole"])
@torch.inference_mode()
def test_bfloat16_is_no_further_from_float32_than_the_module_is(name: str) -> None:
    layer, shape = (PLAIN, (150,)) if name == "usual" else GRIDS[name]
    module, x = filled(layer, torch.bfloat16), states(2, *shape, WIDTH)
    rest = (Step.dense(2, 0, 150, x.device), Passing()) if name == "usual" else ()
    exact = filled(layer, torch.bfloat16).float()(x, *rest)
    half = x.bfloat16()
    theirs = off(module(half, *rest), exact)
    found = packed(module, layer)(half, *rest)
    assert found.dtype == torch.bfloat16
    assert 0 < off(found, exact) < 1.2 * theirs


REFUSED: Mapping[str, Layer] = {
    "stand side by side": replace(PLAIN, parallel=True),
    "none of one or two maps": replace(PLAIN, feed_forward=None),
    "normed or scaled": replace(PLAIN, mixer_residual=Residual(after=LAYER_NORM)),
    "several groups": replace(PLAIN, mixer_residual=Residual(before=Norm(WIDTH, 1e-5, groups=2))),
    "turns what it compares": replace(
        PLAIN, mixer=replace(ATTENTION, positions=Rotary(width=16, base=1e4))
    ),
    "norms queries": replace(PLAIN, mixer=replace(ATTENTION, query_norm=Norm(16, 1e-5))),
    "bounds what enters": replace(PLAIN, mixer=replace(ATTENTION, clip=1.0)),
    "bounds scores": replace(PLAIN, mixer=replace(ATTENTION, soft_cap=5.0)),
    "has sinks": replace(PLAIN, mixer=replace(ATTENTION, sinks=True)),
    "shares keys": replace(PLAIN, mixer=replace(ATTENTION, kv_heads=1)),
    "sees a part only": replace(PLAIN, mixer=replace(ATTENTION, reach=Window(4))),
    "no plain attention": replace(PLAIN, mixer=GatedAttention(WIDTH, HEADS, HEADS, 16)),
}


@pytest.mark.parametrize("said", REFUSED)
def test_what_no_plan_expresses_stays_a_module(said: str) -> None:
    assert said in (why_no_plan(REFUSED[said]) or "")
    with pytest.raises(NoProgramError, match=said):
        whole_plan(REFUSED[said])
    assert why_no_plan(PLAIN) is None and whole_plan(PLAIN).width == WIDTH


def test_layers_are_found_where_tokens_come_at_once() -> None:
    tower = VisionEncoder(PatchEmbedding(WIDTH, (4, 4), (2, 2)), (PLAIN, REFUSED["has sinks"]))
    assert [path for path, _ in whole_layers((tower,))] == ["0.layers.0"]
    assert all("layers" in host.__dataclass_fields__ for host in HOSTS)


@pytest.mark.parametrize(
    ("members", "begins", "said"),
    [
        ([0, 1, 5], [0, 3], "members are tokens"),
        ([0, 1, 1], [0, 3], "a token is in one group"),
        ([0, 1, 2], [0, 2], "groups end"),
        ([0, 1, 2], [1, 3], "groups begin"),
        ([0, 1, 2], [0, 4, 3], "groups have their length"),
    ],
)
def test_groups_that_fit_no_tokens_are_refused(
    members: list[int], begins: list[int], said: str
) -> None:
    module = native()
    assert not isinstance(module, str)
    layer = packed(filled(PLAIN), PLAIN).whole._layer
    x = states(3, WIDTH).numpy()
    rows, ends = np.array(members, np.int32), np.array(begins, np.int32)
    with pytest.raises(ValueError, match=said):
        layer.run(x, x.copy(), rows, ends, None, 1)
    layer.run(x, x.copy(), np.arange(3, dtype=np.int32), np.array([0, 3], np.int32), None, 1)
