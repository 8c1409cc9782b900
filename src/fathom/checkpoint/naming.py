"""Which tensors of a file fill which parameters: rules matched in either direction.

Nothing is computed here and nothing is guessed. Every tensor of the file is used or dropped by
a rule and every parameter is filled, or the error lists both sides.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache

from fathom.dialects.rules import Rule, Stack, Step
from fathom.errors import TensorMismatchError

SHOWN = 6  # names listed per side of an error; the count says how many there are


@dataclass(frozen=True)
class Assignment:
    """File tensors `theirs`, in order, become our parameters `ours`, in order, by `steps`."""

    theirs: tuple[str, ...]
    ours: tuple[str, ...]
    steps: tuple[Step, ...]


@cache
def _pattern(template: str) -> re.Pattern[str]:
    """Compile a template: placeholders are numbers, ``**`` is anything, a leaf may follow."""
    escaped = re.escape(template).replace(r"\{", "{").replace(r"\}", "}")
    escaped = escaped.replace(r"\*\*", ".+")
    named = re.sub(r"\{(\w+)\}", r"(?P<\1>\\d+)", escaped)
    return re.compile(rf"{named}(?P<leaf>\.weight|\.bias)?")


def _fill(template: str, numbers: Mapping[str, str]) -> str:
    leaf = numbers.get("leaf") or ""
    return template.format_map({**numbers, "leaf": ""}) + leaf


def _bindings(template: str, name: str) -> dict[str, str] | None:
    found = _pattern(template).fullmatch(name)
    return None if found is None else {k: v for k, v in found.groupdict().items() if v is not None}


_NUMBERED = re.compile(r"(?:\{\w+\}|\d+)+")  # placeholders and digits of a template
_DIGITS = re.compile(r"\d+")


class _Templates:
    """Templates by skeleton, so that a name meets only those that it can fit.

    A skeleton has one mark for every number, or for the placeholder of one. A mixture of experts
    has tens of thousands of names and some fifty skeletons.
    """

    def __init__(self, templates: Iterable[tuple[int, str]]) -> None:
        """Take templates with the number of their rule, in the order in which they count."""
        self._listed = list(enumerate(templates))
        self._by_skeleton: dict[str, list[int]] = {}
        self._anything: list[int] = []
        for place, (_, template) in self._listed:
            if "**" in template:
                self._anything.append(place)
            else:
                self._by_skeleton.setdefault(_NUMBERED.sub("#", template), []).append(place)
        self._met: dict[str, list[tuple[int, str]]] = {}

    @classmethod
    def of_theirs(cls, rules: Sequence[Rule]) -> _Templates:
        """Return the templates of the file's side."""
        return cls((index, each) for index, rule in enumerate(rules) for each in rule.theirs)

    @classmethod
    def of_ours(cls, rules: Sequence[Rule]) -> _Templates:
        """Return the templates of our side."""
        return cls((index, each) for index, rule in enumerate(rules) for each in rule.ours)

    def fitting(self, name: str) -> Iterator[tuple[int, str, dict[str, str]]]:
        """Yield (rule, template, what its placeholders stand for), first rule first."""
        skeleton = _DIGITS.sub("#", name)
        if skeleton not in self._met:
            self._met[skeleton] = self._candidates(skeleton)
        for rule, template in self._met[skeleton]:
            numbers = _bindings(template, name)
            if numbers is not None:
                yield rule, template, numbers

    def _candidates(self, skeleton: str) -> list[tuple[int, str]]:
        spelled = {skeleton, skeleton.removesuffix(".weight"), skeleton.removesuffix(".bias")}
        places = [place for each in spelled for place in self._by_skeleton.get(each, ())]
        return [self._listed[place][1] for place in sorted([*places, *self._anything])]


def assign(
    rules: Sequence[Rule], tensors: Iterable[str], parameters: Iterable[str], *, prefix: str = ""
) -> list[Assignment]:
    """Return how the tensors of a file fill the parameters of a model.

    A file of a bare trunk omits the `prefix` that the rules' names begin with.

    Raises:
        TensorMismatchError: when a tensor is left over or a parameter stays empty.
    """
    wanted = dict.fromkeys(parameters)
    present = list(tensors)
    bare = bool(prefix) and not any(name.startswith(prefix) for name in present)
    spoken = {(prefix + name if bare else name): name for name in present}

    assignments, used = _match(rules, spoken, wanted)
    filled = {name for assignment in assignments for name in assignment.ours}
    left_over = [name for name in spoken if name not in used]
    # In a trunk's file, what no rule knows may be spelled in full, such as the output head.
    if bare and left_over:
        again, more = _match(rules, {spoken[n]: spoken[n] for n in left_over}, wanted)
        assignments += again
        filled |= {name for assignment in again for name in assignment.ours}
        left_over = [name for name in left_over if spoken[name] not in more]
    missing = [name for name in wanted if name not in filled]
    if left_over or missing:
        raise TensorMismatchError(_complaint([spoken[n] for n in left_over], missing, rules))
    return assignments


