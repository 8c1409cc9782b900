"""A real model, whole: our reading of the file against transformers' reading of the same file."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from fathom import library

WINDOW, WINDOWS = 500, 4  # 2,000 positions, as four passages


@pytest.fixture(scope="module")
def scores(smollm2_path: Path, wikitext: str) -> tuple[Tensor, Tensor, Tensor]:
    """Return token ids (4, 500), and the logits of ours and of transformers over them."""
    from transformers import AutoModelForCausalLM

    ours = library.open(str(smollm2_path), dtype="float32", device="cpu")
    ids = ours.tokenizer.encode(wikitext[:20_000], add_special=False)[: WINDOW * WINDOWS]
    tokens = torch.tensor(ids).view(WINDOWS, WINDOW)
    mine = torch.cat([ours.logits(row[None]) for row in tokens])
    del ours
    theirs = AutoModelForCausalLM.from_pretrained(
        smollm2_path.parent, gguf_file=smollm2_path.name, dtype=torch.float32
    ).eval()
    with torch.inference_mode():
        reference = torch.cat([theirs(row[None]).logits for row in tokens])
    return tokens, mine, reference


def perplexity(tokens: Tensor, logits: Tensor) -> float:
    """Return exp of the mean negative log-likelihood of each token after the first."""
    loss = torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten())
    return float(loss.exp())


@pytest.mark.slow
def test_next_token_agrees_with_transformers(scores: tuple[Tensor, Tensor, Tensor]) -> None:
    _, ours, theirs = scores
    agreement = (ours.argmax(-1) == theirs.argmax(-1)).float().mean()
    assert agreement >= 0.995


@pytest.mark.slow
def test_perplexity_agrees_with_transformers(scores: tuple[Tensor, Tensor, Tensor]) -> None:
    tokens, ours, theirs = scores
    assert perplexity(tokens, ours) == pytest.approx(perplexity(tokens, theirs), rel=1e-3)
    assert 5 < perplexity(tokens, ours) < 40  # a model that has learned English


@pytest.mark.slow
def test_the_card_states_what_the_file_holds(smollm2_path: Path) -> None:
    card = library.describe(str(smollm2_path))
    assert card.architecture == "llama"
    assert card.parameters == 134_515_008
    assert card.context == 8192
    assert card.licence == "apache-2.0"
    assert card.chat_template
    assert set(card.bytes_by_encoding) == {"Q4_1", "Q8_0", "F32"}
    assert sum(card.bytes_by_encoding.values()) == card.stored_bytes
    assert card.tokenizer is not None
    assert "49,152" in card.tokenizer
