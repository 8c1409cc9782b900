"""Where the code lies that will run a spec: file and line of each block, found without running it.

The tables that choose blocks stand in modules that need torch. They are read here as source
text, so that explaining a model loads nothing heavy.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from fathom.spec.parts import Part, children

# Module and name of each table from a spec's type to "module:class".
TABLES = (("fathom.models.assemble", "ARCHITECTURES"), ("fathom.blocks.build", "BLOCKS"))
PLAIN = frozenset({"Linear", "Table"})  # a matrix product and a row: not worth a reader's line


@dataclass(frozen=True)
class Code:
    """What computes one type of part, or translates one publisher's configuration."""

    part: str  # the spec's type, such as "Attention"
    file: Path
    line: int

    @property
    def place(self) -> str:
        """The place from the package on, as ``fathom/blocks/attention.py:17``."""
        parts = self.file.parts
        ours = len(parts) - 1 - parts[::-1].index("fathom") if "fathom" in parts else -2
        return f"{'/'.join(parts[ours:])}:{self.line}"


def running_code(model: Part) -> tuple[Code, ...]:
    """Return the code that runs a model, outermost first, each type of part once."""
    known = {key: path for table in TABLES for key, path in blocks(*table).items()}
    kinds = dict.fromkeys(_kinds(model))
    return tuple(
        Code(name, *_class_line(known[module, name]))
        for module, name in kinds
        if (module, name) in known and name not in PLAIN
    )


def step_code(kinds: Iterable[type]) -> tuple[Code, ...]:
    """Return where kinds of native steps are stated."""
    return tuple(
        Code(kind.__name__, Path(inspect.getfile(kind)), inspect.getsourcelines(kind)[1])
        for kind in kinds
    )


def translating_code(read: Callable[..., object], name: str) -> Code:
    """Return where a dialect's reader stands."""
    line = inspect.getsourcelines(read)[1]
    return Code(f"dialect {name}", Path(inspect.getfile(read)), line)


def _kinds(part: Part) -> Iterator[tuple[str, str]]:
    yield type(part).__module__.rpartition(".")[2], type(part).__name__
    for _, child in children(part):
        yield from _kinds(child)


@cache
def blocks(module: str, table: str) -> Mapping[tuple[str, str], str]:
    """Return a table as its source states it: (module, type) of the spec → "module:class"."""
    homes: dict[str, str] = {}  # a name → the module that it is imported from
    for statement in _parsed(module).body:
        if isinstance(statement, ast.ImportFrom) and statement.module:
            last = statement.module.rpartition(".")[2]
            homes.update({alias.asname or alias.name: last for alias in statement.names})
        if (
            isinstance(statement, ast.AnnAssign)
            and isinstance(statement.target, ast.Name)
            and statement.target.id == table
            and isinstance(statement.value, ast.Dict)
        ):
            return dict(_pairs(statement.value, homes))
    raise LookupError(f"{module} states no table '{table}' as a dictionary")


def _pairs(table: ast.Dict, homes: Mapping[str, str]) -> Iterator[tuple[tuple[str, str], str]]:
    """Yield the lines of a table, whose keys are ``module.Type`` or ``Type``."""
    for key, value in zip(table.keys, table.values, strict=True):
        match key, value:
            case (
                ast.Attribute(value=ast.Name(id=module), attr=name),
                ast.Constant(value=str(path)),
            ):
                yield (module, name), path
            case ast.Name(id=name), ast.Constant(value=str(path)):
                yield (homes[name], name), path


@cache
def _class_line(path: str) -> tuple[Path, int]:
    """Return the file and line where "module:class" is defined."""
    module, _, name = path.partition(":")
    for statement in _parsed(module).body:
        if isinstance(statement, ast.ClassDef) and statement.name == name:
            return _file(module), statement.lineno
    raise LookupError(f"{module} defines no class '{name}'")


@cache
def _parsed(module: str) -> ast.Module:
    return ast.parse(_file(module).read_text(encoding="utf-8"))


def _file(module: str) -> Path:
    found = find_spec(module)  # imports the packages around it, which hold nothing
    if found is None or found.origin is None:
        raise LookupError(f"there is no source of {module}")
    return Path(found.origin)
