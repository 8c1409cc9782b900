"""A model printed: every field that makes a difference is said, and repeats are said once."""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass, replace

import pytest

from fathom.spec.attention import Attention, Chunk, GatedAttention, Temperature, Window
from fathom.spec.decoder import Decoder, Embedding, Layer, Output, Residual
from fathom.spec.experts import Experts, Groups, Router
from fathom.spec.feed_forward import GatedMlp, Mlp
from fathom.spec.heads import Transform
from fathom.spec.latent_attention import LatentAttention
from fathom.spec.outline import LABELS, Entry, Stack, _label, outline, show
from fathom.spec.parts import Bare, GroupNorm, Norm, Table, convolution
from fathom.spec.parts import Convolution as Kernel
from fathom.spec.positions import Alibi, LinearScaling, Rotary, Sinusoid
from fathom.spec.roles import Role
from fathom.spec.state_space import Convolution, DeltaRule, Mamba, Mamba2
from fathom.spec.words import _TOLD, spaced, words

NORM = Norm(8, 1e-6)
ATTENTION = Attention(8, heads=4, kv_heads=2, head_width=3, positions=Rotary(1e4, 2))
CONVOLUTION = Convolution(16, 4)
MAMBA = Mamba(8, inner=16, state_width=4, rank=2, convolution=CONVOLUTION)
GATED = GatedMlp(8, 20)
ROUTER = Router(8, experts=4, active=2)
EXPERTS = Experts(ROUTER, inner=12)


def layer(mixer=ATTENTION, feed_forward=GATED, **changes) -> Layer:
    return Layer(mixer, Residual(before=NORM), feed_forward, Residual(before=NORM), **changes)


def decoder(*layers: Layer) -> Decoder:
    return Decoder(64, Embedding(50, 8), layers, NORM, Output(8, 50))


# A part, and per field another value: what is printed must change with every one of them.
CHANGED = [
    (
        ATTENTION,
        {
            "heads": 8,
            "kv_heads": 1,
            "head_width": 5,
            "positions": Alibi(()),
            "reach": Window(7),
            "causal": False,
            "scale": 0.5,
            "input_bias": True,
            "output_bias": True,
            "query_norm": NORM,
            "key_norm": NORM,
            "clip": 3.0,
            "soft_cap": 50.0,
            "sinks": True,
            "norm_after_rotary": True,
            "temperature": Temperature(8192.0, 0.1),
        },
    ),
    (
        Rotary(1e4, 2),
        {"base": 5e5, "width": 4, "interleaved": True, "scaling": LinearScaling(4.0)},
    ),
    (GATED, {"inner": 9, "activation": "gelu", "bias": True}),
    (Mlp(8, 20), {"inner": 9, "activation": "relu", "bias": False}),
    (
        EXPERTS,
        {
            "router": replace(ROUTER, active=1),
            "inner": 9,
            "activation": "gelu",
            "bias": True,
            "shared": GATED,
            "shared_gate": True,
            "weighted": "input",
        },
    ),
    (
        ROUTER,
        {
            "scoring": "sigmoid",
            "renormalise": True,
            "correction": True,
            "groups": Groups(4, 2),
            "scale": 2.5,
            "floor": 1e-20,
            "bias": True,
        },
    ),
    (
        Residual(before=NORM),
        {
            "before": None,
            "after": NORM,
            "closing": NORM,
            "scale": 0.5,
            "exact": True,
            "scales": Bare((8,), Role.NORM),
            "gate": Bare((1,), Role.NORM),
        },
    ),
    (
        Embedding(50, 8),
        {
            "vocabulary": 51,
            "width": 9,
            "scale": 2.0,
            "positions": Sinusoid(8),
            "token_types": Table(2, 8),
            "norm": NORM,
            "shared": True,
            "table_width": 4,
            "position_offset": 2,
        },
    ),
    (
        Transform(8, "tanh"),
        {"width": 9, "activation": "gelu", "norm": NORM, "bias": False},
    ),
    (
        Output(8, 50),
        {
            "width": 9,
            "vocabulary": 51,
            "tied": True,
            "bias": True,
            "scale": 2.0,
            "soft_cap": 30.0,
            "table_width": 4,
        },
    ),
    (
        NORM,
        {"width": 9, "epsilon": 1e-5, "kind": "layer", "weight": False, "bias": True, "groups": 2},
    ),
    (
        convolution(4, 8),
        {
            "inputs": 2,
            "outputs": 4,
            "kernel": (3, 1),
            "stride": (2, 1),
            "padding": (0, 0),
            "dilation": (2, 2),
            "groups": 2,
            "bias": False,
            "transposed": True,
        },
    ),
    (GroupNorm(8, 2, 1e-6), {"channels": 4, "groups": 1, "epsilon": 1e-5}),
    (Bare((2, 3), Role.NORM), {"shape": (3, 2)}),
    (CONVOLUTION, {"channels": 17, "kernel": 3, "bias": False, "activation": "identity"}),
    (
        MAMBA,
        {
            "inner": 17,
            "state_width": 5,
            "rank": 3,
            "bias": True,
            "convolution": Convolution(16, 5),
            "rank_norm": NORM,
        },
    ),
    (
        Mamba2(8, 4, 4, 2, 6, CONVOLUTION, NORM),
        {
            "heads": 5,
            "head_width": 5,
            "groups": 1,
            "state_width": 7,
            "convolution": Convolution(16, 5),
            "bias": True,
            "time_step_limit": (0.0, 1.0),
        },
    ),
    (
        DeltaRule(8, 2, 4, 4, 6, CONVOLUTION, NORM),
        {
            "key_heads": 4,
            "key_width": 5,
            "value_heads": 8,
            "value_width": 5,
            "convolution": Convolution(16, 5),
        },
    ),
    (
        LatentAttention(8, 4, 6, 2, 3, Rotary(1e4, 2), 1e-6),
        {
            "heads": 5,
            "latent": 7,
            "plain_width": 4,
            "value_width": 4,
            "positions": Rotary(1e4, 4),
            "epsilon": 1e-5,
            "query_latent": 6,
            "scale": 0.5,
            "input_bias": True,
            "output_bias": True,
        },
    ),
]


