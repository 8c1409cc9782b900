"""One sequence-to-sequence model to be proven: a tiny random checkpoint."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from parity.case import randomise


@dataclass(frozen=True)
class PairCase:
    """A variant, by the reference's class and the arguments of its configuration."""

    model_type: str
    label: str
    architecture: str
    config: Mapping[str, object]
    length: int = 24
    tolerance: float = 1e-4
    own_output: bool = False  # an output that the published file keeps apart from the table
    gguf: bool = False  # GGUF can hold this variant
    lost: tuple[str, ...] = ()  # tensors that saving leaves out: computed, or read by nobody

    @property
    def id(self) -> str:
        return f"{self.model_type}-{self.label}"


@dataclass(frozen=True)
class PairReference:
    """The independent implementation, and the folder that it saved."""

    folder: Path
    model: nn.Module
    read: int  # tokens that may be read
    written: int  # tokens that may be written

    def logits(self, source: Tensor, target: Tensor, real: Tensor | None = None) -> Tensor:
        """(batch, source length), (batch, length) → (batch, length, vocabulary)."""
        with torch.inference_mode():
            mask = None if real is None else real.long()
            return self.model(
                input_ids=source, attention_mask=mask, decoder_input_ids=target, use_cache=False
            ).logits


def build_pair(case: PairCase, folder: Path) -> PairReference:
    """Make a tiny random checkpoint and save it as the reference library does."""
    import transformers

    torch.manual_seed(len(case.id))
    config = transformers.AutoConfig.for_model(case.model_type, **case.config)
    config._attn_implementation = "eager"
    model = getattr(transformers, case.architecture)(config)
    if case.own_output:
        model.lm_head.weight = nn.Parameter(torch.empty_like(model.lm_head.weight))
    randomise(model)
    _rewind(model)
    model.eval().save_pretrained(folder)
    if case.own_output:
        _publish_untied(folder)
    written = getattr(config, "decoder_vocab_size", None) or config.vocab_size
    return PairReference(folder, model, config.vocab_size, written)


def _rewind(model: nn.Module) -> None:
    """Waves are computed, not learned: give them back what `randomise` took."""
    with torch.no_grad():
        for module in model.modules():
            if "Sinusoidal" in type(module).__name__:
                module.weight.copy_(module.create_weight())


def _publish_untied(folder: Path) -> None:
    """Say in the configuration what publishers of such files say."""
    file = folder / "config.json"
    config = json.loads(file.read_text())
    config["tie_word_embeddings"] = False
    del config["scale_decoder_outputs"]
    file.write_text(json.dumps(config))
