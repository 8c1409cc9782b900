"""The form that an answer must have: a JSON schema, a pattern, one of several texts, a grammar.

What is asked for is checked here by its size alone; what it means is worked out in `grammar.py`,
which knows the library that does. Bounds keep a stranger's form from costing more than an answer.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, cast, get_args

from fathom.errors import RequestError

Kind: TypeAlias = Literal["schema", "regex", "choice", "grammar"]
KINDS: tuple[Kind, ...] = get_args(Kind)

CHARACTERS: Mapping[Kind, int] = {
    "schema": 2**16,
    "regex": 2**12,
    "choice": 2**16,
    "grammar": 2**16,
}
DEPTH = 32  # of a schema
PARTS = 10_000  # values, keys and lists in it


@dataclass(frozen=True)
class Form:
    """What an answer must look like.

    Attributes:
        kind: how it is said.
        text: a JSON schema or a list of texts as JSON, a regular expression of the whole answer,
            or a grammar in the syntax of Lark or of GBNF.

    Raises:
        RequestError: for a text that is empty, too long, too deep or no JSON.
    """

    kind: Kind
    text: str

    def __post_init__(self) -> None:
        if not isinstance(self.text, str) or not self.text.strip():
            raise RequestError(f"{self.kind} must be a text of at least one character")
        most = CHARACTERS[self.kind]
        if len(self.text) > most:
            raise RequestError(
                f"{self.kind} has {len(self.text):,} characters, and may have {most:,}; simplify it"
            )
        try:
            self.text.encode()
        except UnicodeEncodeError:
            raise RequestError(f"{self.kind} is no Unicode; decode it as UTF-8 first") from None
        if self.kind == "schema":
            _check_schema(_parsed(self.text))

    @classmethod
    def asked(cls, options: Mapping[str, object]) -> Form | None:
        """Return the form among options by name, or None where there is none.

        `schema` is a mapping or JSON text, `choice` a list of texts; the others are texts.

        Raises:
            RequestError: for a form that makes no sense, or two of them.
        """
        given = [kind for kind in KINDS if options.get(kind) is not None]
        if not given:
            return None
        if len(given) > 1:
            raise RequestError(f"an answer has one form: leave out {given[0]} or {given[1]}")
        kind, value = given[0], options[given[0]]
        if kind == "choice":
            return cls(kind, _listed(value))
        if kind == "schema" and not isinstance(value, str):
            _check_schema(value)
            return cls(kind, _written(value))
        return cls(kind, cast(str, value))  # checked there

    @property
    def choices(self) -> list[str]:
        """The texts of a choice."""
        return cast(list[str], json.loads(self.text))


def _listed(value: object) -> str:
    """Return a list of texts as JSON."""
    texts = value if isinstance(value, Sequence) and not isinstance(value, str) else ()
    if not texts or not all(isinstance(text, str) and text for text in texts):
        raise RequestError("choice must be a list of texts, each of at least one character")
    return _written(list(texts))


def _written(value: object) -> str:
    try:
        return json.dumps(value, allow_nan=False, ensure_ascii=False)
    except (TypeError, ValueError):
        raise RequestError("a schema must be JSON: texts, finite numbers, lists, objects") from None


def _parsed(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise RequestError("the schema is no JSON; check its brackets and quotes") from None


def _check_schema(schema: object) -> None:
    """Refuse what is no object, nested deeply, large, or refers to another document."""
    if not isinstance(schema, Mapping):
        raise RequestError("a schema must be a JSON object, such as {'type': 'object'}")
    level: list[object] = [schema]
    parts = depth = 0
    while level:
        parts, depth = parts + len(level), depth + 1
        if depth > DEPTH or parts > PARTS:
            raise RequestError(
                f"a schema may have {PARTS:,} parts, {DEPTH} levels deep; this one has more"
            )
        level = [part for value in level for part in _inside(value)]


def _inside(value: object) -> list[object]:
    if isinstance(value, Mapping):
        reference = value.get("$ref")
        if isinstance(reference, str) and not reference.startswith("#"):
            raise RequestError(f"$ref {reference[:80]!r}: nothing is fetched; write it out here")
        return list(value.values())
    return list(value) if isinstance(value, list | tuple) else []
