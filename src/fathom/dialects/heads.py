"""Which head an encoder bears, and its labels: read the same way for every family.

The architecture that a configuration names decides; its last words are the same everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

from fathom.dialects.config import Config
from fathom.errors import ConfigError
from fathom.spec.heads import Labelling

Task: TypeAlias = Literal["none", "mask", "sequence", "tokens", "span"]

# How the names of architectures end, for one task each.
_TASKS: Mapping[str, Task] = {
    "Model": "none",
    "ForMaskedLM": "mask",
    "ForPreTraining": "mask",
    "ForSequenceClassification": "sequence",
    "ForTokenClassification": "tokens",
    "ForQuestionAnswering": "span",
}
_KINDS: Mapping[str, Labelling] = {
    "single_label_classification": "one",
    "multi_label_classification": "several",
    "regression": "number",
}


def read_task(config: Config) -> Task:
    """Return the task whose head a checkpoint has; a configuration that names none has no head.

    Raises:
        ConfigError: for an architecture that is not one of these.
    """
    named = config.items("architectures", ())
    if not named:
        return "none"
    architecture = str(named[0])
    for ending, task in _TASKS.items():
        if architecture.endswith(ending):
            return task
    raise ConfigError(
        f"{config.where}: the architecture '{architecture}' has a head that is not supported;"
        f" supported endings are {', '.join(_TASKS)}"
    )


def read_labels(config: Config, count: int = 2) -> tuple[str, ...]:
    """Return the names of the labels in order; `count` of them where none are named.

    Raises:
        ConfigError: for labels that are not numbered from 0 on.
    """
    named = config.section("id2label").values
    if not named:
        return tuple(f"LABEL_{i}" for i in range(config.integer("num_labels", count, most=10**6)))
    labels = {str(number): label for number, label in named.items()}
    numbers = [str(i) for i in range(len(labels))]
    config.require(set(labels) == set(numbers), "'id2label' must number its labels from 0 on")
    return tuple(str(labels[number]) for number in numbers)


def read_kind(config: Config, labels: int) -> Labelling:
    """Return how the scores of labels are meant; one label alone is scored by itself.

    Rerankers trained with sentence-transformers may say that their score is a plain number.
    """
    own = config.section("sentence_transformers")
    older = config.text("sbert_ce_default_activation_function", "")
    if own.text("activation_fn", older).endswith(".Identity"):
        return "number"
    if "problem_type" not in config:
        return "several" if labels == 1 else "one"
    return _KINDS[config.choice("problem_type", _KINDS)]
