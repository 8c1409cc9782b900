"""One architecture variant to be proven: a tiny random checkpoint of the reference's own making."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

R = TypeVar("R")


@dataclass(frozen=True)
class Case:
    """A variant of a ``model_type``, by the arguments of the reference's configuration.

    Every field that changes the arithmetic should differ from what hides it: windows shorter
    than `length`, a context scaled beyond its original, biases on, head counts unequal.
    """

    model_type: str
    label: str
    config: Mapping[str, object]
    length: int = 24
    tolerance: float = 1e-4  # of logits, relative to the largest one
    batches: bool = True  # left- and right-padded rows equal single runs
    saves: bool = True  # the reference opens what we save
    gguf: str = ""  # "ours": GGUF can hold this variant; "transformers": and it reads it too
    # Keys that a converter works out, beyond those that are the configuration's own.
    gguf_keys: Mapping[str, object] = field(default_factory=dict)
    gguf_names: bool = True  # ggml's own map knows the publisher's names
    attention: str = "eager"  # the reference's implementation
    # Where transformers has no class: builds and saves a reference written in the tests.
    build: Callable[[Path], Reference] | None = None
    notes: str = ""

    @property
    def id(self) -> str:
        return f"{self.model_type}-{self.label}"


@dataclass(frozen=True)
class Reference:
    """The independent implementation, and the folder that it saved."""

    folder: Path
    model: nn.Module
    vocabulary: int
    tensors: Mapping[str, Tensor] = field(default_factory=dict)

    def logits(self, tokens: Tensor, real: Tensor | None = None) -> Tensor:
        """(batch, length) → (batch, length, vocabulary); `real` is False at padding."""
        with torch.inference_mode():
            mask = None if real is None else real.long()
            return self.model(input_ids=tokens, attention_mask=mask, use_cache=False).logits


def rounded(reference: R) -> R:
    """Return a copy of a reference in bfloat16; the one that is shared keeps its own numbers."""
    return replace(reference, model=deepcopy(reference.model).to(torch.bfloat16))


def build_reference(case: Case, folder: Path) -> Reference:
    """Make a tiny random checkpoint and save it as the reference library does."""
    if case.build is not None:
        return case.build(folder)
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(len(case.id))
    config = AutoConfig.for_model(case.model_type, **case.config)
    model = AutoModelForCausalLM.from_config(
        config, attn_implementation=case.attention, dtype=torch.float32
    )
    randomise(model)
    model.eval().save_pretrained(folder)
    return Reference(folder, model, config.vocab_size)


def randomise(model: nn.Module) -> None:
    """Give every parameter a value that shows when it is left out or misplaced.

    A fresh model's biases are zero and its norms one, which hides both. Vectors lie on a grid of
    2⁻¹⁰, as real weights in bfloat16 lie on theirs, so that adding one to a norm loses no bit.
    """
    generator = torch.Generator().manual_seed(20)
    for tensor in model.state_dict(keep_vars=True).values():
        if not tensor.is_floating_point():
            continue
        noise = torch.randn(tensor.shape, generator=generator)
        if tensor.ndim < 2:
            tensor.data = ((tensor.data + 0.3 * noise) * 1024).round() / 1024
        else:
            tensor.data = noise * 1.2 / tensor.shape[-1] ** 0.5
