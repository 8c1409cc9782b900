"""What a sentence-transformers folder says beside its trunk: pooling, projections, prompts.

``modules.json`` lists the steps in order, each with a folder of its own; prompts and the longest
text stand in files beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import cast, get_args

from fathom.checkpoint.description import Description
from fathom.checkpoint.documents import parse_json, read_json
from fathom.checkpoint.limits import JSON_BYTES
from fathom.dialects.config import Config
from fathom.errors import ConfigError, NotFoundError, RequestError
from fathom.spec.feed_forward import Activation
from fathom.spec.vector import Pooling, Projection, TextVector, Vectors

MODULES = "modules.json"

# Their name → ours; in the order in which several are put side by side.
POOLINGS: Mapping[str, Pooling] = {
    "cls": "first",
    "max": "max",
    "mean": "mean",
    "mean_sqrt_len_tokens": "mean_by_root",
    "weightedmean": "weighted_mean",
    "lasttoken": "last",
}
_FLAGS = {  # older files: a flag per way
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
_ACTIVATIONS: Mapping[str, Activation] = {
    "Identity": "identity",
    "Tanh": "tanh",
    "ReLU": "relu",
    "GELU": "gelu",
    "SiLU": "silu",
    "Sigmoid": "sigmoid",
}


# GGUF's number of a way to pool → ours; 0 says none, 4 scores pairs.
_GGUF_POOLINGS: Mapping[object, Pooling] = {1: "mean", 2: "first", 3: "last"}


def stated_vector(description: Description, asked: str | None = None) -> Vectors:
    """Return how a checkpoint's texts become vectors, `asked` in place of its own pooling.

    Raises:
        RequestError: where neither says how to pool, or `asked` is no way to.
        ConfigError, NotFoundError, ModelFileError: for files that are broken.
    """
    if asked is not None and asked not in get_args(Pooling):
        raise RequestError(f"pooling '{asked}' is not one of {', '.join(get_args(Pooling))}")
    ways: tuple[Pooling, ...] = () if asked is None else (cast(Pooling, asked),)
    found = _gguf(description) or read_vectors(description.folder)
    if found is not None:
        pooling = ways or found.vector.pooling
        return replace(found, vector=replace(found.vector, pooling=pooling))
    if not ways:
        raise RequestError(
            "the files do not say how tokens become one vector; name the publisher's way as"
            f" pooling: one of {', '.join(get_args(Pooling))}"
        )
    return Vectors(TextVector(ways))


def _gguf(description: Description) -> Vectors | None:
    contents = description.contents
    if contents is None or contents.format != "gguf":
        return None
    key = f"{contents.metadata.get('general.architecture')}.pooling_type"
    way = _GGUF_POOLINGS.get(contents.metadata.get(key))
    # These files do not speak of length; what ggml makes of them has length one.
    return None if way is None else Vectors(TextVector((way,), normalise=True))


def read_vectors(folder: Path) -> Vectors | None:
    """Return what a folder says about vectors, or None where it has no ``modules.json``.

    Raises:
        ConfigError: for a step that is not supported.
        NotFoundError, ModelFileError: for files that are missing or broken.
    """
    if not (folder / MODULES).is_file():
        return None
    pooling: tuple[Pooling, ...] | None = None
    projections: list[Projection] = []
    weights: list[Path] = []
    normalise, pools_prompt = False, True
    for kind, path in _steps(folder):
        if kind == "Pooling":
            config = _config(path)
            pooling = _pooling(config)
            pools_prompt = config.flag("include_prompt", True)
        elif kind == "Dense":
            projections.append(_projection(_config(path)))
            weights.append(_weights(path))
        elif kind == "Normalize":
            normalise = True
        elif kind != "Transformer":
            raise ConfigError(f"{folder / MODULES}: the step '{kind}' is not supported")
    if pooling is None:
        raise ConfigError(
            f"{folder / MODULES}: no step says how tokens become one vector; take it from the"
            " original model"
        )
    prompts, default = _prompts(folder)
    longest, lowercase = _text(folder)
    return Vectors(
        TextVector(pooling, tuple(projections), normalise),
        tuple(weights),
        prompts,
        default,
        longest,
        lowercase,
        pools_prompt,
    )


def step_files(folder: Path) -> list[str]:
    """Return the files of a trunk's further steps, for whoever copies it: paths in `folder`."""
    if not (folder / MODULES).is_file():
        return []
    inside = [path for _, path in _steps(folder) if path != folder and path.is_dir()]
    files = (file for path in inside for file in sorted(path.iterdir()) if file.is_file())
    return [file.relative_to(folder).as_posix() for file in files]


