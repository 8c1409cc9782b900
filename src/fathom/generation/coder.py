"""What generation asks of a tokenizer; `inputs.tokenizer.Tokenizer` answers it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import tokenizers

    from fathom.inputs.pieces import TextStream
    from fathom.inputs.tokenizer import SpecialTokens


class TextCoder(Protocol):
    """Token ids back to text, and the ids with a meaning of their own."""

    @property
    def backend(self) -> tokenizers.Tokenizer:
        """The vocabulary and its rules, as the `tokenizers` library has them."""
        ...

    @property
    def special(self) -> SpecialTokens:
        """Ids with a meaning; `special.eos` are those that end an answer."""
        ...

    @property
    def special_ids(self) -> frozenset[int]:
        """Ids that are never part of a text."""
        ...

    @property
    def reasoning(self) -> tuple[str, str] | None:
        """What opens and closes a span of reasoning."""
        ...

    def token_to_id(self, token: str) -> int | None:
        """The id of one token as the vocabulary spells it."""
        ...

    def encode(
        self, text: str, *, add_special: bool = True, parse_special: bool = True
    ) -> list[int]:
        """Cut text into ids."""
        ...

    def decode(self, ids: Iterable[int], skip_special: bool = True) -> str:
        """Join ids to text."""
        ...

    def stream(self, skip_special: bool = True) -> TextStream:
        """A decoder for ids that arrive one by one."""
        ...
