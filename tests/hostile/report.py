"""``docs/security.md``, written by the run of the catalogue.

    python benchmarks/opening.py > opening.txt                  # alone on the machine
    python tests/hostile/report.py --opening opening.txt        # every case at every door

Without ``--opening`` the sentence that the document holds already stays.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
if __name__ == "__main__":
    sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "src")]

from fathom.inputs import chat  # noqa: E402  the path is set above
from fathom.inputs.tokenizer import Tokenizer  # noqa: E402
from hostile import mutations, requests  # noqa: E402
from hostile.benign import TEMPLATE, write_model  # noqa: E402
from hostile.case import Case  # noqa: E402  the path is set above
from hostile.parsers import PARSERS, last_run  # noqa: E402
from hostile.parsers import found as inputs  # noqa: E402
from hostile.runner import Runner  # noqa: E402
from hostile.tables import TABLES  # noqa: E402
from hostile.words import ELSEWHERE, OPEN, THREATS  # noqa: E402

DOCUMENT = ROOT / "docs" / "security.md"
PACKAGES = ("torch", "tokenizers", "jinja2", "safetensors", "gguf", "huggingface_hub")


def attempts(case: Case) -> list[tuple[Case, str]]:
    """Every attempt that a case asks for, its twin's among them."""
    found = [(case, door) for door in case.doors]
    if case.twin is not None:
        twin = replace(case, build=case.twin, code="", twin=None)
        found += [(twin, door) for door in case.twin_doors]
    return found


def run(runner: Runner, folder: Path) -> dict[str, Counter[str]]:
    """Try everything; by table, how many cases, attempts, and attempts that went as promised."""
    counts: dict[str, Counter[str]] = {}
    for name, cases in TABLES.items():
        counts[name] = Counter(cases=len(cases))
        tried = [pair for case in cases for pair in attempts(case)]
        for number, (case, door) in enumerate(tried):
            place = folder / f"{name}-{number}"
            place.mkdir()
            complaints = runner.complaints(case, door, place)
            counts[name]["attempts"] += 1
            counts[name]["passed"] += not complaints
            if complaints:
                sys.stderr.write(f"{case.name}, {door}: {complaints}\n")
    return counts