# What a phrase leaves out on purpose: it is said elsewhere on the page.
UNSAID: dict[type, set[str]] = {
    Attention: {"width"},
    Rotary: set(),
    GatedMlp: {"width"},
    Mlp: {"width"},
    Experts: set(),
    Router: {"width", "experts", "active"},  # its experts say them
    Residual: set(),
    Embedding: set(),
    Output: set(),
    **{kind: {"role"} for kind in (Norm, Kernel, GroupNorm, Bare)},
    Convolution: set(),
    Transform: set(),
    **{kind: {"width"} for kind in (Mamba, Mamba2, DeltaRule, LatentAttention)},
}


@pytest.mark.parametrize(
    ("part", "name", "value"),
    [(part, name, value) for part, changes in CHANGED for name, value in changes.items()],
    ids=[f"{type(part).__name__}.{name}" for part, changes in CHANGED for name in changes],
)
def test_every_field_is_told(part: object, name: str, value: object) -> None:
    assert is_dataclass(part) and not isinstance(part, type)
    assert words(replace(part, **{name: value})) != words(part)


def test_every_phrase_is_tried_with_every_field() -> None:
    """A field that a phrase covers in vain would be mute: all are in the table above."""
    for part, changes in CHANGED:
        _, covered = _TOLD.get(type(part), (None, frozenset()))
        assert covered <= {field.name for field in fields(part)}  # type: ignore[arg-type]
        assert covered - set(changes) <= UNSAID[type(part)]


def test_a_type_without_a_phrase_tells_its_fields() -> None:
    assert words(Groups(8, 4)) == "groups of count 8, active 4"
    assert words(Groups(8, 4, best=2)) == "groups of count 8, active 4, best 2"
    assert words(Chunk(9)) == "chunk of width 9"
    assert spaced("LatentAttention") == "latent attention"


def test_a_descendant_has_its_own_name() -> None:
    assert words(GatedAttention(8, 4, 2, 3)).startswith("gated attention of 4 heads × 3")


def test_alike_layers_are_said_once() -> None:
    local, everywhere = layer(replace(ATTENTION, reach=Window(7))), layer()
    model = decoder(*[local, local, everywhere] * 4)
    stack = outline(model)[1]
    assert isinstance(stack, Stack)
    assert (stack.order, stack.layers) == ("0-11: (A ×2, B) ×4", 12)
    assert [(kind.label, kind.layers) for kind in stack.kinds] == [
        ("A", (0, 1, 3, 4, 6, 7, 9, 10)),
        ("B", (2, 5, 8, 11)),
    ]


@pytest.mark.parametrize(
    ("layers", "order"),
    [
        ([layer()], "0"),
        ([layer()] * 5, "0-4, all alike"),
        ([layer(), *[layer(MAMBA)] * 3], "0: A; 1-3: B"),
    ],
)
def test_orders_in_words(layers: list[Layer], order: str) -> None:
    stack = outline(decoder(*layers))[1]
    assert isinstance(stack, Stack)
    assert stack.order == order


def test_a_model_prints_as_a_page() -> None:
    page = str(decoder(layer(), layer(MAMBA), layer(MAMBA, EXPERTS, parallel=True)))
    assert page == show(decoder(layer(), layer(MAMBA), layer(MAMBA, EXPERTS, parallel=True)))
    lines = page.splitlines()
    assert lines[0].startswith("Decoder of ") and "active" in lines[0]
    assert lines[1].split(maxsplit=1) == ["embedding", "50 tokens × 8"]
    assert "layers 0: A; 1: B; 2: C" in lines
    assert sum(line.strip().startswith("mixer ") for line in lines) == 3
    assert "beside the mixer" in page
    assert max(map(len, lines)) <= 100


def test_what_is_not_a_stack_is_an_entry() -> None:
    sections = outline(decoder(layer()))
    assert [section.path for section in sections] == ["embedding", "layers", "norm", "output"]
    assert all(isinstance(section, Entry) for section in sections if section.path != "layers")


def test_labels_go_on_after_z() -> None:
    assert [_label(number) for number in (0, 25, 26, 51, 52, 701, 702)] == [
        "A", "Z", "AA", "AZ", "BA", "ZZ", "AAA",
    ]  # fmt: skip
    assert len(LABELS) == 26


def test_parts_in_a_row_are_told_once_where_they_are_alike() -> None:
    kernel = convolution(4, 4)
    assert words((kernel, kernel, NORM)) == f"2 × ({words(kernel)}); {words(NORM)}"


def test_a_stack_is_opened_however_deep_it_lies_and_bare_layers_are_told() -> None:
    """Two towers side by side, each in a part of its own, and a row of convolutions."""

    @dataclass(frozen=True)
    class Holds:
        inner: object

        def parts(self):
            return {"inner": self.inner}

    deep = outline(Holds(Holds(Holds((convolution(4, 4), convolution(4, 4))))))
    assert [section.path for section in deep] == ["inner.inner.inner"]
    assert isinstance(deep[0], Stack)
    (kind,) = deep[0].kinds
    assert [(row.path, row.words) for row in kind.rows] == [("", words(convolution(4, 4)))]
