"""`fathom fit`: does a model fit on a machine, how fast will it be, and what would fit instead."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING

from fathom.cli.opening import pickle_argument
from fathom.cli.output import (
    Facts,
    byte_text,
    print_columns,
    print_facts,
    print_json,
    rate_text,
    seconds_text,
)
from fathom.cli.progress import shown_progress
from fathom.cli.working import work_arguments, work_of

if TYPE_CHECKING:
    from fathom.planning.fit import Fit
    from fathom.planning.staged_fit import StagedFit

EXAMPLES = """\
  fathom fit smollm2:135m
  fathom fit ./config.json --on rtx4090 --context 32768
  fathom fit ./model --on "H100 SXM" --batch 16 --quant Q4_K_M --why
  fathom fit ./config.json --train lora --context 2048
  fathom fit ./stable-diffusion --size 768 512 --steps 20
  fathom fit --table
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `fit`."""
    parser.add_argument(
        "name",
        metavar="NAME",
        nargs="?",
        help="catalogue name, folder, file, hub id or a config.json alone",
    )
    parser.add_argument(
        "--on", default="this", metavar="HARDWARE", help="such as rtx4090; by default this machine"
    )
    parser.add_argument("--context", type=int, help="tokens per sequence")
    parser.add_argument(
        "--batch", type=int, default=1, help="sequences, pictures or sounds at once"
    )
    parser.add_argument("--dtype", help="type to compute in")
    parser.add_argument("--quant", help="count weights as packed: Q4_K_M, Q8_0, int8 …")
    parser.add_argument("--train", choices=("full", "lora"), help="count what training needs")
    parser.add_argument("--why", action="store_true", help="print the arithmetic of each term")
    parser.add_argument(
        "--table", action="store_true", help="the rule of thumb beside what formats really take"
    )
    pickle_argument(parser)
    parser.add_argument(
        "--resting", action="store_true", help="components of a pipeline in memory only at work"
    )
    work_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Print the verdict and what it rests on. The exit code is 0 also where it does not fit."""
    if args.table:
        return _table(args.json)
    if args.name is None:
        from fathom.errors import RequestError

        raise RequestError("name a model, or ask for --table; see `fathom fit --help`")
    from fathom import library
    from fathom.planning.fit import Fit

    found = library.fit(
        args.name,
        allow_pickle=args.allow_pickle,
        progress=shown_progress(args.json),
        on=args.on,
        context=args.context,
        batch=args.batch,
        dtype=args.dtype,
        quant=args.quant,
        train=args.train,
        work=work_of(args),
        resting=args.resting,
    )
    if args.json:
        print_json({**vars(found), "total_bytes": found.prediction.total_bytes})
        return 0
    if not isinstance(found, Fit):
        from fathom.cli.staged import print_fit

        print_fit(found, why=args.why)
        return 0
    print_facts(_head(found))
    print()
    print_columns(list(term_rows(found)), right=frozenset({1, 2, 3}))
    print()
    print_facts(list(_speed(found)))
    print_grounds(found, why=args.why)
    return 0


def _head(found: Fit) -> Facts:
    asked = found.prediction
    return [
        ("model", found.name),
        ("machine", f"{found.machine}, {byte_text(found.memory_bytes)} for the model"),
        (
            "counted for",
            f"{asked.context:,} tokens × {asked.batch:,} sequences, weights {found.weights},"
            f" computed in {asked.dtype}",
        ),
        ("runs as", found.runs_as),
        ("verdict", found.verdict),
    ]


def term_rows(found: Fit | StagedFit) -> Iterator[tuple[str, ...]]:
    """Yield the terms of memory and their total, in bytes, GB and GiB."""
    yield "memory", "bytes", "GB", "GiB"
    terms = {**found.prediction.terms, "total": found.prediction.total_bytes}
    for name, count in terms.items():
        yield name, f"{count:,}", f"{count / 1e9:.3f}", f"{count / 2**30:.3f}"


def _speed(found: Fit) -> Iterator[tuple[str, str]]:
    asked = found.prediction
    reading, writing = asked.prefill_tokens_per_second, asked.decode_tokens_per_second
    if reading is None:
        yield "speed", "not predicted: this machine has not been measured; `fathom run` does it"
        return
    yield "reading", rate_text(reading, "tokens")
    if writing is not None:
        yield "writing", f"{rate_text(writing, 'tokens')}, limited by {asked.limit}"
        prompt = max(1, asked.context // 2)
        seconds = asked.seconds_to_first_token(prompt)
        if seconds is not None:
            yield "first token", f"{seconds_text(seconds)} after a prompt of {prompt:,} tokens"
    if found.load_seconds is not None:
        yield "loading", f"{seconds_text(found.load_seconds)} from a disk that no cache helps"


def print_grounds(found: Fit | StagedFit, *, why: bool) -> None:
    """Print what would fit instead, the arithmetic if it is asked for, and what was assumed."""
    if found.remedies:
        print()
        rows = [("would fit", "total", "at the cost of")]
        rows += [(one.change, byte_text(one.total_bytes), one.cost) for one in found.remedies]
        print_columns(rows, right=frozenset({1}))
    if why:
        print()
        print_facts(list(found.reasons.items()))
    print()
    for line in found.assumptions:
        print(f"· {line}")


def _table(as_json: bool) -> int:
    from fathom.planning.landscape_table import FORMATS, landscape_table

    lines = landscape_table()
    if as_json:
        print_json(lines)
        return 0
    rows = [("params", "fp16", "4-bit", *(f"{name} GB" for name in FORMATS))]
    for line in lines:
        sizes = (f"{line.formats[name] / 1e9:.2f}" for name in FORMATS)
        rows.append((line.size, line.fp16, line.four_bit, *sizes))
    print_columns(rows, right=frozenset(range(1, len(rows[0]))))
    print("\nweights alone, 1 GB = 10^9 bytes; state, workspace and runtime come on top")
    return 0
