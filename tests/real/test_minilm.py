"""all-MiniLM-L6-v2 itself: our vectors are sentence-transformers' own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer

import fathom
from fathom.checkpoint.description import describe
from fathom.planning.opened import native
from fathom.planning.packing import packed_bytes
from fathom.spec.encoder import Encoder

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


@pytest.mark.parametrize(
    ("dtype", "native", "least"), [(None, True, 0.9999), ("float32", False, 0.99999)]
)
def test_a_hundred_texts(dtype: str | None, native: bool, least: float) -> None:
    """By the native program, whose weights are rounded, and by modules in float32."""
    model = fathom.open("minilm:l6", dtype=dtype)
    assert model.card.model_class == "embedding"
    assert model.card.parameters == 22_713_216
    assert (model.program is not None) == native
    theirs = SentenceTransformer(model.card.path, device="cpu").encode(TEXTS)
    ours = model.embed(TEXTS)
    assert ours.shape == (100, 384)
    cosines = (ours * theirs).sum(axis=1)
    cosines /= np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1)
    assert cosines.min() >= least


def test_native_vectors_need_no_torch() -> None:
    code = (
        "import sys, fathom\n"
        "vectors = fathom.open('minilm:l6').embed(['a text', 'another, longer one'])\n"
        "print(vectors.shape, 'torch' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "(2, 384) False"


def test_what_is_forecast_is_what_is_packed() -> None:
    model = fathom.open("minilm:l6")
    assert model.program is not None
    assert isinstance(model.spec, Encoder)
    forecast = native(describe(Path(model.card.path)), model.spec, "float32", None)
    packed = sum(each.nbytes for each in model.program.matrices.values())
    assert packed == sum(packed_bytes(*each) for each in forecast.matrices.values())
    assert model.computing == forecast.computing == "native BF16"
    assert model.fit(128).decode_tokens_per_second is None
