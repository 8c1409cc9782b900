"""docs/support.md: what is proven, by which reference, and how closely; written by the proof.

    python tests/parity/support.py

runs the parity tests that compare with a reference and rewrites the page. What the page says
beside the measured errors is checked by `test_support.py` at every run of the tests.
"""

from __future__ import annotations

import math
import re
import sys
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parents[1]
PAGE = TESTS.parent / "docs" / "support.md"
ROWS = Path(__file__).with_name("rows.toml")
CONSTRAINTS = TESTS.parent / "constraints.txt"
COMPARING = "equal_the_reference or says_what_the_reference_says"  # the tests that are run

HEAD = """\
# What is supported, and how it was proven

Written by `make support`: do not edit. Every variant is a tiny random checkpoint that an
independent implementation wrote and that Fathom opened from the files. *Error* bounds the largest
difference of the results, relative to the largest value, in float32 over all variants of the row;
the tests refuse more than 1e-4. The same tests hold decoding with state, padded batches, bfloat16
and saving to the reference.

The reference is transformers {transformers} with torch {torch}, and of what makes pictures
diffusers {diffusers}, where nothing else is said.
"""
TITLES = {
    "cases": "Decoders",
    "cases_encoders": "Encoders",
    "cases_seq2seq": "Sequence to sequence",
    "cases_speech": "Speech",
    "cases_listening": "Listening and answering",
    "cases_vision": "Towers that see",
    "cases_segmenters": "Segmenters",
    "cases_detectors": "Detectors",
    "vision_language": "Seeing and answering",
    "generators": "Generators of pictures",
    "recursive": "Recursive solvers",
    "autoencoders": "Autoencoders of pictures",
    "denoisers": "Denoisers and nets that steer them",
    "pipelines": "Pipelines that make pictures",
}
WRITTEN_AS = {"mistral": "llama", "mixtral": "llama"}  # by ggml's own converters
SIZED = {"SLM": "decoder", "LLM": "decoder"}  # classes by size, which a tiny checkpoint lacks


@dataclass(frozen=True)
class Found:
    """What a run of the tests found about one model type."""

    model_class: str
    bound: str  # of the error, by power of ten: "1e-6"


def bound(error: float) -> str:
    """Return the power of ten above an error; nothing is claimed to be closer than 1e-7."""
    return f"1e{max(-7, math.ceil(math.log10(max(error, 1e-12))))}"


def tables() -> dict[str, Sequence[Any]]:
    """Return the cases of every table of the page."""
    from parity.conftest import TABLES, cases_of
    from parity.labelled import LABELLED

    return {**{table: cases_of(table) for table in TABLES.values()}, **LABELLED}


def render(found: Mapping[tuple[str, str], Found]) -> str:
    """Return the page; `found` is by table of cases and model type."""
    parts = [HEAD.format_map(versions())]
    for table, cases in tables().items():
        by_type: dict[str, list[Any]] = {}
        for case in cases:
            by_type.setdefault(case.model_type, []).append(case)
        parts.append(f"## {TITLES[table]}\n\n" + _table(table, by_type, found))
    return "\n".join((*parts, _alike(), _landscape()))


def versions() -> dict[str, str]:
    """Return the versions that `constraints.txt` pins, by distribution."""
    pins = re.findall(r"^([\w.-]+)==(\S+)", CONSTRAINTS.read_text(encoding="utf-8"), re.MULTILINE)
    return dict(pins)


def _table(
    table: str, by_type: Mapping[str, Sequence[Any]], found: Mapping[tuple[str, str], Found]
) -> str:
    lines = [
        "| model type | class | variants proven | error | GGUF | notes |",
        "|---|---|---|---|---|---|",
    ]
    for model_type, cases in sorted(by_type.items()):
        measured = found.get((table, model_type), Found("?", "?"))
        cells = (
            f"`{model_type}`",
            measured.model_class,
            _variants(cases),
            f"< {measured.bound}",
            _gguf(model_type, cases),
            "; ".join(_notes(cases)),
        )
        lines.append("| " + " | ".join(cells).rstrip() + " |")
    return "\n".join(lines) + "\n"


def _variants(cases: Sequence[Any]) -> str:
    labels = tuple(dict.fromkeys(case.label for case in cases))
    return ("; " if any("," in label for label in labels) else ", ").join(labels)


