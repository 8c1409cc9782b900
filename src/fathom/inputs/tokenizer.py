"""Text ↔ token ids, whichever file the vocabulary came from."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import tokenizers

from fathom.errors import TokenizerError
from fathom.inputs import names
from fathom.inputs.guard import tokenizer_errors
from fathom.inputs.literal import literal_twin
from fathom.inputs.pieces import TextStream, reader

if TYPE_CHECKING:
    from fathom.inputs.chat import ChatTemplate

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SpecialTokens:
    """Ids with a meaning of their own; ``None`` where the vocabulary has none.

    `eos` is every id that ends an answer: the end of the text, of a turn, of a tool call.
    """

    bos: int | None = None
    eos: frozenset[int] = frozenset()
    unk: int | None = None
    pad: int | None = None
    mask: int | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """What a checkpoint says about its tokenizer beside the vocabulary itself.

    `words` are the special tokens as strings under the names that templates know (``bos_token``);
    `ending` are ids that the checkpoint lists as ends of an answer; `templates` are chat
    templates by name, the usual one being ``default``.
    """

    kind: str
    words: Mapping[str, str] = field(default_factory=dict)
    ending: frozenset[int] = frozenset()
    templates: Mapping[str, str] = field(default_factory=dict)


class Tokenizer:
    """A vocabulary with the rules that cut text into it and join it again."""

    def __init__(self, backend: tokenizers.Tokenizer, source: Source) -> None:
        # The file may ask to pad every text to a length of its choosing, up to exhausting memory.
        backend.no_padding()
        backend.no_truncation()
        self._backend = backend
        self._source = source
        self._reader = reader(backend)
        self._lock = threading.Lock()
        added = backend.get_added_tokens_decoder().items()
        self._special = frozenset(id for id, token in added if token.special)

    @classmethod
    def from_folder(cls, path: Path, records: Path | None = None) -> Tokenizer:
        """Read the tokenizer files of a checkpoint folder: tokenizer.json, or else older forms.

        `records` is a folder that remembers which files of strangers were found sound.
        """
        from fathom.inputs.folder import read_folder

        return cls(*read_folder(path, records))

    @classmethod
    def from_gguf(cls, metadata: Mapping[str, object]) -> Tokenizer:
        """Rebuild the tokenizer that a GGUF file carries under ``tokenizer.ggml.*``."""
        from fathom.inputs.gguf import read_gguf

        return cls(*read_gguf(metadata))

    def encode(
        self, text: str, *, add_special: bool = True, parse_special: bool = True
    ) -> list[int]:
        """Cut text into ids.

        Args:
            add_special: add what the vocabulary wants around a text, such as its first token.
            parse_special: read ``<|im_end|>`` in the text as that token. Pass False for text
                that a stranger wrote, which must not be able to end its own turn.
        """
        if not isinstance(text, str):
            raise TokenizerError(
                f"a text is expected, not {type(text).__name__}; decode bytes as UTF-8 first"
            )
        backend = self._backend if parse_special else self._literal
        with tokenizer_errors("this text is no Unicode", "decode it as UTF-8"):
            text.encode()  # the library's own complaint is about the type
        with tokenizer_errors("this text cannot be tokenized", "shorten or change it"):
            return list(backend.encode(text, add_special_tokens=add_special).ids)

    def decode(self, ids: Iterable[int], skip_special: bool = True) -> str:
        """Join ids to text; bytes that are no UTF-8 become U+FFFD, unknown ids nothing."""
        kept = (id for id in ids if id not in self._special) if skip_special else ids
        with tokenizer_errors("these ids cannot be decoded", "check that they are of this model"):
            return self._reader.decode(kept)

    def stream(self, skip_special: bool = True) -> TextStream:
        """A decoder for ids that arrive one by one."""
        stream = self._reader.stream()
        return _Skipping(stream, self._special) if skip_special else stream

    def token_to_id(self, token: str) -> int | None:
        """The id of one token as the vocabulary spells it."""
        found: int | None = self._backend.token_to_id(token)
        return found

    def id_to_token(self, id: int) -> str | None:
        """The vocabulary's spelling of one id."""
        found: str | None = self._backend.id_to_token(id) if 0 <= id < 2**32 else None
        return found

    @property
    def backend(self) -> tokenizers.Tokenizer:
        """The `tokenizers` object underneath, for batches and offsets."""
        return self._backend

    @cached_property
    def vocabulary(self) -> int:
        """Number of tokens, added ones included."""
        return int(self._backend.get_vocab_size(with_added_tokens=True))

    def require_rows(self, rows: int) -> None:
        """Refuse a vocabulary that has more tokens than a model has rows for.

        Tokens that were added to it may lie beyond, as in many published models that never use
        them: those are told of, and refused when a text holds one.

        Raises:
            TokenizerError: ``E_MISMATCH``.
        """
        own = self._backend.get_vocab_size(with_added_tokens=False)
        if own > rows:
            told = f"the vocabulary has {own:,} tokens and the model rows for {rows:,}"
            remedy = "take tokenizer and weights from one place"
            raise TokenizerError(f"{told}; {remedy}", code="E_MISMATCH")
        if self.vocabulary > rows:
            message = "%d tokens were added beyond the %d rows of the model: it cannot read them"
            logger.warning(message, self.vocabulary - rows, rows)

    @cached_property
    def special(self) -> SpecialTokens:
        words = self._source.words
        ending = names.end_of_turn(self.token_to_id, self._special) | self._source.ending
        eos = self._id(words.get("eos_token"))
        return SpecialTokens(
            bos=self._id(words.get("bos_token")),
            eos=ending if eos is None else ending | {eos},
            unk=self._id(words.get("unk_token")),
            pad=self._id(words.get("pad_token")),
            mask=self._id(words.get("mask_token")),
        )

    @property
    def special_ids(self) -> frozenset[int]:
        """Ids that `decode` leaves out: control tokens, never part of a text."""
        return self._special

    @property
    def words(self) -> Mapping[str, str]:
        """Special tokens as strings under the names that templates know, such as ``bos_token``."""
        return self._source.words

    @property
    def templates(self) -> Mapping[str, str]:
        """Sources of the chat templates by name; the usual one is ``default``."""
        return self._source.templates

    @cached_property
    def chat(self) -> ChatTemplate:
        """The chat template, or a `TokenizerError` that says what to do without one."""
        from fathom.inputs.chat import ChatTemplate

        return ChatTemplate.choose(self.templates, self.words)

    @cached_property
    def reasoning(self) -> tuple[str, str] | None:
        """What opens and closes a span of reasoning in an answer, such as ``<think>``."""
        return names.reasoning(self.token_to_id, self.templates.get("default"))

    @cached_property
    def infill(self) -> tuple[str, str, str] | None:
        """(prefix, suffix, middle) tokens, if the model was trained to fill in the middle."""
        return names.infill(self.token_to_id)

    @cached_property
    def describe(self) -> str:
        """One line for a person: the kind and the size."""
        return f"{self._source.kind}, {self.vocabulary:,} tokens"

    def _id(self, token: str | None) -> int | None:
        return None if token is None else self.token_to_id(token)

    @property
    def _literal(self) -> tokenizers.Tokenizer:
        """A twin that reads special tokens as text; a setting of the object, hence a second one."""
        with self._lock:
            return self._twin

    @cached_property
    def _twin(self) -> tokenizers.Tokenizer:
        return literal_twin(self._backend, self._special)


class _Skipping:
    """A stream that leaves special tokens out."""

    def __init__(self, stream: TextStream, special: frozenset[int]) -> None:
        self._stream = stream
        self._special = special

    def push(self, id: int) -> str:
        return "" if id in self._special else self._stream.push(id)

    def flush(self) -> str:
        return self._stream.flush()
