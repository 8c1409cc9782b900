"""What the reader sees: JSON for programs, aligned facts for people, numbers with their units.

On a terminal facts are set with rich, which is imported only then, and columns keep to its width; a
pipe gets plain lines.
"""

from __future__ import annotations

import json
import math
import shutil
import sys
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from itertools import zip_longest
from pathlib import Path
from typing import TextIO, TypeAlias

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
Facts: TypeAlias = Sequence[tuple[str, str]]

_NARROWEST = 8  # letters of a column that is cut to fit
_BYTE_UNITS = ((10**12, "TB"), (10**9, "GB"), (10**6, "MB"), (10**3, "kB"))


def on_terminal(stream: TextIO | None) -> bool:
    """Whether a person is at the other end; a stream that was closed at the start is ``None``."""
    return stream is not None and stream.isatty()


def plain(value: object) -> Json:
    """Turn dataclasses, mappings, sequences and paths into what JSON knows.

    A number that is not finite becomes null: JSON has no word for it. Anything else that JSON
    does not know raises TypeError.
    """
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Path):
        return str(value)
    if is_dataclass(value) and not isinstance(value, type):
        return {part.name: plain(getattr(value, part.name)) for part in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(part) for key, part in value.items()}
    if isinstance(value, Sequence | set | frozenset) and not isinstance(value, bytes | bytearray):
        return [plain(part) for part in value]
    raise TypeError(f"a {type(value).__name__} has no form in JSON")


def print_json(value: object) -> None:
    """Print one JSON object on stdout: indented on a terminal, one line in a pipe."""
    indent = 2 if on_terminal(sys.stdout) else None
    print(json.dumps(plain(value), ensure_ascii=False, indent=indent, allow_nan=False))


def print_facts(facts: Facts) -> None:
    """Print label and value, one fact per line."""
    if on_terminal(sys.stdout):
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        grid = Table.grid(padding=(0, 2))
        for label, value in facts:
            grid.add_row(Text(label, style="dim"), Text(value))
        Console(highlight=False).print(grid)
        return
    width = max((len(label) for label, _ in facts), default=0)
    for label, value in facts:
        print(f"{label:<{width}}  {value}".rstrip())


def print_columns(rows: Sequence[Sequence[str]], *, right: frozenset[int] = frozenset()) -> None:
    """Print rows in aligned columns; those numbered in `right` hold numbers."""
    width = shutil.get_terminal_size().columns if on_terminal(sys.stdout) else None
    for line in column_lines(rows, right=right, width=width):
        print(line)


def column_lines(
    rows: Sequence[Sequence[str]],
    *,
    right: frozenset[int] = frozenset(),
    width: int | None = None,
) -> list[str]:
    """Return rows as lines of aligned columns.

    With a `width` the widest columns are narrowed until a line fits, and their cells go on below.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    if width is not None:
        widths = _narrowed(widths, width)
        rows = [line for row in rows for line in _wrapped(row, widths)]
    return [
        "  ".join(
            f"{cell:>{wide}}" if column in right else f"{cell:<{wide}}"
            for column, (cell, wide) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _narrowed(widths: Sequence[int], room: int) -> list[int]:
    """Take a letter at a time from the widest column, until all fit or none can give more."""
    found = list(widths)
    while sum(found) + 2 * (len(found) - 1) > room and max(found) > _NARROWEST:
        found[found.index(max(found))] -= 1
    return found


def _wrapped(row: Sequence[str], widths: Sequence[int]) -> list[tuple[str, ...]]:
    """Return the lines of one row."""
    cells = [
        textwrap.wrap(cell, wide) if len(cell) > wide else [cell]
        for cell, wide in zip(row, widths, strict=True)
    ]
    return list(zip_longest(*cells, fillvalue=""))


def byte_text(count: float) -> str:
    """Return '98.3 MB': decimal units, three figures."""
    for size, unit in _BYTE_UNITS:
        if count >= size:
            return f"{_three_figures(count / size)} {unit}"
    return f"{count:.0f} bytes"


def rate_text(per_second: float, unit: str) -> str:
    """Return '41.3 tokens/s'."""
    return f"{_three_figures(per_second)} {unit}/s"


def seconds_text(seconds: float) -> str:
    """Return '340 ms' or '12.3 s'."""
    if seconds < 1:
        return f"{_three_figures(seconds * 1000)} ms"
    return f"{_three_figures(seconds)} s"


def _three_figures(number: float) -> str:
    """Return 3 significant figures and never an exponent; whole numbers beyond that keep all."""
    if number >= 99.95:
        return f"{number:,.0f}"
    return f"{number:.1f}" if number >= 9.995 else f"{number:.2f}"
