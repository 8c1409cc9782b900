"""A checkpoint understood but not read: headers and configuration, dialect and spec.

This is all that inspecting, explaining and planning need, and where opening begins.
"""

from __future__ import annotations

import array
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fathom.checkpoint.composed import read_composed
from fathom.checkpoint.configuration import read_configuration
from fathom.checkpoint.contents import Contents, TensorInfo
from fathom.checkpoint.headers import read_headers
from fathom.checkpoint.naming import Assignment, assign
from fathom.checkpoint.scaled import join_scales
from fathom.dialects import gguf
from fathom.dialects.config import Config
from fathom.dialects.dialect import Dialect, find
from fathom.dialects.rules import Rule
from fathom.errors import ConfigError, ModelFileError, NotFoundError, TensorMismatchError
from fathom.spec.model import Model, TextModel, text_model
from fathom.spec.parts import Parameter, parameters


@dataclass(frozen=True)
class Description:
    """What a checkpoint is. `contents` is None where only a configuration was found."""

    path: Path
    config: Mapping[str, object]  # the publisher's, or a GGUF file's keys spelled as theirs
    dialect: Dialect[Model]
    spec: Model
    contents: Contents | None

    @property
    def folder(self) -> Path:
        """The folder that holds the checkpoint and the files beside it."""
        return self.path if self.path.is_dir() else self.path.parent

    @property
    def bare(self) -> bool:
        """Whether the file holds a trunk alone, whose names lack the dialect's prefix."""
        if self.contents is None or self.contents.format == "gguf" or not self.dialect.prefix:
            return False
        return not any(name.startswith(self.dialect.prefix) for name in self.contents.tensors)

    @property
    def text(self) -> TextModel:
        """The spec of a text model.

        Raises:
            UnsupportedTaskError: for a model of another kind.
        """
        return text_model(self.spec)

    def rules(self) -> Sequence[Rule]:
        """Return the rules between this file's names and ours."""
        if self.contents is not None and self.contents.format == "gguf":
            return gguf.rules(self.dialect, self.spec)
        return self.dialect.rules(self.spec)

    def assignments(self) -> list[Assignment]:
        """Return how the file's tensors fill the model.

        Raises:
            NotFoundError: when there are no weights, only a configuration.
            TensorMismatchError: when file and model do not correspond.
        """
        if self.contents is None:
            raise NotFoundError(
                f"{self.path} holds a configuration but no weights;"
                " `fathom explain` and `fathom fit` work from it, running needs the weights"
            )
        wanted = {parameter.name: parameter for parameter in parameters(self.spec)}
        found = assign(self.rules(), self.contents.tensors, wanted, prefix=self.dialect.prefix)
        for assignment in found:
            theirs = [self.contents.tensors[name] for name in assignment.theirs]
            _require_agreement(theirs, [wanted[name] for name in assignment.ours])
        return found


def _require_agreement(theirs: Sequence[TensorInfo], ours: Sequence[Parameter]) -> None:
    """Refuse sizes of a configuration that the file does not bear out, before memory is taken.

    No rule changes how many numbers there are, so counting them is enough here; shapes are
    compared when each tensor is read.
    """
    if sum(tensor.elements for tensor in theirs) != sum(each.elements for each in ours):
        raise TensorMismatchError(
            f"'{theirs[0].name}' is {list(theirs[0].shape)} in the file, and the configuration says"
            f" {list(ours[0].shape)} for '{ours[0].name}'; take both from one place"
        )


def describe(path: Path, *, allow_pickle: bool = False) -> Description:
    """Understand the checkpoint at `path`: a folder, a weights file or a ``config.json`` alone.

    Reads headers and configuration only, whatever the size of the weights.

    Raises:
        ModelFileError: for a file that is broken or of an unknown format.
        ConfigError: for a configuration that is missing, incomplete or contradictory.
        UnknownArchitectureError: for a model without a dialect.
    """
    composed = read_composed(path, allow_pickle=allow_pickle)
    contents = composed.contents if composed else _contents(path, allow_pickle)
    config: Mapping[str, object]
    if composed is not None:
        config = composed.config
    elif contents is not None and contents.format == "gguf":
        config = _gguf_configuration(contents)
    else:
        config = _published_configuration(path)
        contents = contents and join_scales(contents, Config(config))
    model_type = config.get("model_type") or config.get("_class_name")
    if not isinstance(model_type, str):
        raise ConfigError(
            f"the configuration of {path} names no 'model_type', so no dialect fits; take it from"
            " the original model"
        )
    dialect = find(model_type)
    tensors = None if contents is None else frozenset(contents.tensors)
    spec = dialect.read(Config(config, tensors=tensors))
    return Description(path, config, dialect, spec, contents)


def _contents(path: Path, allow_pickle: bool) -> Contents | None:
    """Return the headers; None for a configuration without weights."""
    if path.suffix == ".json":
        return None
    try:
        return read_headers(path, allow_pickle=allow_pickle)
    except NotFoundError:
        if path.is_dir() and (path / "config.json").is_file():
            return None
        raise


def _published_configuration(path: Path) -> dict[str, object]:
    folder = path if path.is_dir() else path.parent
    file = path if path.suffix == ".json" else folder / "config.json"
    if not file.is_file():
        raise ConfigError(
            f"{folder} has no config.json beside the weights, so nobody can know what they are;"
            " copy it from where the weights come from"
        )
    return read_configuration(file)


def _gguf_configuration(contents: Contents) -> dict[str, object]:
    shapes = {name: tensor.shape for name, tensor in contents.tensors.items()}

    def floats(name: str) -> Sequence[float]:
        tensor = contents.tensors[name]
        if tensor.encoding != "F32":
            raise ModelFileError("E_DTYPE", f"'{name}' must be F32", file=tensor.file)
        with tensor.file.open("rb") as stream:
            stream.seek(tensor.offset)
            numbers = array.array("f", stream.read(tensor.size))
        if sys.byteorder == "big":
            numbers.byteswap()  # GGUF is little-endian
        return numbers

    return gguf.configuration(contents.metadata, shapes, floats)
