"""Texts that break tokenizers, and small originals of each kind to compare with."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import gguf
import pytest
import sentencepiece

from fathom.inputs.tokenizer import Tokenizer

TEXTS = {
    "empty": "",
    "english": "The quick brown fox doesn't jump; it's 'sleeping', they've said. HELLO World",
    "languages": (
        "Größe naïve façade Ærø Žluťoučký кот спит Ελληνικά שלום عربى हिन्दी ไทย 日本語の文章、"
        "中文句子。 한국어 문장 Việt ꞵ ǅ Ⅷ"
    ),
    "emoji": "😀👍🏽 👨\u200d👩\u200d👧\u200d👦 🇩🇪 ❤\ufe0f ☃ 🏴\U000e0067\U000e0062\U000e007f",
    "digits": "7 42 123 1234567 3.14159 1,000,000 ٣٤ ½ x2 2x 0xFF 1e-9 2024-01-31",
    "code": (
        "def f(x):\n\treturn {'a': x**2, \"b\": [1, 2]}  # note\n\n\n"
        "if __name__ == '__main__':\n    f(3)\n"
    ),
    "spaces": "  two   three    four\t\ttabs \n\n\n lines \r\n windows\r\r\n  end  ",
    "space before digit": "a   1 \n  22",
    "only spaces": "     ",
    "controls": "a\x00b\x01\x1f\x7f\x85\u200b\u200d\ufeff\u2028\u00a0\u3000end",
    "replacement": "\ufffd\ufffe",
    "combining": "e\u0301 n\u0303 \u0915\u094d\u0937 ﬁ ① ＡＢＣ ㎏",
    "special lookalikes": "<s> </s> <|x|> [CLS] ▁under <0x0A> ##ing",
}
"""Multilingual text incl. emoji, digits, code, whitespace runs and control characters."""

CORPUS = [line for text in TEXTS.values() for line in (text, text.lower()) if text.strip()] + [
    "the cat sat on the mat and the dog ran after the other cat in the rain",
    "tokenizers turn text into numbers and numbers into text again and again",
    "return the value of the function in the range of the numbers",
]


@pytest.fixture(params=sorted(TEXTS), ids=lambda name: name.replace(" ", "-"))
def text(request: pytest.FixtureRequest) -> str:
    return TEXTS[request.param]


@pytest.fixture(scope="session")
def corpus() -> list[str]:
    return CORPUS


@pytest.fixture(scope="session")
def texts() -> dict[str, str]:
    return TEXTS


@pytest.fixture(scope="session")
def train_sentencepiece() -> Callable[..., bytes]:
    """Train a small SentencePiece model on the corpus; options are those of its trainer."""
    trained: dict[str, bytes] = {}

    def train(**options: object) -> bytes:
        key = repr(sorted(options.items()))
        if key not in trained:
            model = io.BytesIO()
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=iter(CORPUS * 3),
                model_writer=model,
                minloglevel=2,
                hard_vocab_limit=False,
                num_threads=1,
                **{"character_coverage": 0.98, "vocab_size": 520, **options},
            )
            trained[key] = model.getvalue()
        return trained[key]

    return train


@pytest.fixture(scope="session")
def smollm2(smollm2_path: Path) -> Tokenizer:
    """The tokenizer of the real model, from the metadata of its file."""
    keys = gguf.GGUFReader(smollm2_path).fields.items()
    return Tokenizer.from_gguf({key: field.contents() for key, field in keys})
