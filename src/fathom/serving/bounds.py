"""What every field of a request may hold: the one table, from which the schemas take their bounds.

Numbers that the engine bounds itself are bounded by its own table. Sizes have their reason beside
them. A body as a whole is bounded in `limits.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import Field

from fathom.generation.ranges import BIAS, MAX_TOKENS, RANGES, TOKEN, Range


@dataclass(frozen=True)
class Size:
    """How many items, characters or entries a field holds, and why that is enough."""

    least: int
    most: int
    reason: str


DAY = 86_400.0

NUMBERS: Mapping[str, Range] = {
    **{name: allowed for name, allowed in RANGES.items() if name != "seed"},
    "seed": Range(-(2**63), 2**63 - 1, whole=True),  # as the OpenAI API has it; Ollama's -1 is any
    "max_tokens": Range(1, MAX_TOKENS.most, whole=True),
    "max_tokens_or_none": Range(0, MAX_TOKENS.most, whole=True),  # with echo, nothing is written
    "num_predict": Range(-2, MAX_TOKENS.most, whole=True),  # Ollama: -1 and -2 for as many as fit
    "top_k": Range(-1, 2**31, whole=True),  # -1 for all, as vLLM's clients say it
    "bias": BIAS,
    "token": TOKEN,
    "n": Range(1, 16, whole=True),
    "logprobs": Range(0, 20, whole=True),
    "thinking_budget": Range(1, MAX_TOKENS.most, whole=True),
    "keep_alive": Range(-1e9, 365 * DAY),  # seconds; below zero for ever
    "context": Range(1, MAX_TOKENS.most, whole=True),
    "dimensions": Range(1, 65_536, whole=True),
    "top_n": Range(1, 1_000_000, whole=True),
    "order": Range(0, 1_000_000, whole=True),  # of an item among others
    "milliseconds": Range(0, 1000 * DAY, whole=True),
}

_ANY_TEXT = 16 << 20
SIZES: Mapping[str, Size] = {
    "text": Size(0, _ANY_TEXT, "16 characters for each of a million positions"),
    "some_text": Size(1, _ANY_TEXT, "as text, which must not be empty"),
    "name": Size(1, 256, "a model's, a role's, a kind's"),
    "label": Size(0, 1024, "what a client calls something, and is not read"),
    "tool_name": Size(1, 128, "the longest that the OpenAI API takes is 64"),
    "arguments": Size(0, 1 << 20, "a call's, as text"),
    "picture": Size(1, 28 << 20, "20 MB in base64"),
    "messages": Size(1, 4096, "turns of one conversation"),
    "turns": Size(0, 4096, "of one conversation; none is an ask to load a model"),
    "parts": Size(0, 1024, "of one message"),
    "pictures": Size(0, 8, "each takes hundreds of positions"),
    "tools": Size(0, 128, "as the OpenAI API"),
    "stops": Size(0, 16, "each is looked for at every step"),
    "stop": Size(1, 256, "characters of one stop text"),
    "biases": Size(0, 1024, "as many as the OpenAI API takes, and more"),
    "prompts": Size(1, 64, "each is an answer to be written"),
    "tokens": Size(1, 1 << 20, "positions of the longest context"),
    "texts": Size(1, 2048, "texts to embed at once, as the OpenAI API"),
    "documents": Size(1, 1024, "documents to rank at once"),
    "entries": Size(0, 256, "of an object that is not looked into"),
}

PICTURE_BYTES = 20 << 20
STRANGE_FIELDS = 64  # unknown ones of one object; more is no client's mistake


def number(name: str) -> Any:  # pydantic's own marks have no type that it tells
    """Return the bounds of a number for its annotation."""
    allowed = NUMBERS[name]
    whole = int if allowed.whole else float
    return Field(ge=whole(allowed.least), le=whole(allowed.most))


def size(name: str) -> Any:
    """Return the bounds of a text, a list or a mapping for its annotation."""
    allowed = SIZES[name]
    return Field(min_length=allowed.least, max_length=allowed.most)
