"""What documents show is what the programs print."""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

import pytest

from documents.outputs import Block, blocks, output_of, shape
from fathom.cli.main import VERBS

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
README = blocks((ROOT / "README.md").read_text(encoding="utf-8"))
AGAIN = [block for block in README if not block.once]


def names(lines: Sequence[str]) -> set[str]:
    """Return what stands before a column, less what has figures in its own name."""
    found = {line.partition("  ")[0] for line in lines if "  " in line}
    return {name for name in found if not re.search(r"\d", name)}


@pytest.mark.slow
@pytest.mark.parametrize("block", AGAIN, ids=[block.command for block in AGAIN])
def test_the_readme_shows_what_is_printed(block: Block) -> None:
    """`python tests/documents/outputs.py README.md` renews it."""
    now = [f"$ {block.command}", *output_of(block.command).splitlines()]
    if block.varies:  # the figures have the same names; an answer's words and models may differ
        labels = names(block.text.splitlines())
        assert labels <= names(now)
        assert len(labels) >= 4
    else:
        assert shape("\n".join(now)) == shape(block.text)


def test_what_the_readme_shows_once_can_still_be_asked() -> None:
    once = [block for block in README if block.once]
    assert once
    for block in once:
        program, verb, *words = shlex.split(block.command)
        module = import_module(VERBS[verb].module)
        parser = argparse.ArgumentParser(exit_on_error=False)
        module.arguments(parser)
        parser.parse_args(words)
        assert program == "fathom"
        assert block.text.startswith(f"$ {block.command}\n")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    prose = re.sub(r"^```.*?^```", "", document.read_text(encoding="utf-8"), flags=re.M | re.S)
    targets = re.findall(r"\]\(([^)#]+)[^)]*\)", prose)
    for target in targets:
        if not target.startswith("http"):
            assert (document.parent / target).exists(), f"{document.name} links to {target}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_documents_name_no_private_place(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    assert not re.search(r"/(root|home|work)/", text)
