"""One model that listens and answers, to be proven: a tiny random checkpoint and its tokenizer."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import tokenizers
import torch
from torch import Tensor, nn

from parity.case import randomise
from parity.speech_case import WINDOW, byte_alphabet_ids

CONTROL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|AUDIO|>")
CONTROL += ("<|audio_bos|>", "<|audio_eos|>")
IDS: Mapping[str, int] = {token: 256 + place for place, token in enumerate(CONTROL)}
AUDIO = IDS["<|AUDIO|>"]
VOCABULARY = 256 + len(CONTROL)
# The publisher's template, in short: what a user says, with a place for each sound.
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}"
    "{% else %}{% for part in message['content'] %}"
    "{% if 'audio_url' in part or part['type'] == 'audio' %}"
    "<|audio_bos|><|AUDIO|><|audio_eos|>\n{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@dataclass(frozen=True)
class ListeningCase:
    """A variant, by the arguments of its two configurations."""

    model_type: str
    label: str
    sound: Mapping[str, object]
    text: Mapping[str, object]
    architecture: str = "Qwen2AudioForConditionalGeneration"
    tolerance: float = 1e-4

    @property
    def id(self) -> str:
        return f"{self.model_type}-{self.label}"


@dataclass(frozen=True)
class ListeningReference:
    """The independent implementation, and the folder that it saved."""

    folder: Path
    model: nn.Module

    def logits(self, tokens: Tensor, heard: Tensor, frames: Sequence[int]) -> Tensor:
        """(batch, length), (sounds, bands, frames) → (batch, length, vocabulary)."""
        with torch.inference_mode():
            return self.model(
                input_ids=tokens,
                input_features=heard,
                feature_attention_mask=sounding(frames),
                attention_mask=torch.ones_like(tokens),
            ).logits


def sounding(frames: Sequence[int]) -> Tensor:
    """Return one where a window has sound, (sounds, frames)."""
    return (torch.arange(WINDOW) < torch.tensor(list(frames))[:, None]).long()


def build_listening(case: ListeningCase, folder: Path) -> ListeningReference:
    """Make a tiny random checkpoint and save it as the reference library does."""
    import transformers

    torch.manual_seed(len(case.id))
    config = transformers.AutoConfig.for_model(
        case.model_type,
        audio_config=dict(case.sound),
        text_config={"model_type": "qwen2", **case.text},
        audio_token_index=AUDIO,
    )
    config._attn_implementation = "eager"
    model = getattr(transformers, case.architecture)(config)
    randomise(model)
    model.generation_config.eos_token_id = IDS["<|im_end|>"]
    model.generation_config.pad_token_id = IDS["<|endoftext|>"]
    model.eval().save_pretrained(folder)
    _save_beside(folder, int(str(case.sound["num_mel_bins"])))
    return ListeningReference(folder, model)


def _save_beside(folder: Path, bands: int) -> None:
    """Save a tokenizer of single bytes, a template, and how sound is prepared."""
    backend = tokenizers.Tokenizer(tokenizers.models.BPE(byte_alphabet_ids(), []))
    backend.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = tokenizers.decoders.ByteLevel()
    backend.add_special_tokens(list(CONTROL))
    backend.save(str(folder / "tokenizer.json"))
    stated = {"eos_token": "<|im_end|>", "chat_template": TEMPLATE}
    (folder / "tokenizer_config.json").write_text(json.dumps(stated))
    hearing = {"feature_size": bands, "chunk_length": 1, "n_fft": 400, "hop_length": 160}
    (folder / "preprocessor_config.json").write_text(json.dumps(hearing))
