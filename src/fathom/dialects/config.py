"""A publisher's configuration, read as data: typed, bounded, never as code.

Every question names its key, so an error can say which key of which file is wrong and why.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import isfinite
from typing import Final, TypeVar, get_args

from fathom.errors import ConfigError, nearest
from fathom.spec.feed_forward import Activation

T = TypeVar("T")


class _Required:
    """Marks a key without which the model cannot be described."""


REQUIRED: Final = _Required()
LARGEST = 2**31  # no dimension of a published model comes near; products still fit in 64 bits

# The names that publishers use for one and the same function.
ACTIVATIONS: Mapping[str, Activation] = {
    **{name: name for name in get_args(Activation)},
    "swish": "silu",
    "swiglu": "silu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu_python": "gelu",
    "quick_gelu": "gelu_quick",
    "relu2": "relu_squared",
    "linear": "identity",
}


class Config:
    """A configuration file as a mapping that answers typed questions.

    A key with the value ``null`` counts as absent, as publishers mean it. `names` says how this
    publisher spells a usual key; the usual one is understood as well. `tensors` are the names in
    the file that the configuration came with, None where there is none.

    Raises:
        ConfigError: for a missing key, a wrong type or a number out of range.
    """

    def __init__(
        self,
        values: Mapping[str, object],
        where: str = "config.json",
        names: Mapping[str, str] | None = None,
        tensors: frozenset[str] | None = None,
    ) -> None:
        self.values = values
        self.where = where
        self.names = names or {}
        self.tensors = tensors

    def spelled(self, names: Mapping[str, str]) -> Config:
        """Return this configuration with usual keys mapped to the publisher's own."""
        return Config(self.values, self.where, names, self.tensors)

    def _key(self, key: str) -> str:
        """Return the key as the file spells it."""
        own = self.names.get(key, key)
        return key if self.values.get(own) is None and key in self.values else own

    def holds(self, tensor: str, unknown: bool = True) -> bool:
        """Tell whether a tensor's name ends so in the file; `unknown` where there is no file.

        For parts that a configuration does not speak of and files have or lack.
        """
        if self.tensors is None:
            return unknown
        return any(name == tensor or name.endswith("." + tensor) for name in self.tensors)

    def __contains__(self, key: str) -> bool:
        return self.values.get(self._key(key)) is not None

    def _get(self, key: str, default: T | _Required) -> object:
        key = self._key(key)
        value = self.values.get(key)
        if value is not None:
            return value
        if isinstance(default, _Required):
            hint = nearest(key, self.values)
            raise ConfigError(f"{self.where} has no '{key}', and the model needs it.{hint}")
        return default

    def _refuse(self, key: str, wanted: str) -> ConfigError:
        key = self._key(key)
        shown = repr(self.values.get(key))
        shown = shown if len(shown) < 60 else shown[:57] + "..."
        return ConfigError(f"{self.where}: '{key}' must be {wanted}, not {shown}")

    def integer(
        self, key: str, default: int | _Required = REQUIRED, *, least: int = 1, most: int = LARGEST
    ) -> int:
        """Return a whole number in [least, most]."""
        value = self._get(key, default)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise self._refuse(key, f"a whole number from {least:,} to {most:,}")
        return value

    def optional_integer(self, key: str, *, least: int = 1, most: int = LARGEST) -> int | None:
        """Return a whole number, or None where the key is absent."""
        return self.integer(key, least=least, most=most) if key in self else None

    def number(
        self, key: str, default: float | _Required = REQUIRED, *, positive: bool = False
    ) -> float:
        """Return a finite number, above zero if `positive`."""
        value = self._get(key, default)
        kind = "a finite number above zero" if positive else "a finite number"
        if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
            raise self._refuse(key, kind)
        if positive and value <= 0:
            raise self._refuse(key, kind)
        return float(value)

    def optional_number(self, key: str, *, positive: bool = False) -> float | None:
        """Return a number, or None where the key is absent."""
        return self.number(key, positive=positive) if key in self else None

    def flag(self, key: str, default: bool | _Required = REQUIRED) -> bool:
        """Return true or false."""
        value = self._get(key, default)
        if not isinstance(value, bool):
            raise self._refuse(key, "true or false")
        return value

    def text(self, key: str, default: str | _Required = REQUIRED) -> str:
        """Return a string."""
        value = self._get(key, default)
        if not isinstance(value, str):
            raise self._refuse(key, "a string")
        return value

    def choice(self, key: str, choices: Iterable[str], default: str | _Required = REQUIRED) -> str:
        """Return one of a closed set of strings."""
        value, known = self.text(key, default), tuple(choices)
        if value not in known:
            raise self._refuse(key, "one of " + ", ".join(known))
        return value

    def activation(self, key: str, default: str | _Required = REQUIRED) -> Activation:
        """Return one of our activations, whatever its publisher calls it."""
        return ACTIVATIONS[self.choice(key, ACTIVATIONS, default)]

    def items(self, key: str, default: Sequence[object] | _Required = REQUIRED) -> list[object]:
        """Return a list."""
        value = self._get(key, default)
        if not isinstance(value, list | tuple):
            raise self._refuse(key, "a list")
        return list(value)

    def numbers(self, key: str) -> tuple[float, ...]:
        """Return a list of finite numbers."""
        found = self.items(key)
        if not all(isinstance(n, int | float) and isfinite(n) for n in found):
            raise self._refuse(key, "a list of finite numbers")
        return tuple(float(n) for n in found if isinstance(n, int | float))

    def section(self, key: str) -> Config:
        """Return a nested object; an absent one is empty."""
        value = self._get(key, {})
        if not isinstance(value, Mapping):
            raise self._refuse(key, "an object")
        return Config(value, f"{self.where}: {key}")

    def require(self, holds: bool, complaint: str) -> None:
        """Raise unless a relation between keys holds.

        Raises:
            ConfigError: with `complaint` and the name of the file.
        """
        if not holds:
            raise ConfigError(f"{self.where}: {complaint}")
