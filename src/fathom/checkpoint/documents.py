"""Strict JSON: the same text means the same to us as to every other careful reader.

Python's `json` keeps the last of two equal keys, accepts NaN and 1e400, and lets a deep document
exhaust the stack. Here each of those is an error with a code.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Collection
from pathlib import Path
from typing import NoReturn

from fathom.checkpoint.limits import JSON_BYTES, JSON_DEPTH, Limit
from fathom.errors import ModelFileError, NotFoundError

__all__ = ["parse_json", "read_json"]


def read_json(
    path: Path, *, limit: Limit = JSON_BYTES, boundless: Collection[str] = ()
) -> dict[str, object]:
    """Read a JSON object from a file such as ``config.json``.

    `boundless` are keys that may hold ``Infinity``, which Python's writer spells so and JSON
    does not know.

    Raises:
        NotFoundError: there is no such file.
        ModelFileError: ``E_LIMIT``, ``E_HEADER_ENCODING``, ``E_HEADER_SYNTAX``, ``E_DUPLICATE``,
            ``E_NONFINITE`` or ``E_DEPTH``.
    """
    try:
        with path.open("rb") as stream:
            raw = stream.read(limit.most + 1)
    except (FileNotFoundError, IsADirectoryError):
        raise NotFoundError(f"{path}: no such file; is the download complete?") from None
    except OSError as error:
        raise NotFoundError(
            f"{path}: cannot be read ({error.strerror}); make it readable"
        ) from None
    limit.check(len(raw), "the document is too long", file=path)
    if raw.startswith(b"\xef\xbb\xbf") or b"\0" in raw:
        detail = "not plain UTF-8 (byte order mark or UTF-16); save it again as UTF-8"
        raise ModelFileError("E_HEADER_ENCODING", detail, file=path)
    return parse_json(raw, file=path, boundless=boundless)


def parse_json(raw: bytes, *, file: Path, boundless: Collection[str] = ()) -> dict[str, object]:
    """Parse UTF-8 JSON whose outermost value is an object; `file` is for the error only."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        detail = "not valid UTF-8; fetch the file again"
        raise ModelFileError("E_HEADER_ENCODING", detail, file=file, offset=error.start) from None
    value = _load(text, file, boundless)
    if not isinstance(value, dict):
        detail = f"expected a JSON object, found {type(value).__name__}"
        raise ModelFileError("E_HEADER_SYNTAX", detail, file=file)
    _check_depth(value, file)
    if b"\\ud" in raw or b"\\uD" in raw:
        _check_surrogates(value, file)
    return value


def _load(text: str, file: Path, boundless: Collection[str]) -> object:
    infinite: list[str] = []  # what was read as such and not yet found under a key

    def unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
        result = dict(pairs)
        if infinite:
            for name, value in pairs:
                if name not in boundless and _holds_infinity(value):
                    reject(infinite[0])
            infinite.clear()
        if len(result) != len(pairs):
            twice, _ = Counter(name for name, _ in pairs).most_common(1)[0]
            detail = f"the key {twice[:80]!r} occurs twice; keep one"
            raise ModelFileError("E_DUPLICATE", detail, file=file)
        return result

    def finite(literal: str) -> float:
        number = float(literal)
        return number if math.isfinite(number) else reject(literal)

    def constant(literal: str) -> float:
        if not boundless or literal == "NaN":
            reject(literal)
        infinite.append(literal)
        return float(literal)

    def reject(literal: str) -> NoReturn:
        detail = f"{literal[:40]} is not a finite number; JSON has none such"
        raise ModelFileError("E_NONFINITE", detail, file=file)

    try:
        return json.loads(
            text, object_pairs_hook=unique, parse_float=finite, parse_constant=constant
        )
    except RecursionError:
        raise _too_deep(file) from None
    except ValueError as error:  # JSONDecodeError, or an integer of thousands of digits
        detail = f"not valid JSON: {str(error)[:160]}; fetch the file again"
        raise ModelFileError("E_HEADER_SYNTAX", detail, file=file) from None


def _holds_infinity(value: object) -> bool:
    """Whether a value is infinite, or a list that holds such; objects answer for themselves."""
    if isinstance(value, list):
        return any(_holds_infinity(item) for item in value)
    return isinstance(value, float) and math.isinf(value)


def _check_depth(value: object, file: Path) -> None:
    level: list[object] = [value]
    depth = 0
    while level:
        depth += 1
        if depth > JSON_DEPTH.most:
            raise _too_deep(file)
        below: list[object] = []
        for item in level:
            if isinstance(item, dict):
                below.extend(child for child in item.values() if isinstance(child, dict | list))
            elif isinstance(item, list):
                below.extend(child for child in item if isinstance(child, dict | list))
        level = below


def _check_surrogates(value: object, file: Path) -> None:
    """Refuse half a character, such as ``"\\ud800"``: it cannot be written as UTF-8."""
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        detail = "a string holds half of a surrogate pair; repair the text"
        raise ModelFileError("E_HEADER_ENCODING", detail, file=file) from None


def _too_deep(file: Path) -> ModelFileError:
    detail = f"nested more than {JSON_DEPTH.most} levels deep ({JSON_DEPTH.reason})"
    return ModelFileError("E_DEPTH", detail, file=file)
