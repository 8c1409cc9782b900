"""Vectors of texts, as sentence-transformers makes them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer import modules as models

from fathom import library
from fathom.checkpoint.sentence_transformers import POOLINGS, read_vectors
from fathom.errors import ConfigError, ContextLengthError, RequestError, UnsupportedTaskError

TEXTS = ["the cat sat on the mat .", "a dog", "anna lives in paris . who is anna ?", "sky"]


def opened(folder: Path) -> library.Model:
    return library.open(str(folder), dtype="float32", device="cpu")


def cosine(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Return the smallest cosine between rows."""
    product = (ours * theirs).sum(axis=1)
    lengths = np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1)
    return float((product / lengths).min())


def build(trunk: Path, folder: Path, *steps: torch.nn.Module, **kept: object) -> Path:
    """Save a trunk with these steps after it as sentence-transformers does."""
    transformer = models.Transformer(str(trunk))
    SentenceTransformer(modules=[transformer, *steps], device="cpu", **kept).save(str(folder))
    return folder


def same(folder: Path, texts: list[str], **options: object) -> library.Model:
    """Hold our vectors of texts to theirs, and return the model."""
    theirs = SentenceTransformer(str(folder), device="cpu")
    model = opened(folder)
    prompt = options.get("prompt")
    expected = theirs.encode(texts, prompt_name=prompt)
    ours = model.embed(texts, batch=3, **options)
    assert ours.dtype == np.float32
    assert ours.shape == expected.shape
    assert np.abs(ours - expected).max() < 1e-4 * np.abs(expected).max()
    return model


@pytest.mark.parametrize("way", POOLINGS)
def test_every_pooling_is_the_publishers(bert, tmp_path: Path, way: str) -> None:
    folder = build(bert("BertModel"), tmp_path / "st", models.Pooling(32, pooling_mode=way))
    same(folder, TEXTS)


def test_poolings_stand_side_by_side_in_order(bert, tmp_path: Path) -> None:
    pooling = models.Pooling(32, pooling_mode=("cls", "max", "mean"))
    same(build(bert("BertModel"), tmp_path / "st", pooling), TEXTS)


def test_projections_and_normalising(bert, tmp_path: Path) -> None:
    torch.manual_seed(0)
    steps = (
        models.Pooling(32, pooling_mode="mean"),
        models.Dense(32, 48, bias=False, activation_function=torch.nn.Identity()),
        models.Dense(48, 20),
        models.Normalize(),
    )
    model = same(build(bert("BertModel"), tmp_path / "st", *steps), TEXTS)
    assert np.allclose(np.linalg.norm(model.embed(TEXTS), axis=1), 1, atol=1e-5)
    assert not np.allclose(np.linalg.norm(model.embed(TEXTS, normalise=False), axis=1), 1)


@pytest.mark.parametrize("counted", [True, False])
def test_prompts_by_name_and_by_text(bert, tmp_path: Path, counted: bool) -> None:
    pooling = models.Pooling(32, pooling_mode="mean", include_prompt=counted)
    prompts = {"query": "who is ", "document": ""}
    folder = build(bert("BertModel"), tmp_path / "st", pooling, prompts=prompts)
    model = same(folder, TEXTS, prompt="query")
    same(folder, TEXTS, prompt="document")
    assert np.array_equal(model.embed(TEXTS, prompt="who is "), model.embed(TEXTS, prompt="query"))
    with pytest.raises(RequestError, match=r"known: document, query.*Did you mean query"):
        model.embed(TEXTS, prompt="qery")


def test_a_default_prompt_stands_before_every_text(bert, tmp_path: Path) -> None:
    folder = build(
        bert("BertModel"),
        tmp_path / "st",
        models.Pooling(32),
        prompts={"query": "who is "},
        default_prompt_name="query",
    )
    same(folder, TEXTS)


def test_a_decoder_embeds_by_its_last_token(bert, tmp_path: Path) -> None:
    """As Qwen3-Embedding does."""
    from transformers import AutoTokenizer, LlamaConfig, LlamaModel

    torch.manual_seed(1)
    trunk = tmp_path / "llama"
    config = LlamaConfig(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=64,
        tie_word_embeddings=True,
    )
    LlamaModel(config).save_pretrained(trunk)
    AutoTokenizer.from_pretrained(bert("BertModel")).save_pretrained(trunk)
    pooling = models.Pooling(32, pooling_mode="lasttoken")
    same(build(trunk, tmp_path / "st", pooling, models.Normalize()), TEXTS)


