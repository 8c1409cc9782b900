"""What a publisher says about a checkpoint beside its numbers: title, licence, lineage.

From GGUF keys, or from the front matter of the README beside the weights. Nothing is guessed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from fathom.checkpoint.description import Description

_README_BYTES = 1 << 20  # front matter comes first; the rest is prose


@dataclass(frozen=True)
class Facts:
    """Statements of the publisher; None or empty where there is none."""

    title: str | None = None
    licence: str | None = None
    lineage: tuple[str, ...] = ()


def facts(description: Description) -> Facts:
    """Return what the files of a checkpoint state about it."""
    contents = description.contents
    if contents is not None and contents.format == "gguf":
        return _from_gguf(contents.metadata)
    return _from_folder(description)


def _from_gguf(metadata: Mapping[str, object]) -> Facts:
    title, licence = metadata.get("general.name"), metadata.get("general.license")
    named = (f"general.base_model.{i}.name" for i in range(8))
    bases = [base for key in named if isinstance(base := metadata.get(key), str)]
    return Facts(
        title=title if isinstance(title, str) else None,
        licence=licence if isinstance(licence, str) else None,
        lineage=tuple(bases),
    )


def _from_folder(description: Description) -> Facts:
    title = description.config.get("_name_or_path")
    matter = _front_matter(description)
    return Facts(
        title=title if isinstance(title, str) and title else None,
        licence=next(iter(matter.get("license", ())), None),
        lineage=tuple(matter.get("base_model", ())),
    )


def _front_matter(description: Description) -> dict[str, list[str]]:
    """Read the plain ``key: value`` and ``key:`` + ``- value`` lines that open a README."""
    readme = description.folder / "README.md"
    if not readme.is_file():
        return {}
    with readme.open("rb") as stream:
        text = stream.read(_README_BYTES).decode("utf-8", errors="replace")
    found = re.match(r"---\r?\n(.*?)\r?\n---", text, flags=re.DOTALL)
    matter: dict[str, list[str]] = {}
    key = ""
    for line in found[1].splitlines() if found else ():
        if pair := re.fullmatch(r"(\w+):\s*(.*)", line):
            key = pair[1]
            matter[key] = [pair[2].strip("\"' ")] if pair[2] else []
        elif item := re.fullmatch(r"\s*-\s+([^:]+)", line):
            matter.setdefault(key, []).append(item[1].strip("\"' "))
    return matter
