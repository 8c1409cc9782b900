"""`fathom explain`: what a model is made of and what it costs to run, without its weights."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from fathom.cli.opening import pickle_argument
from fathom.cli.output import byte_text, print_columns, print_facts, print_json
from fathom.cli.progress import shown_progress
from fathom.cli.working import work_arguments, work_of

if TYPE_CHECKING:
    from fathom.planning.costs import Cost
    from fathom.planning.explanation import Explanation, Layers, Named, RoleCount
    from fathom.planning.running_code import Code
    from fathom.planning.staged_explanation import StagedExplanation

EXAMPLES = """\
  fathom explain smollm2:135m
  fathom explain ./config.json --context 4096 --dtype bfloat16
  fathom explain ./stable-diffusion --size 768 512 --steps 20
  fathom explain ./model --names --json
"""
_COUNTS = ((10**12, "T"), (10**9, "B"), (10**6, "M"))


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `explain`."""
    parser.add_argument(
        "name", metavar="NAME", help="catalogue name, folder, file, hub id or a config.json alone"
    )
    parser.add_argument("--context", type=int, help="tokens before the one whose cost is told")
    parser.add_argument("--dtype", help="count weights as if in this type (default: as stored)")
    parser.add_argument("--names", action="store_true", help="list the publisher's tensor names")
    pickle_argument(parser)
    work_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Print the page."""
    from fathom import library
    from fathom.planning.explanation import Explanation

    found = library.explain(
        args.name,
        allow_pickle=args.allow_pickle,
        progress=shown_progress(args.json),
        dtype=args.dtype,
        context=args.context,
        names=args.names,
        work=work_of(args),
    )
    if args.json:
        print_json(found)
        return 0
    if not isinstance(found, Explanation):
        from fathom.cli.staged import print_explanation

        print_explanation(found)
        return 0
    print_facts(list(_facts(found)))
    print(f"\n{found.outline}\n")
    print_columns([_HEAD, *_cost_rows(found)], right=frozenset(range(1, len(_HEAD))))
    print()
    print_origins(found, found.steps)
    return 0


def print_origins(found: Explanation | StagedExplanation, steps: Sequence[Code] = ()) -> None:
    """Print what parameters are for, where the code lies, and the names if they are asked for.

    `steps` are those of native programs, if they run in place of the code that defines them.
    """
    print_columns(list(role_rows(found.roles)), right=frozenset({1, 2, 3}))
    print()
    if steps:
        print_columns(code_rows("native steps that run", steps))
        print()
    print_columns(code_rows("code that defines it" if steps else "code that runs", found.code))
    if found.names:
        print()
        print_columns(name_rows(found.names))


def _facts(found: Explanation) -> Iterator[tuple[str, str]]:
    cost = found.cost
    yield "name", found.name
    yield "class", f"{found.model_class}: {found.rule}"
    yield "architecture", found.architecture
    yield "parameters", f"{cost.parameters:,} ({count_text(cost.parameters)})"
    if cost.active != cost.parameters:
        yield "active", f"{cost.active:,} ({count_text(cost.active)}) per token"
    yield "context", f"{found.limit:,} positions"
    weights = found.weights if found.weights == "as stored" else f"in {found.weights}"
    state = f", state in {found.state}" if found.cost.state_bytes else ""
    several = sum(bool(section.kinds) for section in found.sections) > 1
    token = "one token read and one written, each after" if several else "one token after"
    yield (
        "counted for",
        f"{token} {found.context:,} others; weights {weights}{state}",
    )
    yield from (("note", note) for note in found.notes)


_HEAD = ("cost of one token", "weights read", "FLOPs", "state kept", "each adds", "parameters")


def _cost_rows(found: Explanation) -> Iterator[tuple[str, ...]]:
    for section in found.sections:
        layers = sum(len(kind.layers) for kind in section.kinds)
        yield _cost_row(f"{section.path} ×{layers}" if layers else section.path, section.cost)
        for kind in section.kinds:
            yield from _kind_rows(kind)
    yield _cost_row("all", found.cost)


def _kind_rows(kind: Layers) -> Iterator[tuple[str, ...]]:
    name = f"one layer {kind.label}".rstrip()
    yield _cost_row(f"  {name}", kind.cost)
    yield from (_cost_row(f"    {row.path}", row.cost) for row in kind.rows)


def _cost_row(label: str, cost: Cost) -> tuple[str, ...]:
    return (
        label,
        byte_text(cost.weight_bytes),
        count_text(cost.operations),
        byte_text(cost.state_bytes) if cost.state_bytes else "",
        byte_text(cost.state_bytes_per_token) if cost.state_bytes_per_token else "",
        f"{cost.parameters:,}",
    )


def role_rows(roles: Sequence[RoleCount]) -> Iterator[tuple[str, ...]]:
    """Yield a table of parameters by role."""
    yield "role", "parameters", "share", "active"
    total = sum(role.parameters for role in roles)
    for role in roles:
        share = f"{role.parameters / total:.1%}"
        yield role.role, f"{role.parameters:,}", share, f"{role.active:,}"


def code_rows(head: str, code: Sequence[Code]) -> list[tuple[str, str]]:
    """Return a table of code and where it stands."""
    return [(head, ""), *((one.part, one.place) for one in code)]


def name_rows(names: Sequence[Named]) -> list[tuple[str, str]]:
    """Return a table of our names and the publisher's."""
    return [("our name", "the publisher's"), *map(_name_row, names)]


def _name_row(named: Named) -> tuple[str, str]:
    """Return our name and theirs; of many tensors, such as experts, the first and the last."""
    if len(named.theirs) <= 2:
        return named.ours, ", ".join(named.theirs)
    return named.ours, f"{named.theirs[0]} … {named.theirs[-1]} ({len(named.theirs)} tensors)"


def count_text(number: float) -> str:
    """Return '46.70 B': parameters or operations in the field's own short form."""
    for size, unit in _COUNTS:
        if number >= size:
            return f"{number / size:.2f} {unit}"
    return f"{number:,.0f}"
