"""Requests from strangers: which lines of the catalogue which test of the server holds."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PLACES = ("tests/serving", "tests/generation/batching")
_LINE = re.compile(r"\b([HUSLD])-(\d\d)(?: to \1-(\d\d))?\b")
OPENING = "## Requests from strangers"
FOLLOWING = "## What is open"

# The lines of the first rank that the catalogue has on requests, secrets, load and settings.
FIRST_RANK = {
    "H": (1, 2, *range(4, 13), 14, 21, 22, 23, 26, 27, 30, 31, *range(37, 60), 61, 64),
    "U": (*range(1, 14), 18, 19),
    "S": (*range(1, 8), 9),
    "L": tuple(range(1, 9)),
    "D": tuple(range(1, 19)),
}

# Lines that no test of the server holds, and why.
REASONS = {
    "U-01 to U-13": "nothing is fetched for a caller: pictures come in the body, and no file of the"
    " server may fetch (tests/serving/test_ending.py)",
    "U-18 to U-19": "likewise: there is no address of a caller to which a key could go",
    "H-11": "nothing of a caller is kept: no stored answers, files or sessions",
    "H-14": "no blobs are served by their digest",
    "H-49, H-51": "no field names tokens that end an answer or may not be written; unknown fields"
    " are passed over, and the answer says so",
    "H-56": "no field of a request is a regular expression",
    "H-58": "few grammars are kept, those used lately (src/fathom/generation/grammar.py)",
    "H-59": "tests/serving/tool_calls: read as JSON within bounds, in time that grows with length",
    "S-02 to S-05": "no provider is called, so none can repeat a key",
    "S-07": "no settings file holds a key",
    "S-09": "pages are written before they are read, and what is not written is not attended to",
    "L-01": "by benchmarks/serve.py, which measures",
    "L-05": "tests/generation/batching: nothing changes when pages run out",
    "L-06 to L-07": "by figures of /metrics; no timing is asserted in a test",
    "D-02": "this machine's own user needs no key; whoever listens wider must set one",
    "D-05 to D-06": "tests/hostile, for files; no request can ask for either",
    "D-07 to D-08": "no field names an address, a path or a template; unknown ones are passed over"
    " or refused",
    "D-11": "tests/serving/test_transport.py and test_faults.py, by shorter times",
    "D-12": "templates and tokenizers as in tests/hostile; schemas are bounded before they compile",
    "D-14": "pipes and MessagePack, in src/fathom/serving/frames.py",
    "D-16 to D-18": "tests/checkpoint, for what is fetched and saved",
}


def held() -> dict[str, set[str]]:
    """Return the tests' files that name each line in what they say of themselves."""
    found: dict[str, set[str]] = {}
    for place in PLACES:
        for file in sorted((ROOT / place).rglob("test_*.py")):
            for line in lines(_said(file)):
                found.setdefault(line, set()).add(str(file.relative_to(ROOT)))
    return found


def lines(text: str) -> set[str]:
    """Return the lines that a text names, ranges spelled out."""
    found = set()
    for part, first, last in _LINE.findall(text):
        found |= {f"{part}-{number:02}" for number in range(int(first), int(last or first) + 1)}
    return found


def _said(file: Path) -> str:
    """Return the docstrings and comments of a file."""
    text = file.read_text(encoding="utf-8")
    nodes = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    said = [
        ast.get_docstring(each) or ""
        for each in ast.walk(ast.parse(text))
        if isinstance(each, nodes)
    ]
    return "\n".join([*said, *re.findall(r"#.*", text)])


def section() -> list[str]:
    """Return what the document says about requests."""
    by_file: dict[str, set[str]] = {}
    for line, files in held().items():
        for file in files:
            by_file.setdefault(file, set()).add(line)
    return [
        OPENING,
        "",
        "What a caller of `fathom serve` may send is as strange as any file. What is promised is"
        " in [serving.md](serving.md); these tests hold it to the catalogue.",
        "",
        "| lines | where |",
        "|---|---|",
        *(f"| {' '.join(sorted(named))} | `{file}` |" for file, named in sorted(by_file.items())),
        "",
        "Of the first rank, and held otherwise:",
        "",
        "| lines | how |",
        "|---|---|",
        *(f"| {line} | {reason} |" for line, reason in REASONS.items()),
        "",
    ]


def renewed(document: str) -> str:
    """Return the document with its section as it is now."""
    before, opened, rest = document.partition(f"{OPENING}\n")
    if not opened:
        before, _, rest = document.partition(f"{FOLLOWING}\n")
    else:
        rest = rest.partition(f"{FOLLOWING}\n")[2]
    return before + "\n".join(section()) + f"\n{FOLLOWING}\n{rest}"


if __name__ == "__main__":
    page = ROOT / "docs" / "security.md"
    page.write_text(renewed(page.read_text(encoding="utf-8")), encoding="utf-8")
