"""Filling in the middle: a text before and one after become a prompt for what is between them.

Bavarian et al., 2022 (arXiv 2207.14255): models trained so know three tokens, and write the
middle after the last of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from fathom.errors import RequestError, UnsupportedTaskError

if TYPE_CHECKING:
    from fathom.inputs.tokenizer import SpecialTokens

# How a prompt is laid out: {prefix}, {suffix} and {middle} are the tokens of these names, `before`
# and `after` the texts. By the token of the prefix where a family does otherwise.
USUAL = ("prefix", "before", "suffix", "after", "middle")
LAYOUTS: Mapping[str, tuple[str, ...]] = {
    "[PREFIX]": ("suffix", "after", "prefix", "before"),  # Codestral, as mistral-common lays it out
}

# Tokens beyond the usual ends after which a middle is over: padding, and the next file.
ENDS = (
    "<|fim_pad|>",  # qwen coder
    "<|file_sep|>",
    "<|repo_name|>",
    "<fim_pad>",  # starcoder, granite
    "<file_sep>",
    "<fim-pad>",  # santacoder
    "<|file_separator|>",  # codegemma
    "<EOT>",  # code llama
    "▁<EOT>",
)
_APART = "\x01"  # begins no word, and merges with nothing
_SPACE = "▁"  # U+2581, how SentencePiece writes a space


class Coder(Protocol):
    """What filling in asks of a tokenizer; `inputs.tokenizer.Tokenizer` answers it."""

    @property
    def infill(self) -> tuple[str, str, str] | None:
        """(prefix, suffix, middle) tokens."""
        ...

    @property
    def special(self) -> SpecialTokens:
        """Ids with a meaning."""
        ...

    def encode(
        self, text: str, *, add_special: bool = True, parse_special: bool = True
    ) -> list[int]:
        """Cut text into ids."""
        ...

    def token_to_id(self, token: str) -> int | None:
        """The id of one token."""
        ...

    def id_to_token(self, id: int) -> str | None:
        """The vocabulary's spelling of one id."""
        ...


@dataclass(frozen=True)
class Gap:
    """A prompt, as ids, and the ids that end what is written in the gap."""

    prompt: tuple[int, ...]
    end: frozenset[int]


def gap(coder: Coder, before: str, after: str) -> Gap:
    """Return the prompt for what is between two texts, in which no special token is read.

    Raises:
        UnsupportedTaskError: for a vocabulary without the three tokens.
        RequestError: when both texts are empty.
    """
    if coder.infill is None:
        raise UnsupportedTaskError(
            "this model was not trained to fill in a middle: its vocabulary has no tokens for it;"
            " take a model for code such as Qwen2.5-Coder or StarCoder2, or generate"
        )
    if not before and not after:
        raise RequestError("both texts are empty; give what is before the gap, or after it")
    marks = {
        name: coder.token_to_id(token)
        for name, token in zip(("prefix", "suffix", "middle"), coder.infill, strict=True)
    }
    texts = {"before": _ids(coder, before), "after": _ids(coder, after)}
    prompt = [id for id in coder.encode("") if id == coder.special.bos]
    for part in LAYOUTS.get(coder.infill[0], USUAL):
        mark = marks.get(part)
        prompt += texts[part] if mark is None else [mark]
    ends = {coder.token_to_id(token) for token in ENDS} | set(marks.values())
    return Gap(tuple(prompt), coder.special.eos | {id for id in ends if id is not None})


def _ids(coder: Coder, text: str) -> list[int]:
    """Cut a text from the midst of another: without the space that SentencePiece puts first."""
    lead = coder.encode(_APART, add_special=False, parse_special=False)
    spaced = bool(lead) and (coder.id_to_token(lead[0]) or "").startswith(_SPACE)
    if not spaced:
        return coder.encode(text, add_special=False, parse_special=False)
    return coder.encode(_APART + text, add_special=False, parse_special=False)[len(lead) :]
