"""A LoRA adapter as PEFT saves it: what it changes, known from headers and configuration alone.

    W ← W + scale · up @ down        Hu et al., 2021 (arXiv 2106.09685)

An adapter speaks the publisher's names. So do the rules between a file and our parameters,
which therefore lead an adapter to its place in any base, whatever format that came in.
rsLoRA: Kalajdzievski, 2023 (arXiv 2312.03732); DoRA: Liu et al., 2024 (arXiv 2402.09353).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fathom.checkpoint import adapter_config, pickles, safetensors
from fathom.checkpoint.adapter_config import Settings, read_settings
from fathom.checkpoint.contents import Contents
from fathom.checkpoint.index import check_inside
from fathom.errors import NotFoundError, TensorMismatchError

__all__ = ["Adapter", "Change", "Replacement", "notes", "read_adapter", "stands_alone"]

WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")  # the first that is there
SHOWN = 4  # complaints listed in an error

# Factors of a change: newer files leave out the adapter's own name ("default").
_FACTOR = re.compile(
    r"(?P<module>.+)\.lora_(?P<part>A|B|embedding_A|embedding_B|magnitude_vector)"
    r"(?:\.(?P<adapter>[^.]+))??(?:\.weight)?"
)
_WRAPPING = re.compile(r"\.(?:modules_to_save(?:\.default)?|base_layer)(?=\.)")
# The parts of a linear map's change, and of a table's.
_PAIRS: Mapping[frozenset[str], tuple[str, str, bool]] = {
    frozenset({"A", "B"}): ("A", "B", False),
    frozenset({"embedding_A", "embedding_B"}): ("embedding_A", "embedding_B", True),
}


@dataclass(frozen=True, slots=True)
class Change:
    """A low-rank change of one tensor of the publisher; the factors by their names in the file.

    `down` is (rank, inputs) and `up` (outputs, rank). Of a `table` the rows are the inputs and
    the width is the outputs. A `magnitude` (outputs,) gives what one output is made of this
    length (DoRA).
    """

    tensor: str
    down: str
    up: str
    rank: int
    scale: float
    magnitude: str | None = None
    table: bool = False


@dataclass(frozen=True, slots=True)
class Replacement:
    """A tensor of the publisher that the adapter brings whole, by its name in the file.

    One of its `own` is a copy beside the base's: what is tied to the base's stays with that.
    """

    tensor: str
    source: str
    own: bool


@dataclass(frozen=True)
class Adapter:
    """What the folder at `path` does to a base. `base` is the name that it gives for that.

    `targets` are ends of module names that must all be changed wherever the base has one.
    """

    path: Path
    base: str | None
    contents: Contents
    changes: tuple[Change, ...]
    replacements: tuple[Replacement, ...]
    targets: tuple[str, ...] = ()

    @property
    def elements(self) -> int:
        """How many numbers it holds."""
        return sum(tensor.elements for tensor in self.contents.tensors.values())

    @property
    def tokenized(self) -> bool:
        """Whether it brings a tokenizer, which then goes before the base's."""
        return any((self.path / name).is_file() for name in ("tokenizer.json", "tokenizer.model"))

    @property
    def ranks(self) -> tuple[int, ...]:
        """The ranks of its changes, each once."""
        return tuple(sorted({change.rank for change in self.changes}))


def stands_alone(path: Path) -> bool:
    """Tell whether a folder holds an adapter and no model: opening it means opening its base."""
    if not (path / adapter_config.FILE).is_file():
        return False
    files = [file for file in path.iterdir() if not file.name.startswith("adapter_model")]
    return not any(
        file.suffix in (".safetensors", ".gguf") or file.name.startswith("pytorch_model")
        for file in files
    )


def read_adapter(folder: Path, *, allow_pickle: bool = False) -> Adapter:
    """Understand the adapter in a folder; no tensor is read.

    Raises:
        NotFoundError: there is none.
        ModelFileError: a file is damaged, names code, or is a pickle without `allow_pickle`.
        ConfigError: for a kind of adapter that cannot be opened.
        TensorMismatchError: where file and configuration contradict one another.
    """
    if not folder.is_dir():
        raise NotFoundError(f"{folder}: an adapter is a folder with {adapter_config.FILE}; name it")
    settings = read_settings(folder)
    contents = _contents(folder, allow_pickle)
    factors, whole = _sorted_names(contents)
    complaints: list[str] = []
    changes = [
        change
        for module, parts in factors.items()
        if (change := _change(module, parts, settings, contents, complaints)) is not None
    ]
    if not factors:
        complaints.append("it has no lora_A and lora_B tensors")
    if complaints:
        more = f" … and {len(complaints) - SHOWN} more" if len(complaints) > SHOWN else ""
        raise TensorMismatchError(
            f"The adapter {folder.name} contradicts its {adapter_config.FILE}:"
            f" {'; '.join(complaints[:SHOWN])}{more}. Fetch it again, both files from one place"
        )
    return Adapter(
        path=folder,
        base=settings.base,
        contents=contents,
        changes=tuple(changes),
        replacements=tuple(_replacement(name, settings) for name in whole),
        targets=_promised(settings),
    )