def test_what_is_saved_makes_the_same_vectors(bert, tmp_path: Path) -> None:
    steps = (models.Pooling(32, pooling_mode="max"), models.Dense(32, 20), models.Normalize())
    folder = build(bert("BertModel"), tmp_path / "st", *steps, prompts={"query": "who is "})
    model, saved = opened(folder), tmp_path / "saved"
    model.save(saved)
    again = same(saved, TEXTS, prompt="query")
    assert np.array_equal(again.embed(TEXTS), model.embed(TEXTS))


def test_embedding_gemma(bert, tmp_path: Path) -> None:
    """Gemma 3 that sees both ways, within a window shorter than the texts, and two projections."""
    from transformers import AutoTokenizer, Gemma3TextConfig, Gemma3TextModel

    torch.manual_seed(2)
    trunk = tmp_path / "gemma"
    config = Gemma3TextConfig(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=1,
        head_dim=8,
        max_position_embeddings=64,
        query_pre_attn_scalar=8,
        sliding_window=5,
        layer_types=["sliding_attention", "full_attention", "sliding_attention"],
        use_bidirectional_attention=True,
    )
    model = Gemma3TextModel(config)
    for parameter in model.parameters():
        parameter.data = torch.randn_like(parameter) * 0.3
    model.save_pretrained(trunk)
    AutoTokenizer.from_pretrained(bert("BertModel")).save_pretrained(trunk)
    identity = torch.nn.Identity()
    steps = (
        models.Pooling(32, pooling_mode="mean"),
        models.Dense(32, 96, bias=False, activation_function=identity),
        models.Dense(96, 32, bias=False, activation_function=identity),
        models.Normalize(),
    )
    prompts = {"query": "who is in paris ? ", "document": "the sky "}
    folder = build(trunk, tmp_path / "st", *steps, prompts=prompts)
    model = same(folder, TEXTS, prompt="query")
    same(folder, TEXTS)
    assert model.card.model_class == "embedding"
    assert model.card.outputs == ("embeddings",)
    assert model.fit(context=32).state_bytes == 0
    with pytest.raises(UnsupportedTaskError, match="cannot write text"):
        model.generate("a cat")


def test_who_says_nothing_is_asked(bert) -> None:
    model = opened(bert("BertModel"))
    with pytest.raises(RequestError, match="pooling: one of first, last, mean"):
        model.embed(TEXTS)
    with pytest.raises(RequestError, match="'average' is not one of"):
        model.embed(TEXTS, pooling="average")
    assert model.embed(TEXTS, pooling="mean").shape == (4, 32)


@pytest.mark.parametrize("texts", [[], "one text"])
def test_a_list_of_texts_is_wanted(bert, texts) -> None:
    with pytest.raises(RequestError, match="a list of at least one text"):
        opened(bert("BertModel")).embed(texts, pooling="mean")


def test_a_long_text_is_refused_or_cut_as_asked(bert, tmp_path: Path) -> None:
    folder = build(bert("BertModel"), tmp_path / "st", models.Pooling(32))
    model, long = opened(folder), ["cat " * 60, "dog"]
    with pytest.raises(ContextLengthError, match="62 tokens exceeds the 40"):
        model.embed(long)
    theirs = SentenceTransformer(str(folder), device="cpu").encode(long)  # cuts without a word
    assert cosine(model.embed(long, truncate=True), theirs) > 0.99999


@pytest.mark.parametrize(
    ("file", "changes", "complaint"),
    [
        ("modules.json", [{"path": "", "type": "x.models.LSTM"}], "step 'LSTM' is not supported"),
        ("modules.json", [{"path": "../up", "type": "x.Pooling"}], "leads out of the folder"),
        ("modules.json", [{"path": "", "type": "x.Transformer"}], "become one vector"),
        ("1_Pooling/config.json", {"pooling_mode": "median"}, "'median' is not one of"),
    ],
)
def test_what_is_not_supported_is_refused(bert, tmp_path: Path, file, changes, complaint) -> None:
    folder = build(bert("BertModel"), tmp_path / "st", models.Pooling(32))
    assert read_vectors(folder) is not None
    (folder / file).write_text(json.dumps(changes))
    with pytest.raises(ConfigError, match=complaint):
        read_vectors(folder)


def test_the_order_of_texts_and_the_batch_change_nothing(bert) -> None:
    model = opened(bert("BertModel"))
    whole = model.embed(TEXTS, pooling="mean", batch=10)
    single = np.concatenate([model.embed([text], pooling="mean") for text in TEXTS])
    assert np.abs(whole - single).max() < 1e-5