def _steps(folder: Path) -> list[tuple[str, Path]]:
    """Return the kind and the folder of each step, in order."""
    file = folder / MODULES
    with file.open("rb") as stream:
        raw = stream.read(JSON_BYTES.most + 1)
    JSON_BYTES.check(len(raw), "the document is too long", file=file)
    listed = Config(parse_json(b'{"modules":' + raw + b"}", file=file), str(file))
    steps = []
    for step in listed.items("modules"):
        one = Config(step if isinstance(step, Mapping) else {}, str(file))
        inside = folder / one.text("path", "")
        if not inside.resolve().is_relative_to(folder.resolve()):
            raise ConfigError(
                f"{file}: the path '{one.text('path')}' leads out of the folder; take the model"
                " from where it was published"
            )
        steps.append((one.text("type").rpartition(".")[2], inside))
    return steps


def _config(path: Path) -> Config:
    return Config(read_json(path / "config.json"), str(path / "config.json"))


def _pooling(config: Config) -> tuple[Pooling, ...]:
    if "pooling_mode" in config:
        stated = config.values["pooling_mode"]
        names = stated if isinstance(stated, list) else [stated]
    else:
        names = [name for key, name in _FLAGS.items() if config.flag(key, False)] or ["mean"]
    for name in names:
        config.require(
            name in POOLINGS, f"'pooling_mode' {name!r} is not one of {', '.join(POOLINGS)}"
        )
    return tuple(POOLINGS[str(name)] for name in names)


def _projection(config: Config) -> Projection:
    config.require(not config.flag("use_residual", False), "'use_residual' is not supported")
    for key in ("module_input_name", "module_output_name"):
        config.choice(key, ("sentence_embedding",), "sentence_embedding")
    name = config.text("activation_function", "torch.nn.Tanh").rpartition(".")[2]
    config.require(
        name in _ACTIVATIONS,
        f"'activation_function' {name!r} is not one of {', '.join(_ACTIVATIONS)}",
    )
    return Projection(
        config.integer("in_features"),
        config.integer("out_features"),
        _ACTIVATIONS[name],
        config.flag("bias", True),
    )


def _weights(path: Path) -> Path:
    file = path / "model.safetensors"
    if not file.is_file():
        raise NotFoundError(
            f"{path} holds a projection without model.safetensors; save the model again with"
            " sentence-transformers, which writes one"
        )
    return file


def _prompts(folder: Path) -> tuple[Mapping[str, str], str | None]:
    file = folder / "config_sentence_transformers.json"
    if not file.is_file():
        return {}, None
    config = Config(read_json(file), str(file))
    prompts = {key: str(text) for key, text in config.section("prompts").values.items()}
    default = config.text("default_prompt_name") if "default_prompt_name" in config else None
    config.require(
        default is None or default in prompts, f"'default_prompt_name' {default!r} has no prompt"
    )
    return prompts, default


def _text(folder: Path) -> tuple[int | None, bool]:
    """Return the longest text in tokens, and whether texts are lowered."""
    file = folder / "sentence_bert_config.json"
    if not file.is_file():
        return None, False
    config = Config(read_json(file), str(file))
    return config.optional_integer("max_seq_length"), config.flag("do_lower_case", False)
