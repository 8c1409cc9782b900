"""Checkpoints whose parts lie in folders or files of their own, read as one.

A pipeline's folder holds a ``model_index.json`` that names its parts, each a folder with a
configuration and weights. A tiny autoencoder may be two files, a half in each, and no
configuration. Either way the tensors are read under the name of their part: ``unet.conv_in.bias``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from fathom.checkpoint.configuration import read_configuration
from fathom.checkpoint.contents import Contents, TensorInfo
from fathom.checkpoint.documents import read_json
from fathom.checkpoint.headers import read_headers
from fathom.checkpoint.index import check_inside
from fathom.dialects import taesd
from fathom.errors import ConfigError, ModelFileError, NotFoundError

INDEX = "model_index.json"
CONFIGURATIONS = ("config.json", "scheduler_config.json")
# What a pipeline may name and nothing here runs: it judges or marks pictures, or reads others.
LEFT_OUT = frozenset({"safety_checker", "feature_extractor", "image_encoder", "watermark"})
HALVES = ("encoder", "decoder")
_PART = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,60}")  # a folder's name, and no path
_HALF = re.compile(r".+[_-](?P<half>encoder|decoder)\.(pth|safetensors)")


@dataclass(frozen=True)
class Composed:
    """The configurations of all parts in one, and their headers; None where weights lack."""

    config: Mapping[str, object]
    contents: Contents | None


def read_composed(path: Path, *, allow_pickle: bool = False) -> Composed | None:
    """Return what a folder's parts are together; None for a checkpoint of one part.

    Raises:
        ConfigError: for an index that is none.
        NotFoundError, ModelFileError: for a part that is missing or broken.
    """
    folder = path.parent if path.name == INDEX else path
    if is_pipeline(folder):
        return _pipeline(folder, allow_pickle)
    halves = _halves(folder)
    if len(halves) == len(HALVES) and not (folder / "config.json").is_file():
        return _of_halves(halves, allow_pickle)
    return None


def is_pipeline(folder: Path) -> bool:
    """Whether a folder's parts are in folders of their own."""
    return (folder / INDEX).is_file()


def weights_stem(folder: Path, part: str) -> str:
    """Return what the tools of a part's publisher call its file of weights."""
    stated = read_json(folder / INDEX).get(part)
    library = stated[0] if isinstance(stated, list) and stated else None
    return "diffusion_pytorch_model" if library == "diffusers" else "model"


def parts_of(folder: Path) -> list[Path]:
    """Return the folders that a pipeline's index names and that are there.

    Raises:
        ConfigError: for a name that is no folder's.
    """
    index = read_json(folder / INDEX)
    found = []
    for name, stated in index.items():
        if name.startswith("_") or not isinstance(stated, list) or None in stated:
            continue  # a setting, or a part that this pipeline does without
        if not _PART.fullmatch(name):
            raise ConfigError(f"{folder / INDEX}: {name[:60]!r} is no name of a part")
        if name not in LEFT_OUT and (folder / name).is_dir():
            check_inside(folder / name, folder)
            found.append(folder / name)
    return found


def _pipeline(folder: Path, allow_pickle: bool) -> Composed:
    index = read_json(folder / INDEX)
    _refuse_code(index, folder / INDEX)
    kind = index.get("_class_name")
    if not isinstance(kind, str):
        raise ConfigError(
            f"{folder / INDEX} has no '_class_name', so nobody can know what it is; take it from"
            " the original model"
        )
    settings = {key: value for key, value in index.items() if not isinstance(value, list)}
    config: dict[str, object] = {**settings, "model_type": kind}
    held: dict[str, Contents] = {}
    missing = False
    for part in parts_of(folder):
        file = next((part / name for name in CONFIGURATIONS if (part / name).is_file()), None)
        if file is None:
            continue  # a tokenizer, which is read where texts are
        config[part.name] = read_configuration(file)
        if file.name == CONFIGURATIONS[0]:
            try:
                held[part.name] = read_headers(part, allow_pickle=allow_pickle)
            except NotFoundError:
                missing = True
    return Composed(config, None if missing or not held else _joined(held))


def _refuse_code(index: Mapping[str, object], file: Path) -> None:
    """Refuse what names code. Nothing of it would be run; who writes it is not to be trusted.

    A class in a list, a pipeline of one's own and a part whose library is its own folder are how
    an index has a module beside it imported.
    """
    named = [part for part, stated in index.items() if isinstance(stated, list) and part in stated]
    named += ["_class_name"] if isinstance(index.get("_class_name"), list) else []
    named += [key for key in ("custom_pipeline", "auto_map") if index.get(key) is not None]
    if named:
        detail = f"{named[0][:60]!r} names code to run; take a pipeline of classes that are known"
        raise ModelFileError("E_UNSAFE_CODE", detail, file=file)


def _halves(folder: Path) -> dict[str, Path]:
    """Return the files of an autoencoder's halves, by half."""
    if not folder.is_dir():
        return {}
    matches = [(_HALF.fullmatch(file.name), file) for file in sorted(folder.iterdir())]
    return {match["half"]: file for match, file in matches if match}


def _of_halves(halves: Mapping[str, Path], allow_pickle: bool) -> Composed:
    held = {half: read_headers(halves[half], allow_pickle=allow_pickle) for half in HALVES}
    contents = _joined(held)
    config = taesd.configuration({name: one.shape for name, one in contents.tensors.items()})
    if config is None:
        detail = "with its other half is no autoencoder that is known; add its config.json"
        raise ModelFileError("E_MISMATCH", detail, file=halves[HALVES[0]])
    return Composed(config, contents)


def _joined(held: Mapping[str, Contents]) -> Contents:
    """Return the headers of several parts as one, names under those of their parts."""
    tensors: dict[str, TensorInfo] = {}
    for part, contents in held.items():
        for name, info in contents.tensors.items():
            tensors[f"{part}.{name}"] = replace(info, name=f"{part}.{name}")
    formats = {contents.format for contents in held.values()}
    files = tuple(file for contents in held.values() for file in contents.files)
    return Contents("pickle" if "pickle" in formats else "safetensors", files, tensors)
