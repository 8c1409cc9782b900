"""`fathom measurements`: what runs and benches measured on this machine, listed or exported."""

from __future__ import annotations

import argparse
import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from fathom.checkpoint.storage import unwritten, write_text
from fathom.cli.output import Json, byte_text, plain, print_columns, print_json, rate_text
from fathom.errors import RequestError
from fathom.planning.records import DECODE, PREFILL, TEXTS, TOTAL, Figure, Record
from fathom.planning.store import forget, records, store_file

EXAMPLES = """\
  fathom measurements
  fathom measurements smollm2:135m --json
  fathom measurements --export measurements.csv
  fathom measurements smollm2:135m --forget
"""
SHOWN = 40  # records in a list for people; an export has them all


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `measurements`."""
    parser.add_argument(
        "name", metavar="NAME", nargs="?", help="a model, or the first digits of its digest"
    )
    parser.add_argument("--kind", choices=("run", "bench"), help="only those of one verb")
    parser.add_argument("--export", type=Path, metavar="FILE", help="write a .csv or .jsonl file")
    parser.add_argument("--forget", action="store_true", help="delete them instead")


def run(args: argparse.Namespace) -> int:
    """List, export or delete."""
    if args.forget:
        if args.export is not None or args.kind is not None:
            raise RequestError("--forget goes with a name or nothing, not --export or --kind")
        count = forget(args.name)
        print_json({"forgotten": count}) if args.json else print(f"{count:,} forgotten")
        return 0
    wanted = {"subject_name": args.name, "kind": args.kind}
    found = records(**{column: value for column, value in wanted.items() if value is not None})
    if args.export is not None:
        return _export(args.export, found, as_json=args.json)
    if args.json:
        print_json({"file": store_file(), "records": found})
        return 0
    if not found:
        print("nothing measured yet; `fathom run` and `fathom bench` keep records")
        return 0
    print_columns([_HEAD, *map(_line, found[-SHOWN:])], right=frozenset(range(4, len(_HEAD))))
    left = len(found) - SHOWN
    print(f"\n{f'{left:,} earlier ones not shown; ' if left > 0 else ''}kept in {store_file()}")
    return 0


_HEAD = ("when", "model", "kind", "type", "context", "batch", "reading", "writing", "memory", "")


def _line(record: Record) -> tuple[str, ...]:
    how = record.settings
    writing = record.figures.get(DECODE, Figure())
    return (
        record.time[:16].replace("T", " "),
        record.subject.name,
        record.kind,
        how.dtype,
        f"{how.context:,}",
        f"{how.batch:,}",
        _rate(record.figures.get(PREFILL, Figure())),
        _rate(writing) if writing.measured else _texts(record.figures.get(TEXTS, Figure())),
        _bytes(record.figures.get(TOTAL, Figure())),
        _of_predicted(writing),
    )


def _rate(figure: Figure) -> str:
    return "–" if figure.measured is None else rate_text(figure.measured, "tokens")


def _texts(figure: Figure) -> str:
    return "–" if figure.measured is None else rate_text(figure.measured, "texts")


def _bytes(figure: Figure) -> str:
    return "–" if figure.measured is None else byte_text(figure.measured)


def _of_predicted(figure: Figure) -> str:
    return "" if figure.ratio is None else f"{figure.ratio:.0%} of predicted"


def _export(file: Path, found: Sequence[Record], *, as_json: bool) -> int:
    """Write all records to a file, whole or not at all."""
    writers = {".csv": _csv, ".jsonl": _jsonl}
    if file.suffix not in writers:
        raise RequestError(f"--export {file}: the name of the file must end with .csv or .jsonl")
    try:
        write_text(file, writers[file.suffix](found))
    except OSError as error:
        raise unwritten(file, error) from error
    if as_json:
        print_json({"file": file, "records": len(found)})
    else:
        print(f"{len(found):,} records in {file}")
    return 0


def _jsonl(found: Sequence[Record]) -> str:
    return "".join(json.dumps(plain(record), ensure_ascii=False) + "\n" for record in found)


def _csv(found: Sequence[Record]) -> str:
    """One line per record; a figure has a column for each of predicted, measured, spread."""
    rows = [flat(record) for record in found]
    columns = list(dict.fromkeys(column for row in rows for column in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def flat(record: Record) -> dict[str, Json]:
    """Return a record without nesting: 'settings.dtype', 'memory_state.measured' …

    What nobody knows is left out.
    """
    content = plain(record)
    assert isinstance(content, dict)
    figures = content.pop("figures")
    assert isinstance(figures, dict)
    return dict(_flattened({**content, **figures}, ""))


def _flattened(value: Mapping[str, Json], prefix: str) -> list[tuple[str, Json]]:
    pairs: list[tuple[str, Json]] = []
    for name, part in value.items():
        if isinstance(part, dict):
            pairs += _flattened(part, f"{prefix}{name}.")
        elif part is not None:
            pairs.append((prefix + name, part))
    return pairs
