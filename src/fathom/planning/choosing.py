"""Choose a model: the class by rule, then those sizes that satisfy every hard constraint.

What remains is ordered as a front: a model stays unless another is at least as good in results,
speed and memory, and better in one. Nothing is blended into one number.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fathom.catalog import constraints
from fathom.catalog.licences import licences
from fathom.errors import NotFoundError, RequestError, nearest
from fathom.planning.candidates import Candidate, candidates
from fathom.planning.deciding import Decision, Wishes, decide
from fathom.planning.target import Target, target

if TYPE_CHECKING:
    from fathom.planning.hosting import Hosted


@dataclass(frozen=True)
class Hard:
    """One hard constraint.

    Attributes:
        asked: the constraint in words.
        option: the option that relaxes it.
        holds: whether a candidate satisfies it; None where that is not known.
        needs: what it would have to be for a candidate, in the option's unit; None where no
            amount helps.
        unit: of `needs`: "bytes", "tokens", "tokens/s", "s", "parameters", or a test's name.
        rising: whether relaxing means a larger amount.
    """

    asked: str
    option: str
    holds: Callable[[Candidate], bool | None]
    needs: Callable[[Candidate], float | None] = lambda _: None
    unit: str = ""
    rising: bool = True


@dataclass(frozen=True)
class Relaxation:
    """What one constraint would have to be for one more model, all others as they are."""

    asked: str
    option: str
    needed: float | None
    unit: str
    candidate: Candidate


@dataclass(frozen=True)
class Answer:
    """What was chosen, why, and what would change it.

    Attributes:
        front: candidates that no other beats in everything, the best result first.
        beaten: how many satisfied all and are beaten.
        unproven: candidates that satisfy all, without a result on any of the task's tests.
        refused: how many fail each constraint, by its words.
        unknown: how many were left out because what a constraint asks is not known of them.
        relaxations: the least change of each constraint alone that would bring something new.
        nearest: where nothing is left and no one change is enough, what fails the fewest
            constraints, and which.
        hosted: offers of models that run elsewhere, where those were asked about.
    """

    wishes: Wishes
    decision: Decision
    target: Target
    front: tuple[Candidate, ...]
    beaten: int
    unproven: tuple[Candidate, ...]
    considered: int
    refused: dict[str, int]
    unknown: int
    relaxations: tuple[Relaxation, ...]
    nearest: tuple[Candidate, tuple[str, ...]] | None = None
    hosted: tuple[Hosted, ...] = ()


def choose(wishes: Wishes) -> Answer:
    """Return the class and the models for what is wanted.

    Raises:
        NotFoundError: for an unknown task, constraint, machine or licence.
        RequestError: for wishes that contradict one another.
    """
    decision = decide(wishes)
    hosted = _require_local(wishes)
    place = target(wishes.machine, wishes.memory, wishes.stored)
    listed = (
        []
        if hosted
        else list(candidates(decision, place, stored=wishes.stored, context=wishes.length))
    )
    hard = _hard(wishes, place)
    failed = {index: _failures(one, hard) for index, one in enumerate(listed)}
    passing = [listed[index] for index, faults in failed.items() if not faults]
    proven = [one for one in passing if _tested(one, decision.tests)]
    front = [one for one in proven if not any(_beats(two, one, decision.tests) for two in proven)]
    unproven = [one for one in passing if not _tested(one, decision.tests)]
    relaxations = tuple(_relaxations(listed, failed, hard, front, decision.tests))
    return Answer(
        wishes=wishes,
        decision=decision,
        target=place,
        front=tuple(sorted(front, key=lambda one: _rank(one, decision.tests))),
        beaten=len(proven) - len(front),
        unproven=tuple(sorted(unproven, key=lambda one: one.memory_bytes)),
        considered=len(listed),
        refused=_refused(listed, hard),
        unknown=sum(
            all(one.holds(listed[index]) is None for one in faults)
            for index, faults in failed.items()
            if faults
        ),
        relaxations=relaxations,
        nearest=None if passing or relaxations else _nearest(listed, failed),
        hosted=_offers(decision, wishes) if hosted or wishes.price is not None else (),
    )


def _offers(decision: Decision, wishes: Wishes) -> tuple[Hosted, ...]:
    from fathom.planning.hosting import offered  # prices are read only where they are asked for

    return offered(decision.classes, wishes)


def _refused(listed: Sequence[Candidate], hard: Sequence[Hard]) -> dict[str, int]:
    """Return how many are known to fail each constraint, by its words; none is left out."""
    counts = {one.asked: sum(one.holds(each) is False for each in listed) for one in hard}
    return {asked: count for asked, count in counts.items() if count}


def _nearest(
    listed: Sequence[Candidate], failed: dict[int, list[Hard]]
) -> tuple[Candidate, tuple[str, ...]] | None:
    """Return what fails the fewest constraints, the smallest of several, and which they are."""
    order = sorted(failed, key=lambda index: (len(failed[index]), listed[index].memory_bytes))
    if not order:
        return None
    return listed[order[0]], tuple(one.asked for one in failed[order[0]])


def _require_local(wishes: Wishes) -> bool:
    """Return whether it shall run elsewhere; refuse a machine of one's own for that.

    Raises:
        RequestError: names the pair that contradicts.
    """
    hosted = any(constraints.find(name).name == "hosted" for name in wishes.constraints)
    own = {"--machine": wishes.machine, "--memory": wishes.memory}
    for option, value in own.items():
        if hosted and value is not None:
            raise RequestError(
                f"'--constraint hosted' and '{option}' contradict one another: what is hosted runs "
                "on its provider's machines; leave one out"
            )
    private = any(constraints.find(name).name == "on-device" for name in wishes.constraints)
    if private and wishes.price is not None:
        raise RequestError(
            "'--constraint on-device' and '--price' contradict one another: what runs here has no "
            "price per token; leave one out"
        )
    return hosted


def _hard(wishes: Wishes, place: Target) -> list[Hard]:
    """Return the hard constraints, in the order in which they are told."""
    found = [_memory(place)]
    if wishes.context is not None:
        found.append(_context(wishes.context))
    if wishes.tokens_per_second is not None:
        found.append(_speed(wishes.tokens_per_second))
    if wishes.first_token is not None:
        found.append(_wait(wishes.first_token))
    if wishes.parameters is not None:
        found.append(_parameters(wishes.parameters))
    if wishes.licence is not None:
        found.append(_licence(wishes.licence))
    found += [_language(language) for language in wishes.languages]
    found += [_quality(test, least) for test, least in wishes.quality.items()]
    return found


def _memory(place: Target) -> Hard:
    return Hard(
        f"memory of {place.name}",
        "--memory",
        lambda one: one.memory_bytes <= place.memory,
        lambda one: one.memory_bytes,
        "bytes",
    )


def _context(tokens: int) -> Hard:
    return Hard(
        f"context of {tokens:,} tokens",
        "--context",
        lambda one: None if one.context is None else one.context >= tokens,
        lambda one: one.context,
        "tokens",
        rising=False,
    )


def _speed(least: float) -> Hard:
    return Hard(
        f"{least:g} tokens/s",
        "--speed",
        lambda one: None if one.tokens_per_second is None else one.tokens_per_second >= least,
        lambda one: one.tokens_per_second,
        "tokens/s",
        rising=False,
    )


def _wait(longest: float) -> Hard:
    return Hard(
        f"first token within {longest:g} s",
        "--first-token",
        lambda one: None if one.first_token_seconds is None else one.first_token_seconds <= longest,
        lambda one: one.first_token_seconds,
        "s",
    )


def _parameters(most: int) -> Hard:
    return Hard(
        f"at most {most:,} parameters",
        "--max-params",
        lambda one: one.parameters <= most,
        lambda one: one.parameters,
        "parameters",
    )


def _licence(asked: str) -> Hard:
    known = licences()
    if asked.casefold() == "commercial":
        allowed = {name for name, one in known.items() if one.commercial != "no"}
    else:
        allowed = {name for name in known if name.casefold() == asked.casefold()}
    if not allowed:
        raise NotFoundError(
            f"There is no licence '{asked}'.{nearest(asked, known)} "
            "'commercial' means any that allows it"
        )
    return Hard(
        f"licence {asked}",
        "--licence",
        lambda one: None if one.licence is None else one.licence in allowed,
    )


def _language(language: str) -> Hard:
    """A card that only counts its languages does not say whether this one is among them."""

    def holds(one: Candidate) -> bool | None:
        if one.languages is None:
            return None
        if language.casefold() in one.languages.casefold():
            return True
        vague = any(sign.isdigit() for sign in one.languages) or "many" in one.languages
        return None if vague or "others" in one.languages else False

    return Hard(f"language {language}", "--language", holds)


def _quality(test: str, least: float) -> Hard:
    def value(one: Candidate) -> float | None:
        found = one.result(test)
        return None if found is None else found.value

    def holds(one: Candidate) -> bool | None:
        found = value(one)
        return None if found is None else found >= least

    return Hard(f"{test} of {least:g}", "--quality", holds, value, test, rising=False)


def _failures(one: Candidate, hard: Sequence[Hard]) -> list[Hard]:
    """Return the constraints that a candidate is not known to satisfy."""
    return [constraint for constraint in hard if constraint.holds(one) is not True]


def _tested(one: Candidate, tests: Sequence[str]) -> bool:
    return any(one.result(test) for test in tests)


def _rank(one: Candidate, tests: Sequence[str]) -> tuple[int, float, int]:
    """Order by the result on the first test that there is, then by memory."""
    for place, test in enumerate(tests):
        found = one.result(test)
        if found is not None:
            return place, -found.value, one.memory_bytes
    return len(tests), 0.0, one.memory_bytes


def _beats(two: Candidate, one: Candidate, tests: Sequence[str]) -> bool:
    """Whether another is at least as good in all that is known of both, and somewhere better.

    It must have a result on every test that this one has: results of two tests do not compare.
    """
    pairs = [(-two.memory_bytes, -one.memory_bytes)]
    if (one.tokens_per_second is None) != (two.tokens_per_second is None):
        return False
    if one.tokens_per_second is not None and two.tokens_per_second is not None:
        pairs.append((round(two.tokens_per_second), round(one.tokens_per_second)))
    for test in tests:
        own = one.result(test)
        other = two.result(test)
        if own is not None:
            if other is None:
                return False
            pairs.append((round(other.value * 10), round(own.value * 10)))
    return all(left >= right for left, right in pairs) and any(
        left > right for left, right in pairs
    )


def _relaxations(
    listed: Sequence[Candidate],
    failed: dict[int, list[Hard]],
    hard: Sequence[Hard],
    front: Sequence[Candidate],
    tests: Sequence[str],
) -> list[Relaxation]:
    """Return, for each constraint, the least change that brings a model worth it.

    Worth it is, beside an answer, one with a better result than all of the front on the first
    test; without an answer, any.
    """
    best = _best(front, tests)
    found = []
    for constraint in hard:
        alone = [listed[index] for index, faults in failed.items() if faults == [constraint]]
        wanted = [one for one in alone if constraint.holds(one) is False]
        if best is not None:
            wanted = [one for one in wanted if (_best([one], tests) or 0.0) > best]
        if wanted:
            chosen = min(wanted, key=lambda one: _distance(constraint, one))
            needed = constraint.needs(chosen)
            found.append(
                Relaxation(constraint.asked, constraint.option, needed, constraint.unit, chosen)
            )
    return found


def _best(listed: Sequence[Candidate], tests: Sequence[str]) -> float | None:
    """Return the best result on the first test; None where there is none."""
    results = [one.result(tests[0]) for one in listed] if tests else []
    return max((found.value for found in results if found is not None), default=None)


def _distance(constraint: Hard, one: Candidate) -> float:
    needed = constraint.needs(one)
    if needed is None:
        return float(one.memory_bytes)
    return needed if constraint.rising else -needed
