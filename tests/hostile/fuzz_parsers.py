"""Fuzz the parsers for as long as one likes, guided by coverage, and keep what reached new code.

    pip install -e .[fuzz]
    nice python tests/hostile/fuzz_parsers.py [PARSER ...] [--seconds 75]

What a parser dies of is printed, and belongs into a table of the catalogue as a line with its
code. What reached new code becomes part of the corpus, smallest first, which the tests replay.
"""

from __future__ import annotations

import argparse
import base64
import os
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from importlib.machinery import BuiltinImporter, FrozenImporter, PathFinder
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "src")]

MOST_KEPT, LONGEST_KEPT = 160, 2048  # inputs of one parser, bytes of one of them
LONGEST = 16_384  # bytes of an input that is tried


def explore(parser: str, arguments: list[str]) -> None:
    """Run the fuzzer in this process, which it ends."""
    import atheris  # type: ignore[import-not-found]

    # Only what Python's own finder finds is instrumented, and not what an editable install does.
    sys.meta_path[:] = [BuiltinImporter, FrozenImporter, PathFinder]
    with atheris.instrument_imports(["fathom"]):
        from hostile.parsers import survives

    itself = f"{sys.executable} {Path(__file__).resolve()} --explore {parser} --"  # for a merge
    atheris.Setup([itself, *arguments], lambda data: survives(parser, data))
    atheris.Fuzz()


def run(parser: str, seconds: int) -> bool:
    """Fuzz one parser from its corpus and renew that; whether it survived."""
    from hostile.parsers import CORPUS, SOUND, found

    with tempfile.TemporaryDirectory() as place:
        grown, small = Path(place) / "grown", Path(place) / "small"
        for folder in (grown, small):
            folder.mkdir()
        for number, content in enumerate([*SOUND[parser], *found(parser)]):
            (grown / str(number)).write_bytes(content)
        limits = [f"-max_total_time={seconds}", f"-max_len={LONGEST}", "-timeout=20"]
        survived = _child(parser, place, [*limits, str(grown)])
        _child(parser, place, ["-merge=1", str(small), str(grown)])
        kept = sorted({each.read_bytes() for each in small.iterdir()}, key=lambda it: (len(it), it))
    lines = [base64.b64encode(it).decode() for it in kept if 0 < len(it) <= LONGEST_KEPT]
    ending = "survived" if survived else "died"
    told = f"{seconds} s on {datetime.now(UTC):%d %B %Y}, {ending}"
    CORPUS.mkdir(exist_ok=True)
    (CORPUS / f"{parser}.txt").write_text("\n".join([f"# {told}", *lines[:MOST_KEPT]]) + "\n")
    sys.stdout.write(f"{parser}: {told}, {len(lines)} inputs\n")
    return survived


def _child(parser: str, place: str, arguments: list[str]) -> bool:
    """Explore in a process of its own, and show the end of what it said where that went wrong."""
    command = [sys.executable, __file__, "--explore", parser, "--", *arguments]
    environment = {**os.environ, "TMPDIR": place}
    done = subprocess.run(
        command, cwd=place, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.stdout.write(done.stdout[-2000:] + done.stderr[-300:])
    return done.returncode == 0


def main() -> int:
    reader = argparse.ArgumentParser(description=__doc__)
    reader.add_argument("parsers", nargs="*")
    reader.add_argument("--seconds", type=int, default=75)
    reader.add_argument("--explore", action="store_true", help=argparse.SUPPRESS)
    words = reader.parse_args()
    if words.explore:
        explore(words.parsers[0], words.parsers[1:])
    from hostile.parsers import PARSERS

    unknown = set(words.parsers) - set(PARSERS)
    if unknown:
        sys.exit(f"{', '.join(sorted(unknown))}: none of {', '.join(PARSERS)}")
    survived = [run(parser, words.seconds) for parser in words.parsers or PARSERS]
    return 0 if all(survived) else 1


if __name__ == "__main__":
    sys.exit(main())
