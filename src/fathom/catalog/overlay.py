"""What this machine's user has merged over the shipped catalogue: one fact on a line, as JSON.

A line that cannot be read is left aside with a note that names file, line and field; the shipped
value stands. So a broken overlay never stops a command.
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from fathom.catalog import facts
from fathom.catalog.facts import FIELDS, Fact

if TYPE_CHECKING:
    from fathom.catalog.models import Model

_KEYS = ("model", "field", "value", "source", "date", "licence")


@dataclass(frozen=True, slots=True)
class Line:
    """One line: what a source says about one field of one model.

    Attributes:
        licence: under which the source gives it; "unknown" stays on this machine.
    """

    model: str
    field: str
    fact: Fact
    licence: str


def place() -> Path:
    """Return the file: in ``FATHOM_DATA``, or in the platform's place for a user's data."""
    chosen = os.environ.get("FATHOM_DATA")
    if chosen:
        return Path(chosen).expanduser() / "catalog.jsonl"
    from platformdirs import user_data_path

    return user_data_path("fathom") / "catalog.jsonl"


def read(file: Path | None = None) -> tuple[Line, ...]:
    """Return the lines that can be read; warn of the others."""
    file = file or place()
    try:
        stat = file.stat()  # what is written within one tick of its clock has the same time
        lines, faults = _read(file, (stat.st_ino, stat.st_size, stat.st_mtime_ns))
    except FileNotFoundError:
        return ()
    except OSError as error:
        lines, faults = (), (f"{file.name} cannot be read ({error.strerror})",)
    for fault in faults:
        warnings.warn(f"{fault}; the shipped value stands", stacklevel=2)
    return lines


@cache
def _read(file: Path, stamp: tuple[int, int, int]) -> tuple[tuple[Line, ...], tuple[str, ...]]:
    lines: list[Line] = []
    faults: list[str] = []
    content = file.read_bytes().decode("utf-8", errors="replace")
    for number, text in enumerate(content.splitlines(), start=1):
        if text.strip():
            try:
                lines.append(_line(text))
            except ValueError as error:
                faults.append(f"{file.name}, line {number}: {error}")
    return tuple(lines), tuple(faults)


def _line(text: str) -> Line:
    try:
        row = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"is not JSON: {error.msg} at column {error.colno}") from None
    if not isinstance(row, dict):
        raise ValueError("must be one JSON object")
    for key in _KEYS:
        if key not in row:
            raise ValueError(f"'{key}' is missing")
        if key != "value" and not isinstance(row[key], str):
            raise ValueError(f"'{key}' must be text")
    try:
        content = {"is": row["value"], "source": row["source"], "basis": "compared"}
        fact = facts.fact(row["field"], {**content, "date": row["date"]}, "", "")
    except ValueError as error:
        raise ValueError(f"'{row['field']}' {error}") from None
    return Line(row["model"], row["field"], fact, row["licence"])


def write(lines: Iterable[Line], file: Path | None = None) -> Path:
    """Write an overlay as a whole: it is there complete or not at all."""
    file = file or place()
    file.parent.mkdir(parents=True, exist_ok=True)
    beside = file.with_name(f"{file.name}.{os.getpid()}")
    beside.write_text("".join(_text(line) + "\n" for line in lines), encoding="utf-8")
    beside.replace(file)
    return file


def _text(line: Line) -> str:
    told = asdict(line.fact)
    row = {
        "model": line.model,
        "field": line.field,
        "value": told["value"],
        "source": told["source"],
        "date": told["date"],
        "licence": line.licence,
    }
    return json.dumps(row, ensure_ascii=False)


def merge(model: Model, lines: Sequence[Line]) -> Model:
    """Return a card that knows what the lines say.

    Of what changes, the newest source speaks first; of what does not, the shipped value, which
    names its publisher. Whatever is displaced is kept beside it.
    """
    spoken = dict(model.facts)
    elsewhere = {name: list(others) for name, others in model.elsewhere.items()}
    for line in lines:
        old = spoken.get(line.field)
        if old is None or old.value == line.fact.value:
            spoken[line.field] = line.fact
            continue
        newer = FIELDS[line.field].changes and line.fact.date >= old.date
        spoken[line.field] = line.fact if newer else old
        elsewhere.setdefault(line.field, []).append(old if newer else line.fact)
    return replace(
        model, facts=spoken, elsewhere={name: tuple(told) for name, told in elsewhere.items()}
    )
