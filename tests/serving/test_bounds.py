"""The table of bounds held to the schemas: no field without, no bound without a field."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import pytest
from pydantic import TypeAdapter, ValidationError

from fathom.serving.bounds import NUMBERS, SIZES, number, size
from serving.shapes.scripted import Scripted, application

DOCUMENT = application(Scripted()).openapi()
BODIES = {
    name: schema
    for name, schema in DOCUMENT["components"]["schemas"].items()
    if name not in ("Refusal", "HTTPValidationError", "ValidationError")
}


def leaves(schema: Any, where: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every schema of a number, a text or a list under a schema."""
    if isinstance(schema, dict):
        if schema.get("type") in ("integer", "number", "string", "array"):
            yield where, schema
        for key, value in schema.items():
            if key not in ("default", "enum", "const", "discriminator"):
                yield from leaves(value, f"{where}.{key}")
    elif isinstance(schema, list):
        for at, value in enumerate(schema):
            yield from leaves(value, f"{where}[{at}]")


RANGES = {(float(one.least), float(one.most)) for one in NUMBERS.values()}
LENGTHS = {(one.least, one.most) for one in SIZES.values()}


@pytest.mark.parametrize("name", BODIES)
def test_every_field_is_bounded_by_the_table(name: str) -> None:
    for where, schema in leaves(BODIES[name], name):
        if "enum" in schema or "const" in schema:
            continue
        if schema["type"] in ("integer", "number"):
            assert (schema["minimum"], schema["maximum"]) in RANGES, where
            continue
        items = schema["type"] == "array"
        least, most = ("minItems", "maxItems") if items else ("minLength", "maxLength")
        assert most in schema, where
        assert (schema.get(least, 0), schema[most]) in LENGTHS, where


@pytest.mark.parametrize("name", SIZES)
def test_every_size_is_of_some_field(name: str) -> None:
    own = SIZES[name]
    kinds = (
        ("minItems", "maxItems"),
        ("minLength", "maxLength"),
        ("minProperties", "maxProperties"),
    )
    found = [
        schema
        for body in BODIES.values()
        for schema in _all(body)
        for least, most in kinds
        if schema.get(most) == own.most and schema.get(least, 0) == own.least
    ]
    assert found


def _all(schema: Any) -> Iterator[dict[str, Any]]:
    if isinstance(schema, dict):
        yield schema
        for value in schema.values():
            yield from _all(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _all(value)


@pytest.mark.parametrize("name", NUMBERS)
def test_a_number_is_taken_up_to_its_bounds_and_no_further(name: str) -> None:
    own = NUMBERS[name]
    kind: Any = int if own.whole else float
    adapter = TypeAdapter(Annotated[kind, number(name)])
    step = 1 if own.whole else max(1e-3, abs(own.most) * 1e-6)
    for value in (own.least, own.most):
        assert adapter.validate_python(kind(value), strict=True) == value
    for value in (own.least - step, own.most + step):
        with pytest.raises(ValidationError):
            adapter.validate_python(kind(value), strict=True)
    for other in (True, "1", None, [1], float("nan"), float("inf")):
        with pytest.raises(ValidationError):
            adapter.validate_python(other, strict=True)


@pytest.mark.parametrize("name", [name for name, one in SIZES.items() if one.most <= 4096])
def test_a_size_is_taken_up_to_its_bounds_and_no_further(name: str) -> None:
    own = SIZES[name]
    adapter = TypeAdapter(Annotated[list[int], size(name)])
    for count in (own.least, own.most):
        assert len(adapter.validate_python([0] * count)) == count
    for count in {own.least - 1, own.most + 1} - {-1}:
        with pytest.raises(ValidationError):
            adapter.validate_python([0] * count)
