"""The spec of a published configuration that is at hand as data, without any file of it."""

from __future__ import annotations

from collections.abc import Mapping

from fathom.dialects.config import Config
from fathom.dialects.dialect import find
from fathom.errors import ConfigError
from fathom.spec.model import Model


def published_spec(config: Mapping[str, object]) -> Model:
    """Return what a model with this ``config.json`` is.

    Raises:
        ConfigError: for a configuration that names no type, or is incomplete.
        UnknownArchitectureError: for a type without a dialect.
    """
    model_type = config.get("model_type") or config.get("_class_name")
    if not isinstance(model_type, str):
        raise ConfigError(
            "the configuration names no 'model_type', so no dialect fits; take it from the"
            " original model"
        )
    return find(model_type).read(Config(config))
