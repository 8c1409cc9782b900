"""`fathom choose`: a class with its reason, then models that satisfy every hard constraint."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from fathom.cli.amounts import amount
from fathom.cli.output import (
    byte_text,
    on_terminal,
    print_columns,
    print_facts,
    print_json,
    rate_text,
    seconds_text,
)
from fathom.errors import RequestError

if TYPE_CHECKING:
    from fathom.catalog.evidence import Choice
    from fathom.planning.candidates import Candidate
    from fathom.planning.choosing import Answer, Relaxation
    from fathom.planning.deciding import Decision, Wishes
    from fathom.planning.hosting import Hosted

EXAMPLES = """\
  fathom choose                                            asks
  fathom choose --task segmentation
  fathom choose --constraint real-time
  fathom choose --task chat --machine "rtx 4090" --licence commercial
  fathom choose --task code --memory 8GB --weights q4_0 --quality HumanEval=50
  fathom choose --input image --input text --json
"""
SHOWN = 8  # candidates of a list; --all shows the rest


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `choose`."""
    add = parser.add_argument
    add("--task", metavar="NAME", help="what it is for: chat, code, segmentation …")
    add("--input", action="append", default=[], metavar="KIND", help="text, image, audio …")
    add("--output", action="append", default=[], metavar="KIND", help="text, image, masks …")
    add("--constraint", action="append", default=[], metavar="NAME", help="real-time, privacy …")
    add("--machine", metavar="NAME", help="hardware by name (default: this machine)")
    add("--memory", metavar="SIZE", help="at most so much: 8GB, 512MiB")
    add("--context", type=int, metavar="TOKENS", help="prompt and answer together")
    add("--speed", type=float, metavar="RATE", help="at least so many tokens/s written")
    add("--first-token", type=float, metavar="SECONDS", help="a full prompt's longest wait")
    add("--licence", metavar="NAME", help="its name, or 'commercial'")
    add("--language", action="append", default=[], metavar="NAME", help="stated by its maker")
    add("--price", type=float, metavar="DOLLARS", help="hosted: most per million tokens written")
    add("--quality", action="append", default=[], metavar="TEST=N", help="least result on a test")
    add("--max-params", metavar="N", help="at most so many parameters: 8B, 500M")
    add("--weights", default="bfloat16", metavar="TYPE", help="bfloat16, Q8_0, Q4_K_M …")
    add("--all", action="store_true", help="list every model, not the first eight")


def run(args: argparse.Namespace) -> int:
    """Print the class, the models, and what would change the answer."""
    from fathom.planning.choosing import choose

    if not (args.task or args.input or args.output or args.constraint):
        if args.json or not on_terminal(sys.stdin):
            raise RequestError(
                "say what for: --task, --constraint, or --input and --output; "
                "`fathom choose --task chat` is one"
            )
        _ask(args)
    answer = choose(_wishes(args))
    if args.json:
        print_json(answer)
        return 0
    print_facts(list(_decided(answer.decision)))
    print()
    _print_models(answer, everything=args.all)
    return 0


def _wishes(args: argparse.Namespace) -> Wishes:
    from fathom.planning.deciding import Wishes

    _require_positive(args)
    return Wishes(
        task=args.task,
        inputs=tuple(args.input),
        outputs=tuple(args.output),
        constraints=tuple(args.constraint),
        machine=args.machine,
        memory=None if args.memory is None else amount("--memory", args.memory),
        context=args.context,
        tokens_per_second=args.speed,
        first_token=args.first_token,
        licence=args.licence,
        languages=tuple(args.language),
        price=args.price,
        quality=dict(map(_least, args.quality)),
        parameters=None if args.max_params is None else amount("--max-params", args.max_params),
        stored=args.weights,
    )


def _require_positive(args: argparse.Namespace) -> None:
    for option in ("context", "speed", "first_token", "price"):
        value = getattr(args, option)
        if value is not None and not 0 < value < float("inf"):
            name = option.replace("_", "-")
            raise RequestError(f"--{name} {value:g} must be a number above zero")


def _least(text: str) -> tuple[str, float]:
    """Read 'MMLU=70'; the test is spelled as the evidence spells it."""
    from fathom.catalog.results import results
    from fathom.errors import nearest

    test, _, least = text.rpartition("=")
    known = {result.test for listed in results().values() for result in listed}
    spelled = {name.casefold(): name for name in known}
    if test.casefold() not in spelled:
        raise RequestError(
            f"--quality {text!r} names no test with results.{nearest(test, known)} "
            f"Known are: {', '.join(sorted(known))}"
        )
    try:
        return spelled[test.casefold()], float(least)
    except ValueError:
        raise RequestError(f"--quality {text!r} must be TEST=NUMBER, such as MMLU=70") from None


def _ask(args: argparse.Namespace) -> None:
    """Ask for what is needed; an empty line leaves a thing open."""
    from fathom.catalog.tasks import tasks

    print(f"What for? One of: {', '.join(tasks())}")
    args.task = input("task: ").strip() or None
    args.machine = input("machine (empty: this one): ").strip() or None
    args.memory = input("memory at most (empty: all of it): ").strip() or None
    args.licence = input("licence (empty: any; commercial): ").strip() or None
    args.constraint = [
        word.strip() for word in input("constraints, with commas: ").split(",") if word.strip()
    ]
    print()


