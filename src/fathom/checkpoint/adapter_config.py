"""What a LoRA adapter's ``adapter_config.json`` says, read as data and never as code.

PEFT writes some fifty keys. Those that change the arithmetic are read or refused; those that
only steered the training are passed over. Patterns are compared as text: a regular expression
from a file could run for ever.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt
from pathlib import Path

from fathom.checkpoint.documents import read_json
from fathom.dialects.config import Config
from fathom.errors import ModelFileError

FILE = "adapter_config.json"
MOST_RANK = 65_536  # wider than any layer; the tensors' own shapes decide

# Kinds of LoRA that compute something else, each with what to do about it.
REFUSED: Mapping[str, str] = {
    "alora_invocation_tokens": "it acts from certain tokens on; train it without them",
    "arrow_config": "it chooses among adapters; open one of them",
    "kasa_config": "it has singular values of its own; merge it with peft first",
    "layer_replication": "it repeats layers; merge it with peft first",
    "lora_bias": "its factors have biases; merge it with peft first",
    "monteclora_config": "it samples its weights; merge it with peft first",
    "target_parameters": "it changes parameters without a module; merge it with peft first",
    "trainable_token_indices": "it changes single tokens; merge it with peft first",
    "use_bdlora": "its factors are in blocks; merge it with peft first",
    "use_qalora": "it pools its inputs; merge it with peft first",
}
# Ways to begin the training that leave the base as it is. Others change it in secret.
INNOCENT_BEGINNINGS = (None, True, False, "gaussian", "eva", "orthogonal")
# Where a base's class may come from. It is never imported; any other name is an attack.
PARENTS = frozenset({"transformers", "transformers_modules", "peft", "sentence_transformers"})

_LITERAL = re.compile(r"(?P<whole>\^?)(?P<name>[\w.-]+)\$?")


@dataclass(frozen=True, slots=True)
class Pattern:
    """The end of a module's name, or the `whole` of it."""

    name: str
    whole: bool

    def fits(self, module: str) -> bool:
        """Tell whether a module is meant."""
        return module == self.name or (not self.whole and module.endswith("." + self.name))


@dataclass(frozen=True)
class Settings:
    """How the tensors of an adapter are to be understood.

    `ranks` and `alphas` are for the modules that their patterns fit, the first one counts.
    `targets` are the modules that are changed, by the ends of their names; None where the
    configuration leaves that to the file. With `everywhere`, all modules of such a name are.
    `saved` are modules that the adapter brings whole, each a copy of its own.
    """

    base: str | None
    rank: int
    alpha: float
    ranks: Mapping[Pattern, int]
    open_ranks: bool  # a pattern of `ranks` is a regular expression, so any rank may be meant
    alphas: Mapping[Pattern, float]
    by_root: bool  # rsLoRA: divided by the root of the rank
    magnitudes: bool  # DoRA
    targets: tuple[str, ...] | None
    everywhere: bool
    saved: tuple[str, ...]

    def scale(self, module: str, rank: int) -> float:
        """Return what the change of a module is multiplied by."""
        alpha = next((a for pattern, a in self.alphas.items() if pattern.fits(module)), self.alpha)
        return alpha / (sqrt(rank) if self.by_root else rank)

    def expects(self, module: str, rank: int) -> bool:
        """Tell whether a module may have this rank."""
        stated = next((r for pattern, r in self.ranks.items() if pattern.fits(module)), self.rank)
        return rank == stated or self.open_ranks


def read_settings(folder: Path) -> Settings:
    """Read the configuration in an adapter's folder.

    Raises:
        NotFoundError: there is none.
        ModelFileError: ``E_UNSAFE_CODE`` where it names code to run; others for broken JSON.
        ConfigError: for a kind of adapter that cannot be opened, or a value out of range.
    """
    file = folder / FILE
    config = Config(read_json(file), FILE)
    _refuse_code(config, file)
    _refuse_kinds(config)
    ranks, alphas = config.section("rank_pattern"), config.section("alpha_pattern")
    unread = [key for key in alphas.values if _literal(key) is None]
    config.require(
        not unread, f"'alpha_pattern' holds {unread[:1]}, which is no module's name; write names"
    )
    narrowed = ("layers_to_transform", "layers_pattern", "exclude_modules")
    targets = _targets(config)
    return Settings(
        base=_base(config),
        rank=config.integer("r", most=MOST_RANK),
        alpha=config.number("lora_alpha"),
        ranks={
            pattern: ranks.integer(key, most=MOST_RANK)
            for key in ranks.values
            if (pattern := _literal(key)) is not None
        },
        open_ranks=any(_literal(key) is None for key in ranks.values),
        alphas={
            pattern: alphas.number(key)
            for key in alphas.values
            if (pattern := _literal(key)) is not None
        },
        by_root=config.flag("use_rslora", False),
        magnitudes=config.flag("use_dora", False),
        targets=targets,
        everywhere=targets is not None and not any(_is_set(config, key) for key in narrowed),
        saved=_names(config, "modules_to_save"),
    )


def _refuse_code(config: Config, file: Path) -> None:
    """Refuse what names code. Nothing of it would be run; who writes it is not to be trusted."""
    parent = config.section("auto_mapping").values.get("parent_library")
    if parent is not None and str(parent).partition(".")[0] not in PARENTS:
        detail = f"'auto_mapping' names the library {str(parent)[:60]!r}; do not use this adapter"
        raise ModelFileError("E_UNSAFE_CODE", detail, file=file)
    core = config.values.get("megatron_core")
    if _is_set(config, "megatron_config") or core not in (None, "megatron.core"):
        detail = "'megatron_config' and 'megatron_core' name code to run; remove both keys"
        raise ModelFileError("E_UNSAFE_CODE", detail, file=file)


def _refuse_kinds(config: Config) -> None:
    """Refuse adapters that compute something else than a low-rank change."""
    kind = config.text("peft_type")
    config.require(kind == "LORA", f"adapters of the kind {kind[:40]!r} do not open, LORA does")
    config.choice("bias", ("none", "all", "lora_only"), "none")
    for key, reason in REFUSED.items():
        config.require(not _is_set(config, key), f"'{key}' is set: {reason}")
    beginning = config.values.get("init_lora_weights")
    config.require(
        beginning in INNOCENT_BEGINNINGS,
        f"'init_lora_weights' is {str(beginning)[:40]!r}, which changed the base as well; save it"
        " as plain LoRA with peft's path_initial_model_for_weight_conversion",
    )


def _is_set(config: Config, key: str) -> bool:
    return config.values.get(key) not in (None, False, "", [], {})


def _targets(config: Config) -> tuple[str, ...] | None:
    """Return the names that are listed; a single text is a pattern, or means all linear maps."""
    listed = isinstance(config.values.get("target_modules"), list)
    return _names(config, "target_modules") if listed else None


def _names(config: Config, key: str) -> tuple[str, ...]:
    found = config.items(key, ())
    names = tuple(name for name in found if isinstance(name, str) and name)
    config.require(len(names) == len(found), f"'{key}' must be a list of module names")
    return names


def _literal(key: str) -> Pattern | None:
    """Return a key of ``rank_pattern`` as the name that it spells, or None for an expression."""
    found = _LITERAL.fullmatch(key.replace("\\.", "."))
    return None if found is None else Pattern(found["name"], bool(found["whole"]))


def _base(config: Config) -> str | None:
    """Return the name of the base, with its revision where it is one of the hub's."""
    if "base_model_name_or_path" not in config:
        return None
    base, revision = config.text("base_model_name_or_path"), config.text("revision", "")
    return f"{base}@{revision}" if base and revision and "@" not in base else base or None
