"""A publisher's ``config.json``, read as data whatever it asks for.

A configuration may name Python files of its repository to be run, a repository to take kernels
from, or the trust that its reader should have in it. Libraries that obeyed were taken over:
CVE-2025-66448, CVE-2026-4372, CVE-2026-5241, CVE-2026-22807, CVE-2026-27893. Nothing here is
ever followed. A model whose architecture we know runs by our own code; one that exists only as
the code in its repository is refused.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

from fathom.checkpoint.documents import read_json
from fathom.checkpoint.encodings import ENCODINGS
from fathom.dialects.dialect import known
from fathom.errors import ModelFileError

__all__ = ["BOUNDLESS", "CODE", "read_configuration"]

logger = logging.getLogger(__name__)

# Keys that publishers give the value Infinity, each with its reason. Any other is refused.
BOUNDLESS: Mapping[str, str] = {
    "time_step_limit": "Mamba 2 writes a step without an upper limit as [0.0, Infinity]",
    "lambda_min_clipped": "a scheduler that leaves no early moment out writes -Infinity",
}
# Keys that name code to run, or say that it may be.
CODE: Mapping[str, str] = {
    "auto_map": "names Python files of the repository",
    "custom_pipeline": "names a pipeline of another repository",
    "trust_remote_code": "says that code may be trusted",
}
# Private keys that say something about the model; all others are notes of the library that wrote.
KEPT_PRIVATE: Mapping[str, str] = {
    "_name_or_path": "what the publisher calls it",
    "_class_name": "what a part of a pipeline is",
    "_remove_final_layer_norm": "OPT before its sizes were equal",
}
LONGEST_TYPE = 100  # characters of a model_type; the longest published has 32
_DTYPES = {kind.native for kind in ENCODINGS.values() if kind.native} | {"auto"}


def read_configuration(file: Path) -> dict[str, object]:
    """Read a configuration without what is not data.

    Raises:
        NotFoundError: there is no such file.
        ModelFileError: ``E_UNSAFE_CODE`` for an architecture that is code in its repository,
            ``E_NAME`` or ``E_DTYPE`` for a type that is none, others for broken JSON.
    """
    found = read_json(file, boundless=BOUNDLESS)
    dropped: list[str] = []
    config = _data(found, "", dropped)
    for key in ("model_type", "_class_name"):
        _check_type(config.get(key), file)
    for key in ("dtype", "torch_dtype"):
        _check_dtype(config.get(key), file)
    if "auto_map" in found and config.get("model_type") not in known():
        detail = (
            f"an architecture ({config.get('model_type')!r}) that is code in its repository, and "
            "Fathom runs no code of a checkpoint; take a model of a known architecture"
        )
        raise ModelFileError("E_UNSAFE_CODE", detail, file=file)
    if dropped:
        logger.warning("%s: %s; not followed", file.name, ", ".join(dropped))
    return config


def _data(values: Mapping[str, object], where: str, dropped: list[str]) -> dict[str, object]:
    """The same without keys that name code or are private to the library that wrote them."""
    kept: dict[str, object] = {}
    for key, value in values.items():
        if key in CODE:
            dropped.append(f"{where}{key} {CODE[key]}")
        elif not key.startswith("_") or key in KEPT_PRIVATE:
            inner = isinstance(value, dict)
            kept[key] = _data(value, f"{where}{key}.", dropped) if inner else value  # type: ignore[arg-type]
    return kept


def _check_type(model_type: object, file: Path) -> None:
    """A type is a short word: it is compared with every known one."""
    if isinstance(model_type, str) and (
        len(model_type) > LONGEST_TYPE or not model_type.isprintable()
    ):
        detail = f"'model_type' is {model_type[:40]!r}…, which is no name; fetch the file again"
        raise ModelFileError("E_NAME", detail, file=file)


def _check_dtype(dtype: object, file: Path) -> None:
    if isinstance(dtype, str) and dtype.removeprefix("torch.") not in _DTYPES:
        detail = f"'dtype' is {dtype[:40]!r}, which is no type of torch; repair it"
        raise ModelFileError("E_DTYPE", detail, file=file)
