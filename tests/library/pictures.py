"""Tiny random models that see, in folders with all that lies beside published ones."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path

import sentencepiece
import tokenizers
import torch
import transformers
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors

from fathom.inputs.pieces import byte_alphabet
from parity.case import randomise
from parity.cases_vision.towers import FIVE, READING, SCALED, SIGLIP, SMALL
from parity.detector_case import DetectorCase
from parity.segmenter_case import SegmenterCase

ENDS = {"bos_token_id": 256, "eos_token_id": 257}
TOWERS: Mapping[str, tuple[str, Mapping[str, object], str]] = {
    "vit": ("ViTForImageClassification", {**SMALL, **FIVE}, "ViT"),
    "dinov2": ("Dinov2Model", SCALED, "Bit"),
    "clip": (
        "CLIPModel",
        {
            "vision_config": SMALL,
            "text_config": {
                **READING,
                **{"vocab_size": 258, "max_position_embeddings": 40, **ENDS},
            },
            "projection_dim": 20,
        },
        "CLIP",
    ),
    "sam": ("SamModel", SegmenterCase("sam", "small").config, "Sam"),
    "grounding-dino": (
        "GroundingDinoForObjectDetection",
        DetectorCase("grounding-dino", "small").whole,
        "GroundingDino",
    ),
    "siglip": (
        "SiglipModel",
        {
            **SIGLIP,
            "text_config": {**READING, "projection_size": 32, "max_position_embeddings": 40},
        },
        "Siglip",
    ),
}
PROCESSING: Mapping[str, Mapping[str, object]] = {
    "ViT": {"size": {"height": 32, "width": 32}},
    "Bit": {"size": {"shortest_edge": 40}, "crop_size": {"height": 32, "width": 40}},
    "CLIP": {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}},
    "Sam": {"size": {"longest_edge": 64}, "pad_size": {"height": 64, "width": 64}},
    "GroundingDino": {"size": {"shortest_edge": 64, "longest_edge": 100}},
    "Siglip": {"size": {"height": 32, "width": 32}},
}
SENTENCES = ["a dog", "a cat", "this is a photo of a truck", "the sky", "photo of the dog"] * 4


def make(kind: str, folder: Path) -> Path:
    """Write the checkpoint as transformers does, with its processor and its tokenizer."""
    architecture, config, processor = TOWERS[kind]
    model_class = getattr(transformers, architecture)
    torch.manual_seed(4)
    model = model_class(model_class.config_class(**config))
    randomise(model)
    model.eval().save_pretrained(folder)
    how = getattr(transformers, f"{processor}ImageProcessorPil")(**PROCESSING[processor])
    how.save_pretrained(folder)
    if kind == "clip":
        _bytes_alone(folder)
    if kind == "siglip":
        _sentence_pieces(folder)
    if kind == "grounding-dino":
        _whole_words(folder)
    return folder


def _bytes_alone(folder: Path) -> None:
    backend = tokenizers.Tokenizer(models.BPE(dict(byte_alphabet()), []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.add_special_tokens(["<s>", "</s>"])
    backend.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 256), ("</s>", 257)]
    )
    backend.save(str(folder / "tokenizer.json"))


# Where the vocabulary of BERT has them; the model was trained to tell phrases apart by these.
ENDING = {101: "[CLS]", 102: "[SEP]", 1012: ".", 1029: "?"}
NOUNS = {7: "cat", 8: "dog", 9: "red", 10: "car"}


def _whole_words(folder: Path) -> None:
    words = {0: "[PAD]", 100: "[UNK]", **NOUNS, **ENDING}
    vocabulary = {words.get(number, f"[unused{number}]"): number for number in range(1032)}
    backend = tokenizers.Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(lowercase=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece()
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 101), ("[SEP]", 102)]
    )
    backend.add_special_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]"])
    backend.save(str(folder / "tokenizer.json"))
    stated = {"tokenizer_class": "BertTokenizer", "do_lower_case": True}
    (folder / "tokenizer_config.json").write_text(json.dumps(stated))


def _sentence_pieces(folder: Path) -> None:
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(SENTENCES),
        model_writer=model,
        vocab_size=40,
        hard_vocab_limit=False,
        unk_id=2,
        eos_id=1,
        bos_id=-1,
        pad_id=0,
        minloglevel=2,
    )
    (folder / "spiece.model").write_bytes(model.getvalue())
    stated = {"tokenizer_class": "SiglipTokenizer", "do_lower_case": True, "pad_token": "</s>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(stated))
