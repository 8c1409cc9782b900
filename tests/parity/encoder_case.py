"""One encoder to be proven: a tiny random checkpoint of the reference's own making."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from parity.case import randomise


@dataclass(frozen=True)
class EncoderCase:
    """A variant of an encoder, by the reference's class and the arguments of its configuration."""

    model_type: str
    label: str
    architecture: str  # the reference's class, which says what head there is
    config: Mapping[str, object]
    length: int = 24
    tolerance: float = 1e-4  # relative to the largest value
    pooler: bool | None = None  # whether the file of a trunk has one, where that is a choice
    gguf: bool = False  # GGUF can hold this variant
    lost: tuple[str, ...] = ()  # tensors that saving leaves out, because nothing reads them

    @property
    def id(self) -> str:
        return f"{self.model_type}-{self.architecture.split('For')[-1]}-{self.label}"


@dataclass(frozen=True)
class EncoderReference:
    """The independent implementation, and the folder that it saved."""

    folder: Path
    model: nn.Module
    vocabulary: int
    padding: int

    def outputs(self, tokens: Tensor, types: Tensor | None = None) -> Tensor:
        """Return what the head says, or the pooled output, or the hidden states."""
        return outputs(self.model, tokens, types)

    def hidden(self, tokens: Tensor, real: Tensor | None = None) -> Tensor:
        """Return the last hidden states, (batch, length, width)."""
        trunk = getattr(self.model, self.model.base_model_prefix, self.model)
        with torch.inference_mode():
            mask = None if real is None else real.long()
            return trunk(input_ids=tokens, attention_mask=mask).last_hidden_state


def outputs(model: nn.Module, tokens: Tensor, types: Tensor | None) -> Tensor:
    """Return the model's result as one tensor, whatever its head."""
    extra = {} if types is None else {"token_type_ids": types}
    with torch.inference_mode():
        result = model(input_ids=tokens, **extra)
    if hasattr(result, "start_logits"):
        return torch.stack((result.start_logits, result.end_logits), dim=-1)
    if hasattr(result, "prediction_logits"):
        return result.prediction_logits
    if hasattr(result, "logits"):
        return result.logits
    pooled = getattr(result, "pooler_output", None)
    return result.last_hidden_state if pooled is None else pooled


def build_encoder(case: EncoderCase, folder: Path) -> EncoderReference:
    """Make a tiny random checkpoint and save it as the reference library does."""
    import transformers

    torch.manual_seed(len(case.id))
    model_class = getattr(transformers, case.architecture)
    config = transformers.AutoConfig.for_model(case.model_type, **case.config)
    config._attn_implementation = "eager"
    choice = {} if case.pooler is None else {"add_pooling_layer": case.pooler}
    model = model_class(config, **choice)
    randomise(model)
    model.eval().save_pretrained(folder)
    padding = config.pad_token_id if config.pad_token_id is not None else 0
    return EncoderReference(folder, model, config.vocab_size, padding)