def growths(folder: Path) -> list[str]:
    """TK-23: processor time of texts that double in length, the least of two each."""
    found = [
        "| text | seconds of 1 MiB | 2 MiB by 1 | 4 MiB by 2 |",
        "|---|---:|---:|---:|",
    ]
    tokenizer = Tokenizer.from_folder(write_model(folder / "growth"))
    for name, character in REPEATED.items():
        texts = [character * (size // len(character.encode())) for size in SIZES]
        one, two, four = (min(_encoding(tokenizer, text) for _ in range(2)) for text in texts)
        found.append(f"| {name} | {one:.2f} | {two / one:.2f} | {four / two:.2f} |")
    return found


SIZES = (1 << 20, 1 << 21, 1 << 22)  # bytes
REPEATED = {"one letter": "a", "spaces": " ", "one emoji": "\N{GRINNING FACE}"}


def _encoding(tokenizer: Tokenizer, text: str) -> float:
    begun = time.process_time()
    tokenizer.encode(text)
    return time.process_time() - begun


def turn_milliseconds(turns: int = 200) -> float:
    """How much longer a turn of a chat takes by the child than without; the median."""
    messages = [{"role": role, "content": "hello " * 200} for role in ("user", "assistant") * 5]
    template = chat.ChatTemplate(TEMPLATE)
    template.render(messages)
    more = []
    for _ in range(turns):
        begun = time.perf_counter()
        template.render(messages)
        between = time.perf_counter()
        chat.render_source(TEMPLATE, {"messages": messages, "add_generation_prompt": True})
        more.append(2 * between - begun - time.perf_counter())
    return 1000 * statistics.median(more)


@dataclass(frozen=True)
class Findings:
    """What the document tells: cases by table, tables in its own words, and how long it took."""

    counts: dict[str, Counter[str]]
    mutations: list[str]
    growths: list[str]
    opening: str
    seconds: float


def written(findings: Findings) -> str:
    """The document."""
    counts, seconds = findings.counts, findings.seconds
    day = datetime.now(UTC).strftime("%d %B %Y")
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    rows = [
        f"| {name} | {ids(TABLES[name])} | {count['cases']} | {count['attempts']} |"
        f" {count['passed']} |"
        for name, count in counts.items()
    ]
    total = sum(counts.values(), Counter())
    open_rows = [f"| {line} | {reason} |" for line, reason in OPEN.items()]
    return "\n".join(
        [
            *THREATS.splitlines(),
            "",
            "## What was tried",
            "",
            f"Run on {day} with Python {platform.python_version()}, {packages}; it took"
            f" {seconds:.0f} s. `python tests/hostile/report.py` repeats it and writes this page.",
            "",
            "| format | lines of the catalogue | cases | attempts | as promised |",
            "|---|---|---:|---:|---:|",
            *rows,
            f"| all | | {total['cases']} | {total['attempts']} | {total['passed']} |",
            "",
            "An attempt is one file at one door (`inspect`, `open`, `convert`, a reader alone), in"
            " a process with limits and an audit hook; a sound file is opened after it. Each"
            " refused file has a twin, as near as can be, that is accepted. The lines are those of"
            " a catalogue of what befell other libraries; GG-58 was found here.",
            "",
            f"A turn of a chat of ten messages takes {turn_milliseconds():.1f} ms more by the"
            " child than without, the median of 200 in turns.",
            "",
            findings.opening,
            "",
            "Time grows a little faster than the length of a text and far from its square, which"
            " would take four times as long for twice the length (TK-23). Here the sound model's"
            " byte-level vocabulary reads one character over and over:",
            "",
            *findings.growths,
            "",
            "## What the tests would notice",
            "",
            "Each check is taken away and its case tried again: it must then end otherwise."
            " `python tests/hostile/mutations.py` repeats it.",
            "",
            *findings.mutations,
            "",
            "## What was fuzzed",
            "",
            "By atheris, guided by coverage: `python tests/hostile/fuzz_parsers.py`. The inputs"
            " that were kept reach different code; the tests replay and mutate them.",
            "",
            "| parser | last run | inputs kept |",
            "|---|---|---:|",
            *(f"| {name} | {last_run(name)} | {len(inputs(name))} |" for name in PARSERS),
            "",
            "## Where else",
            "",
            "Lines that no single file can show are tests of their own:",
            "",
            "| lines | where |",
            "|---|---|",
            *(f"| {line} | `{place}` |" for line, place in ELSEWHERE.items()),
            "",
            *requests.section(),
            "## What is open",
            "",
            "| lines | why |",
            "|---|---|",
            *open_rows,
            "",
        ]
    )


def ids(cases: list[Case]) -> str:
    """The lines of the catalogue that a table covers, such as ``ST-01–09, ST-11``."""
    numbers: dict[str, set[int]] = {}
    for case in cases:
        part, _, number = case.id.partition("-")
        numbers.setdefault(part, set()).add(int(number))
    return ", ".join(f"{part}-{_runs(found)}" for part, found in sorted(numbers.items()))


def _runs(numbers: set[int]) -> str:
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return " ".join(
        f"{run[0]:02}" if len(run) == 1 else f"{run[0]:02}–{run[-1]:02}" for run in runs
    )


def main() -> int:
    reader = argparse.ArgumentParser(description=__doc__)
    reader.add_argument("--opening", type=Path, help="what benchmarks/opening.py printed")
    words = reader.parse_args()
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as place, Runner(Path(place) / "runner") as runner:
        folder = Path(place)
        counts = run(runner, folder)
        seconds = time.perf_counter() - started
        told = opening_sentence(words.opening or DOCUMENT)
        findings = Findings(counts, mutations.rows(runner, folder), growths(folder), told, seconds)
    DOCUMENT.parent.mkdir(exist_ok=True)
    DOCUMENT.write_text(written(findings), encoding="utf-8")
    failed = sum(count["attempts"] - count["passed"] for count in counts.values())
    return 1 if failed else 0


def opening_sentence(file: Path) -> str:
    """What a file says of the cost of opening, which is measured alone on the machine."""
    lines = file.read_text(encoding="utf-8").splitlines()
    return next(line for line in lines if line.startswith("Opening "))


if __name__ == "__main__":
    sys.exit(main())