def _decided(decision: Decision) -> Iterator[tuple[str, str]]:
    """Yield the class, the reason and the evidence as label and value."""
    from fathom.catalog.facts import address

    yield "class", _listed(decision.best)
    if decision.second:
        yield "second", _listed(decision.second)
    if decision.without:
        yield "no model needed", decision.without
    yield "because", decision.reason
    yield "rule", decision.rule
    for piece in decision.evidence:
        source = "the notes" if piece.source == "notes" else address(piece.source)
        yield "evidence", f"{piece.claim} ({piece.grade}, {source}, {piece.date})"
    for verdict in decision.verdicts:
        yield f"verdict: {verdict.state}", f"{verdict.says} ({verdict.date})"
    yield from (("note", note) for note in decision.notes)
    yield from (("would change it", change) for change in decision.changes)


def _listed(choices: tuple[Choice, ...]) -> str:
    return ", ".join(map(str, choices))


def _print_models(answer: Answer, *, everything: bool) -> None:
    """Print what satisfies all constraints, what was left out, and what would bring more."""
    if answer.hosted:
        print("hosted, US dollars for a million tokens; texts leave this machine")
        print_columns([_OFFERED, *map(_offered, answer.hosted)], right=frozenset({1, 2, 3}))
        print()
    if not answer.considered and answer.hosted:
        return
    if not answer.considered:
        print("The catalogue has no model with open weights and a known size for this.")
        return
    most = None if everything else SHOWN
    print(
        f"on {answer.target.name}, {byte_text(answer.target.memory)}, weights in "
        f"{answer.wishes.stored}, {answer.wishes.length:,} tokens\n"
        f"speed from {answer.target.basis}"
    )
    if answer.front:
        print_columns(
            [_HEAD, *(_row(one, answer) for one in answer.front[:most])], right=frozenset({1, 2, 3})
        )
    for line in _left_out(answer, most):
        print(line)
    if not answer.front and not answer.unproven:
        print("No model satisfies all of these.")
    if answer.nearest:
        one, faults = answer.nearest
        print(f"No one change is enough; nearest is {one.name}, which fails {' and '.join(faults)}")
    for change in answer.relaxations:
        print(_relaxed(change))


_HEAD = ("model", "memory", "writes", "first token", "results", "licence")


def _row(one: Candidate, answer: Answer) -> tuple[str, ...]:
    results = [one.result(test) for test in answer.decision.tests]
    told = [f"{each.test} {each.value:g} ({each.of}, {each.grade})" for each in results if each]
    rate, wait = one.tokens_per_second, one.first_token_seconds
    return (
        one.name,
        byte_text(one.memory_bytes) + ("" if one.predicted else " weights"),
        "unknown" if rate is None else rate_text(rate, "tokens"),
        "unknown" if wait is None else seconds_text(wait),
        "; ".join(told) or "none",
        one.licence or "unknown",
    )


_OFFERED = ("model", "read", "written", "context", "offer", "as of")


def _offered(one: Hosted) -> tuple[str, ...]:
    context = "unknown" if one.context is None else f"{one.context:,}"
    return one.title, f"{one.read:g}", f"{one.written:g}", context, one.offer, one.date


def _left_out(answer: Answer, most: int | None) -> Iterator[str]:
    hidden = 0 if most is None else max(0, len(answer.front) - most)
    if hidden:
        yield f"and {hidden} more that no other beats in everything; --all lists them"
    if answer.beaten:
        yield f"{answer.beaten} more fit and are beaten in results, speed and memory at once"
    if answer.unproven:
        named = answer.unproven[:most]
        listed = ", ".join(f"{one.name} ({byte_text(one.memory_bytes)})" for one in named)
        rest = len(answer.unproven) - len(named)
        more = f" and {rest} more" if rest else ""
        yield f"fit, without a result on these tests: {listed}{more}"
    for words, count in answer.refused.items():
        yield f"{count} of {answer.considered} fail: {words}"
    if answer.unknown:
        yield f"{answer.unknown} were left out because nobody states what was asked of them"


def _relaxed(change: Relaxation) -> str:
    """Return one line: the option, by how much, and what it brings."""
    amount = "another"
    if change.needed is not None:
        text = {
            "bytes": byte_text(change.needed),
            "tokens/s": f"{change.needed:.3g}",
            "s": f"{change.needed:.3g}",
        }
        amount = text.get(change.unit, f"{change.needed:,.10g}")
        if change.option == "--quality":
            amount = f"{change.unit}={change.needed:g}"
    results = ", ".join(f"{one.test} {one.value:g}" for one in change.candidate.results[:1])
    more = f" ({results})" if results else ""
    brought = f"would bring {change.candidate.name}{more}"
    return f"{change.option} {amount} in place of {change.asked} {brought}"
