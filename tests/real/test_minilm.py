"""all-MiniLM-L6-v2 itself: our vectors are sentence-transformers' own."""

from __future__ import annotations

import numpy as np
from sentence_transformers import SentenceTransformer

import fathom

SUBJECTS = ("A cat", "The committee", "Ein Zug nach Köln", "東京の天気", "def f(x):", "🙂 nobody")
ACTIONS = (
    "sleeps.",
    "has decided to meet again on Thursday, weather permitting.",
    "costs 12,50 € more than last year — too much!",
    "returns x ** 2 if x > 0 else None",
    "wonders why the sky is blue",
)
TEXTS = [
    f"{subject} {action}{' And so on, without end.' * repeat}"
    for repeat in range(4)
    for subject in SUBJECTS
    for action in ACTIONS
][:100]


def test_a_hundred_texts() -> None:
    model = fathom.open("minilm:l6")
    assert model.card.model_class == "embedding"
    assert model.card.parameters == 22_713_216
    theirs = SentenceTransformer(model.card.path, device="cpu").encode(TEXTS)
    ours = model.embed(TEXTS)
    assert ours.shape == (100, 384)
    cosines = (ours * theirs).sum(axis=1)
    cosines /= np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1)
    assert cosines.min() >= 0.99999