def notes(adapter: Adapter | None, base: Path) -> tuple[str, ...]:
    """Return what a reader of a card should know: which adapter is on, or that one is not.

    `base` is the folder of the model. An adapter that lies there was asked for by nobody.
    """
    if adapter is None:
        beside = (base / adapter_config.FILE).is_file()
        return ("an adapter is beside the weights and is not on; name it to have it",) * beside
    ranks = " and ".join(str(rank) for rank in adapter.ranks)
    return (
        f"the adapter {adapter.path.name} is on it: LoRA of rank {ranks} on"
        f" {len(adapter.changes):,} tensors, {adapter.elements:,} numbers",
    )


def _contents(folder: Path, allow_pickle: bool) -> Contents:
    for name in WEIGHTS:
        file = folder / name
        if file.is_file():
            check_inside(file, folder)
            if file.suffix == ".bin":
                return pickles.read_pickles((file,), allow_pickle=allow_pickle)
            return safetensors.read_header(file)
    raise NotFoundError(f"{folder} has no {WEIGHTS[0]}; is the download complete?")


def _sorted_names(contents: Contents) -> tuple[dict[str, dict[str, str]], list[str]]:
    """Return the factors' names by module and part, and the names of tensors that come whole."""
    factors: dict[str, dict[str, str]] = defaultdict(dict)
    whole = []
    for name in contents.tensors:
        found = _FACTOR.fullmatch(name)
        if found is None:
            whole.append(name)
            continue
        parts = factors[_module(found["module"])]
        if found["part"] in parts:
            raise TensorMismatchError(
                f"'{name}' and '{parts[found['part']]}' are factors of one module: the file holds"
                " several adapters; save one by itself"
            )
        parts[found["part"]] = name
    return factors, whole


def _module(name: str) -> str:
    """Return the publisher's name of a module that PEFT has wrapped in its own."""
    return name.removeprefix("base_model.model.")


def _change(
    module: str,
    parts: Mapping[str, str],
    settings: Settings,
    contents: Contents,
    complaints: list[str],
) -> Change | None:
    """Return the change of one module, or None after a complaint."""
    magnitude = parts.get("magnitude_vector")
    pair = _PAIRS.get(frozenset(parts) - {"magnitude_vector"})
    if pair is None:
        complaints.append(f"'{module}' has {sorted(parts)} of the factors A and B")
        return None
    if (magnitude is not None) != settings.magnitudes:
        held = "a magnitude" if magnitude else "no magnitude"
        complaints.append(f"'{module}' has {held}, 'use_dora' is {settings.magnitudes}")
        return None
    if not _is_targeted(module, settings):
        complaints.append(f"'{module}' is not among 'target_modules'")
        return None
    down, up = (contents.tensors[parts[part]].shape for part in pair[:2])
    if len(down) != 2 or len(up) != 2 or not down[0] == up[1] > 0:
        complaints.append(f"the factors of '{module}' are {list(down)} and {list(up)}")
        return None
    if not settings.expects(module, down[0]):
        complaints.append(f"'{module}' has rank {down[0]:,}, not as 'r' or 'rank_pattern' say")
        return None
    scale = settings.scale(module, down[0])
    names = parts[pair[0]], parts[pair[1]]
    return Change(f"{module}.weight", *names, down[0], scale, magnitude, table=pair[2])


def _is_targeted(module: str, settings: Settings) -> bool:
    targets = settings.targets
    return targets is None or any(module == t or module.endswith("." + t) for t in targets)


def _promised(settings: Settings) -> tuple[str, ...]:
    """Return the targets whose every module must be changed, where nothing narrows them."""
    if not settings.everywhere or settings.targets is None:
        return ()
    return tuple(target for target in settings.targets if target not in settings.saved)


def _replacement(name: str, settings: Settings) -> Replacement:
    tensor = _WRAPPING.sub("", _module(name))
    parents = tensor.split(".")
    own = ".base_layer." not in name and any(
        ".".join(parents[:end]).endswith(saved)
        for saved in settings.saved
        for end in range(1, len(parents))
    )
    return Replacement(tensor, name, own)
