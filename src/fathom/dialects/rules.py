"""Rules between a file's tensor names and ours: declared once, applied in both directions.

A rule pairs name templates of the file (`theirs`) with templates of ours, and lists the steps
that turn the one's tensors into the other's. A template names a module; its ``weight`` and
``bias`` follow by themselves. ``{layer}`` and ``{expert}`` stand for numbers. Rules are data:
`checkpoint/naming.py` matches them and `checkpoint/rewriting.py` holds the arithmetic.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True)
class Stack:
    """Tensors of one shape, one per ``{expert}``, become one with a leading axis."""


@dataclass(frozen=True)
class Split:
    """One tensor becomes several, cut along an axis into `sizes`.

    With `groups`, the axis is so many equal blocks, and each holds a part of every result, as
    where a fused projection keeps the query, key and value of one head together (GPT-NeoX).
    """

    sizes: tuple[int, ...]
    axis: int = 0
    groups: int = 1


@dataclass(frozen=True)
class Join:
    """Several tensors of `sizes` along an axis become one."""

    sizes: tuple[int, ...]
    axis: int = 0


@dataclass(frozen=True)
class Transpose:
    """The last two axes change places; a vector stays as it is (GPT-2 stores inputs first)."""


@dataclass(frozen=True)
class Regroup:
    """The first axis is seen as `view`, its parts put in a new `order`, and flattened again."""

    view: tuple[int, ...]
    order: tuple[int, ...]


@dataclass(frozen=True)
class Reshape:
    """The same numbers under another shape: the file's, then ours."""

    theirs: tuple[int, ...]
    ours: tuple[int, ...]


@dataclass(frozen=True)
class Shift:
    """A constant is added, in float32: norms stored as their distance from one (Gemma)."""

    by: float


@dataclass(frozen=True)
class NegativeLogarithm:
    """Ours is log(−theirs), in float32: GGUF stores decay rates as −exp of the publisher's."""


Step: TypeAlias = Stack | Split | Join | Transpose | Regroup | Reshape | Shift | NegativeLogarithm


@dataclass(frozen=True)
class Rule:
    """Names of the file, our names, and the steps from the file's tensors to ours."""

    theirs: tuple[str, ...]
    ours: tuple[str, ...]
    steps: tuple[Step, ...] = ()


def rename(theirs: str, ours: str, *steps: Step) -> Rule:
    """One of theirs is one of ours, after `steps` that keep it one."""
    return Rule((theirs,), (ours,), steps)


def below(rules: Sequence[Rule], theirs: str, ours: str) -> tuple[Rule, ...]:
    """Return the rules of a model that is a part of another, under names that begin so."""
    return tuple(
        Rule(
            tuple(f"{theirs}{name}" for name in rule.theirs),
            tuple(f"{ours}{name}" for name in rule.ours),
            rule.steps,
        )
        for rule in rules
    )


def renamed(rule: Rule, before: str, now: str) -> Rule:
    """Return a rule for files in which names that begin with `before` begin with `now`."""
    return Rule(
        tuple(
            now + name.removeprefix(before) if name.startswith(before) else name
            for name in rule.theirs
        ),
        rule.ours,
        rule.steps,
    )


def drop(theirs: str) -> Rule:
    """A tensor of the file that is not needed, because it can be computed or is never read.

    ``**`` in the name stands for anything: whole modules can be left out.
    """
    return Rule((theirs,), ())


def stack(theirs: str, ours: str, *steps: Step) -> Rule:
    """One tensor per ``{expert}`` becomes one of ours, after `steps` on each."""
    return Rule((theirs,), (ours,), (*steps, Stack()))


def split(theirs: str, ours: dict[str, int], *before: Step, axis: int = 0, groups: int = 1) -> Rule:
    """One of theirs is cut into several of ours, given with their sizes; `before` come first."""
    return Rule((theirs,), tuple(ours), (*before, Split(tuple(ours.values()), axis, groups)))


def join(theirs: dict[str, int], ours: str, *after: Step, axis: int = 0) -> Rule:
    """Several of theirs, given with their sizes, are joined into one of ours."""
    return Rule(tuple(theirs), (ours,), (Join(tuple(theirs.values()), axis), *after))


def swap_rotary_pairs(heads: int, head_width: int) -> Regroup:
    """From pairs (2i, 2i + 1) to pairs (i, i + half): how GGUF and Meta store Llama's heads."""
    return Regroup((heads, head_width // 2, 2), (0, 2, 1))
