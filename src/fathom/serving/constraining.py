"""The form that an answer must have, as the engine takes it."""

from __future__ import annotations

from collections.abc import Mapping

from fathom.generation.forms import Form

ANY_OBJECT: Mapping[str, object] = {"type": "object"}


def of_schema(schema: Mapping[str, object]) -> dict[str, object]:
    """Return the option for an answer that is JSON of a schema.

    Raises:
        RequestError: for a schema that is too long or deep, or that refers to another document.
    """
    Form.asked({"schema": schema})  # before any work is done for the rest
    return {"schema": dict(schema)}
