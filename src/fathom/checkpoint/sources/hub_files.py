"""Which files of a hub repository make up the model that was asked for. Names only, no network."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

from fathom.errors import ModelFileError, NotFoundError, nearest

# The encodings to prefer where a GGUF repository is named without a file: the field's usual
# compromise first, then the nearest in size. https://github.com/ggml-org/llama.cpp/discussions/2094
PREFERRED_ENCODINGS = (
    "Q4_K_M", "Q4_K_S", "Q4_1", "Q4_0", "IQ4_NL", "IQ4_XS", "Q5_K_M", "Q5_K_S", "Q5_1", "Q5_0",
    "Q6_K", "Q8_0", "MXFP4", "Q3_K_L", "Q3_K_M", "Q3_K_S", "BF16", "F16", "F32", "Q2_K",
)  # fmt: skip

CONFIGURATION = "config.json"
PIPELINE = "model_index.json"  # of diffusers: its parts are in folders of their own
PICKLES = (".bin", ".pt", ".pth", ".ckpt")
_INDEX = ".index.json"
_SHARD = re.compile(r"-(\d{5})-of-(\d{5})(?=\.[a-z]+\Z)")
_CANONICAL = re.compile(
    r"(?:model|pytorch_model|diffusion_pytorch_model|adapter_model)"
    r"(?:-\d{5}-of-\d{5})?\.(?:safetensors|bin)"
)
# What a model needs beside its weights: configuration, tokenizer, template, licence, description.
_BESIDE = re.compile(
    r".*\.(?:json|jinja|jinja2|model|tiktoken|spm|bpe)|(?:vocab|merges|added_tokens)[\w.-]*\.txt"
    r"|(?:README|LICEN[CS]E|NOTICE)[\w.-]*",
    re.IGNORECASE,
)
# A projection of an embedding model, in a numbered folder of its own (sentence-transformers).
_PROJECTION = re.compile(r"\d+_[^/]+/model\.safetensors")


@dataclass(frozen=True, slots=True)
class Selection:
    """The files to fetch, weights last, and what the user is then given.

    `path` is the file or folder of the repository that is the model; empty for all of it.
    """

    path: str
    files: tuple[str, ...]
    notes: tuple[str, ...] = ()


def select(
    names: Collection[str], wanted: str | None, repository: str, *, allow_pickle: bool = False
) -> Selection:
    """Choose among `names`, the files of `repository`.

    `wanted` is a file, a folder or the encoding of a GGUF file; without it safetensors are
    preferred to GGUF and GGUF to pickles, which are refused unless `allow_pickle`. A pipeline is
    configured by its index and what lies beside and below it, so that is its configuration.

    Raises:
        NotFoundError: no such file, or no weights at all.
        ModelFileError: ``E_PICKLE``, only pickles are there.
    """
    if wanted == CONFIGURATION and wanted not in names and PIPELINE in names:
        below = sorted(name for name in names if _is_beside(name) and not name.startswith("onnx/"))
        return Selection(PIPELINE, (*(name for name in below if name != PIPELINE), PIPELINE))
    if wanted is None or any(name.startswith(wanted + "/") for name in names):
        return _folder(names, wanted or "", repository, allow_pickle)
    if wanted not in names:
        return _by_encoding(names, wanted, repository)
    if wanted.endswith(PICKLES) and not allow_pickle:
        raise _pickle_refused(repository, wanted)
    beside = [] if wanted.endswith(".gguf") else _beside(names, str(PurePosixPath(wanted).parent))
    weights = _shards(names, wanted)
    return Selection(wanted, (*(name for name in beside if name not in weights), *weights))


def complete(selection: Selection) -> bool:
    """Whether every shard that the names of the selected files speak of is among them."""
    for name in selection.files:
        shard = _SHARD.search(name)
        if shard is not None:
            family = _family(name)
            count = sum(1 for other in selection.files if _family(other) == family)
            if count != int(shard[2]):
                return False
    return True


def _folder(names: Collection[str], folder: str, repository: str, allow_pickle: bool) -> Selection:
    prefix = folder + "/" if folder else ""
    below = {name.removeprefix(prefix) for name in names if name.startswith(prefix)}
    pipeline = PIPELINE in below
    here = {name for name in below if pipeline or "/" not in name}
    weights = _weights(here, ".safetensors")
    notes: tuple[str, ...] = ()
    if not weights and (files := [name for name in below if name.endswith(".gguf")]):
        return _preferred_gguf(names, [prefix + name for name in files], repository)
    if not weights:
        weights = _weights(here, ".bin") or _weights(here, PICKLES)
        if weights and not allow_pickle:
            raise _pickle_refused(repository, weights[0])
    if not weights:
        raise NotFoundError(
            f"{repository} has no weights{' in ' + folder if folder else ''}: no .safetensors, "
            ".gguf or .bin file; name another repository, or a file of it as owner/name:file."
        )
    beside = [name for name in sorted(below) if _is_beside(name) and not name.startswith("onnx/")]
    if "modules.json" in below:
        beside += sorted(name for name in below if _PROJECTION.fullmatch(name))
    return Selection(folder, tuple(prefix + name for name in (*beside, *weights)), notes)


def _weights(names: Iterable[str], suffix: str | tuple[str, ...]) -> list[str]:
    """The weights among `names`: those under their usual names, or else all with the suffix."""
    files = sorted(name for name in names if name.endswith(suffix))
    usual = [name for name in files if _CANONICAL.fullmatch(PurePosixPath(name).name)]
    sharded = {PurePosixPath(name).parent for name in usual if _SHARD.search(name)}
    both = [n for n in usual if PurePosixPath(n).parent not in sharded or _SHARD.search(n)]
    return both or files


def _beside(names: Iterable[str], folder: str) -> list[str]:
    return sorted(n for n in names if str(PurePosixPath(n).parent) == folder and _is_beside(n))


def _is_beside(name: str) -> bool:
    return _BESIDE.fullmatch(PurePosixPath(name).name) is not None


def _family(name: str) -> str:
    return _SHARD.sub("", name)


def _shards(names: Iterable[str], one: str) -> list[str]:
    """All shards of the file `one`, in order; itself alone where it is not sharded."""
    if not _SHARD.search(one):
        return [one]
    return sorted(name for name in names if _SHARD.search(name) and _family(name) == _family(one))


def _encoding(name: str) -> str:
    """The encoding that a GGUF file name ends in, upper case: ``Q4_K_M``; empty if none."""
    stem = PurePosixPath(_family(name)).stem
    match = re.search(r"[-._]((?:I?Q\d|TQ\d|BF16|F16|F32|MXFP4)\w*)\Z", stem, re.IGNORECASE)
    return match[1].upper() if match else ""


def _models(files: Iterable[str]) -> list[str]:
    """First shards of GGUF files that are models: no projector, no importance matrix."""
    return sorted(
        name
        for name in files
        if not re.search(r"mmproj|imatrix", PurePosixPath(name).name, re.IGNORECASE)
        and ((shard := _SHARD.search(name)) is None or int(shard[1]) == 1)
    )


def _preferred_gguf(names: Collection[str], files: list[str], repository: str) -> Selection:
    models = _models(files)
    if not models:
        raise NotFoundError(
            f"{repository} has GGUF files but none is a model; name one as {repository}:{files[0]}."
        )
    rank = {encoding: place for place, encoding in enumerate(PREFERRED_ENCODINGS)}
    chosen = min(models, key=lambda name: (rank.get(_encoding(name), len(rank)), name))
    note = (
        f"{PurePosixPath(chosen).name} was chosen among {len(models)} GGUF files; "
        f"name another as {repository}:file or {repository}:encoding."
    )
    return Selection(chosen, tuple(_shards(names, chosen)), (note,) if len(models) > 1 else ())


def _by_encoding(names: Collection[str], wanted: str, repository: str) -> Selection:
    models = _models(name for name in names if name.endswith(".gguf"))
    found = [name for name in models if _encoding(name) == wanted.upper()]
    if len(found) != 1:
        known = [name for name in names if _is_beside(name) is False and "." in name[1:]]
        encodings = [encoding for name in models if (encoding := _encoding(name))]
        listed = f" Its encodings are {', '.join(encodings)}." if encodings else ""
        raise NotFoundError(f"{repository} has no {wanted}.{nearest(wanted, known)}{listed}")
    return Selection(found[0], tuple(_shards(names, found[0])))


def _pickle_refused(repository: str, file: str) -> ModelFileError:
    return ModelFileError(
        "E_PICKLE",
        f"{repository} offers its weights only as a pickle ({file}), which can run any code; "
        "look for a safetensors or GGUF conversion of it, or pass --allow-pickle",
    )