def _match(
    rules: Sequence[Rule], spoken: Mapping[str, str], wanted: Mapping[str, object]
) -> tuple[list[Assignment], set[str]]:
    """Match names to rules, first rule first; return the assignments and the names used up."""
    groups: dict[tuple[int, tuple[str, ...]], dict[str, list[tuple[int, str]]]] = {}
    used: set[str] = set()
    templates = _Templates.of_theirs(rules)
    for name in spoken:
        hit = _hit(rules, templates, name, wanted)
        if hit is None:
            continue
        used.add(name)
        index, template, targets, expert = hit
        if targets:
            by_template = groups.setdefault((index, targets), {})
            by_template.setdefault(template, []).append((expert, spoken[name]))
    assignments = []
    for (index, targets), by_template in groups.items():
        rule = rules[index]
        sources = [n for t in rule.theirs for _, n in sorted(by_template.get(t, []))]
        if len(by_template) == len(rule.theirs):
            assignments.append(Assignment(tuple(sources), targets, rule.steps))
    return assignments, used


def _hit(
    rules: Sequence[Rule], templates: _Templates, name: str, wanted: Mapping[str, object]
) -> tuple[int, str, tuple[str, ...], int] | None:
    """Return the rule and template that a name fits, our names, and its place in a stack."""
    for index, template, numbers in templates.fitting(name):
        targets = tuple(_fill(ours, numbers) for ours in rules[index].ours)
        if all(target in wanted for target in targets):
            return index, template, targets, int(numbers.get("expert", 0))
    return None


def spell(rules: Sequence[Rule], shapes: Mapping[str, tuple[int, ...]]) -> list[Assignment]:
    """Return the assignments for saving our parameters, given with their shapes, as a file.

    Raises:
        TensorMismatchError: for a parameter that no rule names.
    """
    assignments: list[Assignment] = []
    done: set[str] = set()
    templates = _Templates.of_ours(rules)
    for name in shapes:
        if name in done:
            continue
        fits = (_whole(rules[i], numbers, shapes) for i, _, numbers in templates.fitting(name))
        found = next((whole for whole in fits if whole is not None), None)
        if found is None:
            raise TensorMismatchError(f"No rule says how '{name}' is spelled in a file")
        assignments.append(found)
        done.update(found.ours)
    return assignments


def belonging(
    rules: Sequence[Rule], name: str, shapes: Mapping[str, tuple[int, ...]]
) -> Assignment | None:
    """Return the assignment that a tensor of the file takes part in, with all others in it.

    `shapes` are those of our parameters. None for a tensor that no rule names, or one drops.
    """
    for index, _, numbers in _Templates.of_theirs(rules).fitting(name):
        if not rules[index].ours:
            return None
        found = _whole(rules[index], numbers, shapes)
        if found is not None:
            return found
    return None


def _whole(
    rule: Rule, numbers: Mapping[str, str], shapes: Mapping[str, tuple[int, ...]]
) -> Assignment | None:
    """Return what a rule assigns where its placeholders stand for `numbers`."""
    ours = tuple(_fill(template, numbers) for template in rule.ours)
    if not ours or not all(name in shapes for name in ours):
        return None
    copies = shapes[ours[0]][0] if any(isinstance(step, Stack) for step in rule.steps) else 1
    theirs = tuple(
        _fill(template, {**numbers, "expert": str(index)})
        for template in rule.theirs
        for index in range(copies)
    )
    return Assignment(theirs, ours, rule.steps)


def _complaint(left_over: Sequence[str], missing: Sequence[str], rules: Sequence[Rule]) -> str:
    """Describe both sides of a mismatch in one line."""
    sides = []
    if missing:
        sides.append(f"{len(missing)} parameters have no tensor: {_listed(missing)}")
    if left_over:
        near = _nearest_rule(left_over[0], rules)
        sides.append(f"{len(left_over)} tensors have no rule: {_listed(left_over)}{near}")
    return "The file does not match the model that its configuration describes. " + "; ".join(sides)


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:SHOWN])
    return shown + (f" … and {len(names) - SHOWN} more" if len(names) > SHOWN else "")


def _nearest_rule(name: str, rules: Sequence[Rule]) -> str:
    templates = [template for rule in rules for template in rule.theirs]
    close = get_close_matches(re.sub(r"\d+", "{layer}", name), templates, n=1, cutoff=0.6)
    return f" (nearest rule: {close[0]})" if close else ""