def _alike() -> str:
    """Return the classes of what makes pictures that a proven class's dialect opens alike."""
    from fathom.dialects.dialect import COMPONENTS

    proven = {case.model_type for cases in tables().values() for case in cases}
    others = ", ".join(f"`{kind}`" for kind in sorted(set(COMPONENTS) - proven))
    return (
        "Which pipeline a folder names makes no difference, its parts do; so these open too: "
        f"{others}.\n"
    )


def _gguf(model_type: str, cases: Sequence[Any]) -> str:
    """Return whether GGUF files of a model type open, and who else read the same file."""
    from fathom.dialects.gguf import ARCHITECTURES

    if model_type in WRITTEN_AS:
        return f"yes, written as {WRITTEN_AS[model_type]}"
    held = {getattr(case, "gguf", "") for case in cases}
    if "transformers" in held:
        return "yes, as transformers reads it"
    spelled = {spelling.model_type for spelling in ARCHITECTURES.values()}
    return "yes" if model_type in spelled or any(held) else "no"


def _notes(cases: Iterable[Any]) -> Iterable[str]:
    """Yield what the cases say, and where the reference is not the usual one."""
    said = [note for case in cases if (note := getattr(case, "notes", ""))]
    if not said and any(getattr(case, "build", None) is not None for case in cases):
        said = ["reference written in the tests from the published description"]
    yield from dict.fromkeys(said)


def rows() -> list[dict[str, Any]]:
    """Return the models of the landscape whose weights are open."""
    found: list[dict[str, Any]] = tomllib.loads(ROWS.read_text(encoding="utf-8"))["row"]
    return found


def _landscape() -> str:
    """Return the models by the dialect that opens them, and those that none does."""
    named: dict[str, list[str]] = {}
    for row in rows():
        told = f" ({row['note']})" if "note" in row else ""
        for model_type in row.get("types", ()):
            named.setdefault(model_type, []).append(f"{row['name']}{told}")
    lines = ["## Models of the landscape\n", "| model type | models |", "|---|---|"]
    lines += [f"| `{kind}` | {'; '.join(names)} |" for kind, names in sorted(named.items())]
    lines += ["", "## Not covered\n"]
    missing = [row for row in rows() if "not_covered" in row]
    return (
        "\n".join([*lines, *(f"- {row['name']}: {row['not_covered']}." for row in missing)]) + "\n"
    )


def read(page: str) -> dict[tuple[str, str], Found]:
    """Return what a page says was found, as `render` wrote it."""
    tables = {title: table for table, title in TITLES.items()}
    found: dict[tuple[str, str], Found] = {}
    table = ""
    for line in page.splitlines():
        if line.startswith("## "):
            table = tables.get(line[3:], "")
        row = re.match(r"\| `([^`]+)` \| ([^|]+) \| [^|]* \| < (\S+) \|", line)
        if row and table:
            found[table, row[1]] = Found(row[2], row[3])
    return found


class Recorder:
    """Collects what the `measured` fixture noted, from every worker."""

    def __init__(self) -> None:
        self.notes: dict[str, dict[str, Any]] = {}

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Keep the note of a test that passed; of several on one case, the widest error."""
        if report.when == "call" and report.passed:
            for key, note in report.user_properties:
                if key == "support":
                    before = self.notes.get(note["case"], note)
                    self.notes[note["case"]] = max(before, note, key=lambda one: one["error"])

    def found(self) -> dict[tuple[str, str], Found]:
        """Return the notes joined by model type: the widest error, and the classes met.

        Raises:
            LookupError: for a case that no test measured.
        """
        notes: dict[tuple[str, str], list[dict[str, Any]]] = {}
        for table, cases in tables().items():
            for case in cases:
                notes.setdefault((table, case.model_type), []).append(self.notes[case.id])
        return {
            key: Found(
                ", ".join(dict.fromkeys(SIZED.get(n["class"], n["class"]) for n in several)),
                bound(max(note["error"] for note in several)),
            )
            for key, several in notes.items()
        }


def main() -> int:
    """Run the proof and rewrite the page."""
    import pytest

    sys.path.insert(0, str(TESTS))
    recorder = Recorder()
    here = str(Path(__file__).parent)
    code = pytest.main(["-q", "-n", "2", here, "-k", COMPARING], plugins=[recorder])
    if code:
        return int(code)
    PAGE.write_text(render(recorder.found()), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
