"""A stranger's tokenizer is built and used in a child first: it may take that down, not us.

The library panics or aborts on some files, which no exception handler outlives. What survived
once is remembered by the hash of its content, so that only the first opening pays.

    python -m fathom.inputs.trial SECONDS        (the child)
"""

from __future__ import annotations

import hashlib
import importlib
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import tokenizers

from fathom.confinement import Confined, confine, serve
from fathom.errors import TokenizerError
from fathom.inputs.guard import tokenizer_errors
from fathom.inputs.scrutiny import MOST_GROWTH, scrutinise

__all__ = ["require_sound"]

RULES = 2  # raised when the checks change, so that everything is checked anew
MEMORY = 4 << 30  # bytes; the largest published tokenizer takes about one
SECONDS = 60.0  # of processor time; the largest published one takes about five

_REMEDY = "fetch the folder again, or take the tokenizer of another variant"
# Texts on which patterns, replacements and merges of an honest vocabulary take no time.
PROBES = (
    *("a", "a" * 30 + "b", "aA1!" * 20, " " * 60, "\n" * 60, "0123456789" * 6, "é" * 60),
    *("\N{GRINNING FACE}" * 30, "\u4e2d\u6587" * 30, "x" * 2000, "- _=" * 200, "ﷺ" * 30),
)
_sound: set[str] = set()  # of this process


def require_sound(text: str, records: Path | None = None) -> None:
    """Make sure that a ``tokenizer.json`` can be built and used.

    Args:
        text: the whole file.
        records: a folder in which to remember those that can.

    Raises:
        TokenizerError: with the code of what is wrong with it.
    """
    mark = f"{RULES}-{tokenizers.__version__}-".encode()
    key = hashlib.sha256(mark + text.encode(errors="replace")).hexdigest()
    if key in _sound:
        return
    record = None if records is None else records / key
    if record is None or not record.exists():
        child = Confined(__name__, SECONDS, "tokenizer.json", _REMEDY)
        try:
            child.call("try", text=text)
        finally:
            child.close()
        if record is not None:
            with suppress(OSError):  # a read-only cache: then it is tried every time
                record.parent.mkdir(parents=True, exist_ok=True)
                record.touch()
    _sound.add(key)


def attempt(text: str) -> None:
    """Check, build and use a tokenizer. Runs in the child.

    Raises:
        TokenizerError: with the code of what is wrong with it.
    """
    described = scrutinise(text)
    with tokenizer_errors("tokenizer.json cannot be built", _REMEDY, code="E_MISMATCH"):
        backend = tokenizers.Tokenizer.from_str(text)
    backend.no_padding()
    backend.no_truncation()
    _check_numbering(backend, described)
    for probe in PROBES:
        fails = f"tokenizer.json fails on the text {probe[:12]!r}"
        with tokenizer_errors(fails, _REMEDY, code="E_MISMATCH"):
            ids = backend.encode(probe).ids
            backend.decode(ids)
        if len(ids) > MOST_GROWTH * (len(probe.encode()) + MOST_GROWTH):
            told = f"makes {len(ids):,} tokens of {len(probe)} characters; {_REMEDY}"
            raise TokenizerError(f"tokenizer.json {told}", code="E_LIMIT")


def _check_numbering(backend: tokenizers.Tokenizer, described: Mapping[str, object]) -> None:
    """The library gives a token another id than the file says where that one is taken."""
    added = described.get("added_tokens")
    for token in added if isinstance(added, list) else ():
        given = backend.token_to_id(token["content"])
        if given != token["id"]:
            told = f"gives {token['content'][:60]!r} the id {token['id']:,}, the vocabulary {given}"
            raise TokenizerError(f"tokenizer.json {told}; {_REMEDY}", code="E_MISMATCH")


def _try(request: Mapping[str, object]) -> None:
    attempt(str(request["text"]))


if __name__ == "__main__":
    tokenizers.Tokenizer(tokenizers.models.BPE()).encode("a")  # whatever that loads, it has now
    importlib.import_module("fathom.inputs.charsmap")
    confine(MEMORY)
    serve({"try": _try}, float(sys.argv[1]))
