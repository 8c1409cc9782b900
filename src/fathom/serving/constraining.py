"""The form that an answer must have, as the engine takes it."""

from __future__ import annotations

import json
from collections.abc import Mapping

from fathom.errors import RequestError
from fathom.serving.bounds import SCHEMA_CHARACTERS, SCHEMA_DEPTH

ANY_OBJECT: Mapping[str, object] = {"type": "object"}


def grammar(schema: Mapping[str, object]) -> dict[str, object]:
    """Return the option for an answer that is JSON of a schema.

    Raises:
        RequestError: for a schema that is too long or deep, or that refers to another place.
    """
    text = json.dumps(schema)
    if len(text) > SCHEMA_CHARACTERS:
        raise RequestError(
            f"the schema has {len(text):,} characters, over {SCHEMA_CHARACTERS:,}; simplify it"
        )
    _check(schema, 0)
    return {"schema": dict(schema)}


def _check(value: object, depth: int) -> None:
    """Refuse what is nested too deeply, and references to other documents."""
    if depth > SCHEMA_DEPTH:
        raise RequestError(f"the schema is nested over {SCHEMA_DEPTH} levels deep; flatten it")
    if isinstance(value, Mapping):
        reference = value.get("$ref")
        if isinstance(reference, str) and not reference.startswith("#"):
            raise RequestError(f"$ref {reference[:80]!r}: nothing is fetched; write it out here")
        for each in value.values():
            _check(each, depth + 1)
    elif isinstance(value, list):
        for each in value:
            _check(each, depth + 1)
