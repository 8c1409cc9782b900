"""Fuzz one parser for as long as one likes, guided by coverage.

    pip install atheris
    python tests/hostile/fuzz_parsers.py safetensors|gguf|json|index [corpus folder] [-options]

What is found belongs into a table of the catalogue, as a line with its code.
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris  # type: ignore[import-not-found]

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "src")]

with atheris.instrument_imports(include=["fathom"]):
    from hostile.parsers import PARSERS, survives

if __name__ == "__main__":
    parser = sys.argv.pop(1)
    if parser not in PARSERS:
        sys.exit(f"{parser!r} is none of {', '.join(PARSERS)}")
    atheris.Setup(sys.argv, lambda data: survives(parser, data))
    atheris.Fuzz()
