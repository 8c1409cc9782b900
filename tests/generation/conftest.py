"""A tiny random Llama, ours and transformers', with a tokenizer whose tokens are single bytes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import tokenizers
import torch
from torch import Tensor, nn
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedModel,
)

from fathom.checkpoint.naming import assign
from fathom.dialects.config import Config
from fathom.dialects.dialect import find
from fathom.generation.generate import Engine
from fathom.generation.modules import ModuleForward
from fathom.inputs.pieces import byte_alphabet
from fathom.inputs.tokenizer import Source, Tokenizer
from fathom.models.decoder import Decoder
from fathom.residency.resident import load
from fathom.spec.parts import parameters

SPECIAL = ("<s>", "</s>", "<think>", "</think>")
CONTEXT = 256
FAMILIES = {
    "llama": (LlamaConfig, LlamaForCausalLM),
    "mistral": (MistralConfig, MistralForCausalLM),
}


@dataclass(frozen=True)
class Tiny:
    """One model twice: `ours` computes what `theirs` computes."""

    ours: Decoder
    theirs: PreTrainedModel
    tokenizer: Tokenizer

    def engine(self, context: int = CONTEXT) -> Engine:
        return Engine(self.forward, self.tokenizer, context=context)

    @property
    def forward(self) -> ModuleForward:
        return ModuleForward(self.ours, dtype=torch.float32)


@dataclass(frozen=True)
class Tensors:
    """Tensors by name, as a source of weights."""

    named: dict[str, Tensor]

    def tensor(self, name: str, dtype: torch.dtype | None = None) -> Tensor:
        return self.named[name].to(dtype)

    def maps(self, tensor: Tensor) -> bool:
        return True  # they belong to the other model, so ours takes copies

    def kept(self, tensor: Tensor) -> Tensor:
        return tensor.clone()

    def release(self, name: str) -> None:
        pass


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    """Ids 0 … 255 are the bytes themselves, 256 … 259 the `SPECIAL` tokens."""
    vocabulary = {character: byte for character, byte in byte_alphabet().items()}
    backend = tokenizers.Tokenizer(tokenizers.models.BPE(vocabulary, []))
    backend.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = tokenizers.decoders.ByteLevel()
    backend.add_special_tokens(list(SPECIAL))
    return Tokenizer(backend, Source("bytes", {"bos_token": "<s>", "eos_token": "</s>"}))


@pytest.fixture(scope="session")
def build(tokenizer: Tokenizer) -> Callable[..., Tiny]:
    """Build a model with random weights; keyword arguments go to transformers' config."""

    def make(family: str = "llama", **options: object) -> Tiny:
        configuration, architecture = FAMILIES[family]
        config = configuration(
            **{
                "vocab_size": 260,
                "hidden_size": 32,
                "intermediate_size": 64,
                "num_hidden_layers": 2,
                "num_attention_heads": 4,
                "num_key_value_heads": 2,
                "max_position_embeddings": CONTEXT,
                "bos_token_id": 256,
                "eos_token_id": None,
                "pad_token_id": 0,
                **options,
            }
        )
        with torch.random.fork_rng():
            torch.manual_seed(7)
            theirs = architecture(config).eval()
            for parameter in theirs.parameters():
                nn.init.normal_(parameter, std=0.3)
        dialect = find(family)
        spec = dialect.read(Config(config.to_dict()))
        named = dict(theirs.state_dict())
        ours = [parameter.name for parameter in parameters(spec)]
        assignments = assign(dialect.rules(spec), named, ours, prefix=dialect.prefix)
        model = load(spec, Tensors(named), assignments, dtype=torch.float32)
        assert isinstance(model, Decoder)
        return Tiny(model, theirs, tokenizer)

    return make


@pytest.fixture(scope="session")
def tiny(build: Callable[..., Tiny]) -> Tiny:
    return build()
