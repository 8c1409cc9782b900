"""CONTRIBUTING.md against the house: its rooms, what each imports, its commands and its links."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "fathom"
PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
EVERYTHING = "all above"


def rooms() -> list[str]:
    """Return the folders and modules of the package, as they lie on disk."""
    folders = [path.parent.name for path in SOURCE.glob("*/__init__.py")]
    modules = [path.name for path in SOURCE.glob("*.py") if path.name != "__init__.py"]
    return sorted([*(f"{name}/" for name in folders), *modules])


def table() -> dict[str, set[str] | None]:
    """Return the rooms of the page in order, each with those that it names; None is all above."""
    rows = re.findall(r"^\| `([\w/.]+)` \|[^|]*\| ([^|]*) \|$", PAGE, re.MULTILINE)
    return {
        room: None if names == EVERYTHING else set(re.findall(r"\w+", names)) - {"nothing"}
        for room, names in rows
    }


def stem(room: str) -> str:
    return room.rstrip("/").removesuffix(".py")


def imported(room: str) -> set[str]:
    """Return the rooms that the source of a room imports, wherever in its files it does."""
    path = SOURCE / room.rstrip("/")
    files = path.rglob("*.py") if path.is_dir() else [path]
    found = {name for file in files for name in _imports(file)}
    return found & {stem(other) for other in rooms()} - {stem(room)}


def _imports(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module == "fathom":
            names = [f"fathom.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
        yield from (name.split(".")[1] for name in names if name.startswith("fathom."))


def test_every_room_has_a_row() -> None:
    assert sorted(table()) == rooms()


@pytest.mark.parametrize("room", rooms())
def test_a_room_imports_only_what_its_row_names(room: str) -> None:
    """Always rooms above it; `errors` and `confinement` are everybody's, so they are not named."""
    order = [stem(other) for other in table()]
    above = set(order[: order.index(stem(room))])
    named = table()[room]
    named = above if named is None else named
    assert named <= above
    assert imported(room) <= named | {"errors", "confinement"}


def test_the_order_is_that_of_the_import_contract() -> None:
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contract = config["tool"]["importlinter"]["contracts"][0]["layers"]
    level = {
        name: number
        for number, layer in enumerate(reversed(contract))
        for name in layer.split(" | ")
    }
    levels = [level[stem(room)] for room in table()]
    assert set(level) == {stem(room) for room in table()}
    assert levels == sorted(levels)


def test_the_commands_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    assert {"check", "test", "support"} <= set(re.findall(r"`make (\w+)`", PAGE)) <= targets


def test_the_links_lead_somewhere() -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", PAGE)
    assert links
    assert all((ROOT / link).exists() for link in links)
