"""Which class: the catalogue's rules for a task, constraints and kinds of input, joined."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from fathom.catalog import constraints, rules, tasks
from fathom.catalog.constraints import Constraint
from fathom.catalog.evidence import Choice, Evidence, Verdict
from fathom.catalog.tasks import Task
from fathom.errors import RequestError

USUAL_CONTEXT = 4096  # tokens


@dataclass(frozen=True)
class Wishes:
    """What a model is wanted for, and what it must not exceed.

    Attributes:
        machine: hardware by name; this machine if None.
        memory: bytes; the machine's if None.
        context: tokens that must fit, prompt and answer; if None, what is predicted is for
            `USUAL_CONTEXT` of them, and nothing is refused for it.
        tokens_per_second, first_token: the least speed, the longest wait in seconds.
        licence: its name, or "commercial" for any that allows it.
        price: US dollars for a million written tokens, of hosted models.
        quality: test → least result.
        parameters: the most there may be.
        stored: the type in which weights lie in memory.
    """

    task: str | None = None
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    constraints: tuple[str, ...] = ()
    machine: str | None = None
    memory: int | None = None
    context: int | None = None
    tokens_per_second: float | None = None
    first_token: float | None = None
    licence: str | None = None
    languages: tuple[str, ...] = ()
    price: float | None = None
    quality: Mapping[str, float] = field(default_factory=dict)
    parameters: int | None = None
    stored: str = "bfloat16"

    @property
    def length(self) -> int:
        """Tokens for which memory and speed are predicted."""
        return USUAL_CONTEXT if self.context is None else self.context


@dataclass(frozen=True)
class Decision:
    """A class, the second choice, and why.

    Attributes:
        best: what the rule answers; a constraint alone answers with its whole list.
        without: when no foundation model is needed, in words; else empty.
        rule: which rules were asked.
        classes: classes of the catalogue whose models do it.
        inputs, outputs: kinds that such a model must take and give.
        tests: results that count as evidence of quality, the first to be read first.
        changes: what would change the answer.
    """

    best: tuple[Choice, ...]
    second: tuple[Choice, ...]
    reason: str
    rule: str
    without: str = ""
    classes: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    tests: tuple[str, ...] = ("MMLU", "MMLU-Pro", "GSM8K")
    evidence: tuple[Evidence, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    changes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def decide(wishes: Wishes) -> Decision:
    """Return the class for a task, constraints, or kinds of input and output.

    Asked alone, a rule is answered to the letter; together, the task's answers are put in the
    order of the constraints.

    Raises:
        NotFoundError: for an unknown task, constraint or combination of inputs.
        RequestError: when nothing was asked, or two wishes contradict one another.
    """
    found = [constraints.find(name) for name in dict.fromkeys(wishes.constraints)]
    constraints.require_joined(found)
    if wishes.task is not None:
        task = tasks.find(wishes.task)
        _require_kinds(task, wishes)
        decided = _of_task(task)
    elif wishes.inputs or wishes.outputs:
        decided = _of_kinds(wishes)
    elif found:
        return _of_constraints(found)
    else:
        raise RequestError(
            "say what for: --task, --constraint, or --input and --output; "
            "`fathom choose --task chat` is one"
        )
    for constraint in found:
        decided = _joined(decided, constraint)
    return decided


def _of_task(task: Task) -> Decision:
    return Decision(
        best=task.best,
        second=task.second,
        reason=task.reason,
        rule=f"task {task.name}",
        without=task.without,
        classes=task.cards,
        inputs=task.inputs,
        outputs=task.outputs,
        tests=task.tests,
        evidence=task.evidence,
        verdicts=(task.verdict,),
        changes=task.changes,
    )


def _require_kinds(task: Task, wishes: Wishes) -> None:
    """Refuse kinds of input or output that the task has not."""
    for option, asked, own in (
        ("--input", wishes.inputs, task.inputs),
        ("--output", wishes.outputs, task.outputs),
    ):
        for kind in asked:
            if kind not in own:
                raise RequestError(
                    f"'--task {task.name}' and '{option} {kind}' contradict one another: the task "
                    f"has {', '.join(own)}; leave one out"
                )


def _of_kinds(wishes: Wishes) -> Decision:
    """Answer by the kinds of input; with outputs by the tasks that lie between the two."""
    between = tasks.between(wishes.inputs, wishes.outputs) if wishes.outputs else ()
    if between:
        others = [task.name for task in between[1:]]
        note = (f"other tasks of these kinds: {', '.join(others)}",) if others else ()
        return replace(_of_task(between[0]), notes=note)
    if not wishes.inputs:
        known = sorted({kind for task in tasks.tasks().values() for kind in task.outputs})
        raise RequestError(
            f"no task gives {', '.join(wishes.outputs)}; known are {', '.join(known)}"
        )
    choice, says = rules.by_modalities(wishes.inputs)
    rule = rules.find("modalities")
    return Decision(
        best=(choice,),
        second=(),
        reason=says,
        rule="kinds of input",
        classes=(choice.model_class,),
        inputs=wishes.inputs,
        evidence=rule.evidence,
        verdicts=(rule.verdict,),
    )


def _of_constraints(found: Sequence[Constraint]) -> Decision:
    """Answer with a constraint's list; with several, in their order, those first that all name."""
    first, *others = found
    named = [{choice.model_class for choice in other.choices} for other in others]
    shared = [
        choice for choice in first.choices if all(choice.model_class in other for other in named)
    ]
    listed = tuple(shared) if shared and others else first.choices
    notes: tuple[str, ...] = ()
    if others and not shared:
        listed = tuple(dict.fromkeys(choice for one in found for choice in one.choices))
        notes = ("no class is named by all of these; their lists follow one another",)
    classes = tuple(dict.fromkeys(choice.model_class for choice in listed))
    return Decision(
        best=listed,
        second=(),
        reason=" ".join(one.reason for one in found),
        rule="constraint " + ", ".join(one.name for one in found),
        classes=classes,
        evidence=tuple(piece for one in found for piece in one.evidence),
        verdicts=tuple(one.verdict for one in found),
        notes=notes,
    )


def _joined(decided: Decision, constraint: Constraint) -> Decision:
    """Put the answers in the order that a constraint gives, where it names any of them."""
    ways = {choice.model_class: choice for choice in constraint.choices}
    answers = (*decided.best, *decided.second)
    preferred = tuple(answer for answer in answers if answer.model_class in ways)
    rest = tuple(answer for answer in answers if answer.model_class not in ways)
    joined = replace(
        decided,
        rule=f"{decided.rule}, constraint {constraint.name}",
        reason=f"{decided.reason} {constraint.reason}",
        evidence=(*decided.evidence, *constraint.evidence),
        verdicts=(*decided.verdicts, constraint.verdict),
    )
    if not preferred:
        note = (
            f"'{constraint.name}' names no class that does this; it bears upon the models instead"
        )
        return replace(joined, notes=(*decided.notes, note))
    return replace(joined, best=preferred[:1], second=(*preferred[1:], *rest))
