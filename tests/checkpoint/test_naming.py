"""Rules matched in both directions, and what is said when they do not match."""

from __future__ import annotations

import pytest

from fathom.checkpoint.naming import assign, belonging, spell
from fathom.dialects.rules import Rule, drop, join, rename, split, stack
from fathom.errors import TensorMismatchError

RULES: tuple[Rule, ...] = (
    rename("model.embed", "embedding.tokens"),
    split("model.layers.{layer}.qkv", {"layers.{layer}.query": 4, "layers.{layer}.key": 2}),
    stack("model.layers.{layer}.experts.{expert}.up", "layers.{layer}.up"),
    join({"model.left": 3, "model.right": 5}, "both"),
    drop("model.layers.{layer}.inv_freq"),
    rename("lm_head", "head"),
)
THEIRS = [
    "model.embed.weight",
    "model.layers.0.qkv.weight",
    "model.layers.0.qkv.bias",
    "model.layers.0.inv_freq",
    *(f"model.layers.0.experts.{i}.up.weight" for i in (10, 2, 0, 1, 3, 4, 5, 6, 7, 8, 9)),
    "model.right.weight",
    "model.left.weight",
    "lm_head.weight",
]
SHAPES = {
    "embedding.tokens.weight": (9, 4),
    "layers.0.query.weight": (4, 4),
    "layers.0.key.weight": (2, 4),
    "layers.0.query.bias": (4,),
    "layers.0.key.bias": (2,),
    "layers.0.up.weight": (11, 8, 4),
    "both.weight": (8, 4),
    "head.weight": (9, 4),
}


def test_every_tensor_finds_its_parameter() -> None:
    found = {a.ours: a.theirs for a in assign(RULES, THEIRS, SHAPES, prefix="model.")}
    assert found == {
        ("embedding.tokens.weight",): ("model.embed.weight",),
        ("layers.0.query.weight", "layers.0.key.weight"): ("model.layers.0.qkv.weight",),
        ("layers.0.query.bias", "layers.0.key.bias"): ("model.layers.0.qkv.bias",),
        ("layers.0.up.weight",): tuple(
            f"model.layers.0.experts.{i}.up.weight" for i in range(11)
        ),  # by number, not by the file's order
        ("both.weight",): ("model.left.weight", "model.right.weight"),  # by the rule's order
        ("head.weight",): ("lm_head.weight",),
    }


def test_spelling_is_the_inverse_of_assigning() -> None:
    there = assign(RULES, THEIRS, SHAPES, prefix="model.")
    back = spell(RULES, SHAPES)
    assert {(a.theirs, a.ours) for a in back} == {(a.theirs, a.ours) for a in there}


def test_a_bare_trunk_lacks_the_prefix() -> None:
    bare = [name.removeprefix("model.") for name in THEIRS]
    found = {a.ours: a.theirs for a in assign(RULES, bare, SHAPES, prefix="model.")}
    assert found[("embedding.tokens.weight",)] == ("embed.weight",)
    assert found[("head.weight",)] == ("lm_head.weight",)


def test_both_sides_of_a_mismatch_are_listed_with_the_nearest_rule() -> None:
    wrong = [name.replace("model.embed", "model.embedd") for name in THEIRS]
    with pytest.raises(TensorMismatchError) as raised:
        assign(RULES, wrong, SHAPES, prefix="model.")
    message = str(raised.value)
    assert "1 parameters have no tensor: embedding.tokens.weight" in message
    assert "1 tensors have no rule: model.embedd.weight (nearest rule: model.embed)" in message


@pytest.mark.parametrize("gone", ["model.left.weight", "model.layers.0.qkv.weight"])
def test_half_of_a_rule_fills_nothing(gone: str) -> None:
    present = [name for name in THEIRS if name != gone]
    with pytest.raises(TensorMismatchError, match="no tensor"):
        assign(RULES, present, SHAPES, prefix="model.")


def test_a_tensor_whose_parameter_does_not_exist_is_left_over() -> None:
    """A bias in the file, and none in the spec: the configuration is wrong, and it is said."""
    with pytest.raises(TensorMismatchError, match=r"tensors have no rule: lm_head\.bias"):
        assign(RULES, [*THEIRS, "lm_head.bias"], SHAPES, prefix="model.")


def test_a_parameter_that_no_rule_spells_is_named() -> None:
    with pytest.raises(TensorMismatchError, match=r"'layers\.0\.gate\.weight'"):
        spell(RULES, {**SHAPES, "layers.0.gate.weight": (1,)})


def test_any_tensor_of_a_file_tells_what_it_takes_part_in() -> None:
    """As assigning says, from one name alone; an expert's brings all the others along."""
    there = assign(RULES, THEIRS, SHAPES, prefix="model.")
    for assignment in there:
        for name in assignment.theirs:
            assert belonging(RULES, name, SHAPES) == assignment
    assert belonging(RULES, "model.layers.0.inv_freq", SHAPES) is None  # dropped
    assert belonging(RULES, "model.layers.7.qkv.weight", SHAPES) is None  # no such layer
    assert belonging(RULES, "model.other.weight", SHAPES) is None


NUMBERED = (
    rename("layers.0.up", "first.up"),  # a number in a template stands for itself
    rename("layers.{layer}.up", "layers.{layer}.up"),
    rename("layers.{layer}2.weight", "second.{layer}"),
    drop("layers.{layer}.**"),
    rename("layers.{layer}.down", "layers.{layer}.down"),
)


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("layers.0.up.weight", ("first.up.weight",)),
        ("layers.10.up.bias", ("layers.10.up.bias",)),
        ("layers.12.weight", ("second.1",)),
        ("layers.0.gate.inner", None),
        ("layers.3.down", None),  # the rule before it drops all
    ],
)
def test_the_first_rule_that_fits_decides(name: str, ours: tuple[str, ...] | None) -> None:
    found = assign(NUMBERED, [name], ours or ())
    assert [assignment.ours for assignment in found] == ([] if ours is None else [ours])
    one = belonging(NUMBERED, name, dict.fromkeys(ours or (), (1,)))
    assert (None if one is None else one.ours) == ours
