"""One statement of the parts gives names, shapes and counts."""

from __future__ import annotations

from fathom.spec.attention import Attention, Window
from fathom.spec.feed_forward import GatedMlp
from fathom.spec.parts import Linear, Norm, count, leaves, parameters
from fathom.spec.positions import Rotary
from fathom.spec.roles import Role
from fathom.spec.state import StateArray


def attention(**changes: object) -> Attention:
    values = {"width": 8, "heads": 4, "kv_heads": 2, "head_width": 3, **changes}
    return Attention(**values)  # type: ignore[arg-type]


def test_a_parameters_name_is_its_path() -> None:
    names = [p.name for p in parameters((attention(input_bias=True, sinks=True),))]
    assert names == [
        "0.query.weight",
        "0.query.bias",
        "0.key.weight",
        "0.key.bias",
        "0.value.weight",
        "0.value.bias",
        "0.sinks",
        "0.output.weight",
    ]


def test_shapes_follow_the_heads() -> None:
    shapes = {p.name: p.shape for p in parameters(attention())}
    assert shapes["query.weight"] == (12, 8)
    assert shapes["key.weight"] == (6, 8)
    assert shapes["output.weight"] == (8, 12)


def test_counting_a_gated_feed_forward() -> None:
    assert count(GatedMlp(8, 20)) == 3 * 8 * 20
    assert count(GatedMlp(8, 20, bias=True)) == 3 * 8 * 20 + 20 + 20 + 8


def test_stacked_maps_lead_with_their_number() -> None:
    assert count(Linear(3, 5, Role.INTO_INNER, bias=True, stack=7)) == 7 * (15 + 5)


def test_a_norm_without_weight_holds_nothing() -> None:
    assert count(Norm(8, 1e-6, weight=False)) == 0
    assert [path for path, _ in leaves(Norm(8, 1e-6))] == [""]


def test_state_is_bounded_by_the_window() -> None:
    assert attention().state(100)[0] == StateArray("key", (2, 100, 3))
    assert attention(reach=Window(16)).state(100)[1] == StateArray("value", (2, 16, 3))
    assert attention(reach=Window(16)).state(10)[0].elements == 2 * 10 * 3


def test_a_spec_is_a_value() -> None:
    """Equal descriptions are equal, can be keys, and print what makes them."""
    one, other = attention(positions=Rotary(1e4, 4)), attention(positions=Rotary(1e4, 4))
    assert one == other
    assert {one: 1}[other] == 1
    assert "Rotary(base=10000.0, width=4" in repr(one)
