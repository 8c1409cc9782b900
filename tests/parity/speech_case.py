"""One model of speech to be proven: a tiny random checkpoint, with the tokens that steer it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import tokenizers
import torch
from torch import Tensor, nn

from fathom.inputs.pieces import byte_alphabet
from parity.case import randomise

WINDOW = 100  # frames
STEERING = (
    *("<|endoftext|>", "<|startoftranscript|>", "<|en|>", "<|de|>", "<|zh|>"),
    *("<|translate|>", "<|transcribe|>", "<|startoflm|>", "<|startofprev|>"),
    *("<|nospeech|>", "<|notimestamps|>"),
)
IDS: Mapping[str, int] = {token: 256 + place for place, token in enumerate(STEERING)}
END, START = IDS["<|endoftext|>"], IDS["<|startoftranscript|>"]
TIMES = 256 + len(STEERING)  # the id of 0.00 s
VOCABULARY = TIMES + WINDOW // 2 + 1


@dataclass(frozen=True)
class SpeechCase:
    """A variant, by the reference's class and the arguments of its configuration."""

    model_type: str
    label: str
    config: Mapping[str, object]
    architecture: str = "WhisperForConditionalGeneration"
    tolerance: float = 1e-4

    @property
    def id(self) -> str:
        return f"{self.model_type}-{self.label}"


@dataclass(frozen=True)
class SpeechReference:
    """The independent implementation, and the folder that it saved."""

    folder: Path
    model: nn.Module

    def logits(self, spectrogram: Tensor, written: Tensor) -> Tensor:
        """(batch, bands, frames), (batch, length) → (batch, length, vocabulary)."""
        with torch.inference_mode():
            found = self.model(input_features=spectrogram, decoder_input_ids=written)
            if hasattr(found, "logits"):
                return found.logits
            return found.last_hidden_state @ self.model.decoder.embed_tokens.weight.T


def build_speech(case: SpeechCase, folder: Path) -> SpeechReference:
    """Make a tiny random checkpoint and save it as the reference library does."""
    import transformers

    torch.manual_seed(len(case.id))
    config = transformers.AutoConfig.for_model(case.model_type, **case.config)
    config._attn_implementation = "eager"
    model = getattr(transformers, case.architecture)(config)
    randomise(model)
    if model.can_generate():
        for name, value in steering(config.max_target_positions).items():
            setattr(model.generation_config, name, value)
    model.eval().save_pretrained(folder)
    save_tokenizer(folder)
    return SpeechReference(folder, model)


def steering(context: int) -> dict[str, object]:
    """Return what a publisher's ``generation_config.json`` says."""
    languages = {f"<|{code}|>": IDS[f"<|{code}|>"] for code in ("en", "de", "zh")}
    return {
        "lang_to_id": languages,
        "task_to_id": {task: IDS[f"<|{task}|>"] for task in ("transcribe", "translate")},
        "no_timestamps_token_id": IDS["<|notimestamps|>"],
        "prev_sot_token_id": IDS["<|startofprev|>"],
        "is_multilingual": True,
        "max_initial_timestamp_index": 10,
        "alignment_heads": [[1, 2], [2, 0], [2, 5]],
        "suppress_tokens": [5, 6, 7],
        "begin_suppress_tokens": [32, END],
        "max_length": context,
    }


def save_tokenizer(folder: Path) -> None:
    """Save a tokenizer whose text tokens are single bytes, as Whisper's are made of bytes."""
    backend = tokenizers.Tokenizer(tokenizers.models.BPE(byte_alphabet_ids(), []))
    backend.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = tokenizers.decoders.ByteLevel()
    backend.add_special_tokens(list(STEERING))
    times = (f"<|{step * 0.02:.2f}|>" for step in range(WINDOW // 2 + 1))
    backend.add_tokens([tokenizers.AddedToken(t, special=False, normalized=False) for t in times])
    backend.save(str(folder / "tokenizer.json"))
    words = {"eos_token": "<|endoftext|>", "bos_token": "<|endoftext|>"}
    stated = {**words, "tokenizer_class": "WhisperTokenizer"}
    (folder / "tokenizer_config.json").write_text(json.dumps(stated))


def byte_alphabet_ids() -> dict[str, int]:
    """Return ids 0 … 255 for the bytes, spelled as byte-level vocabularies spell them."""
    return {character: byte for character, byte in byte_alphabet().items()}
