"""Ids back to text, at once or as they arrive: no half character and no lost one.

Most tokenizers spell text as bytes: each id stands for some bytes, and the text is their
concatenation read as UTF-8. For those the stream is an incremental UTF-8 decoder and equals the
whole by construction. The others (WordPiece, word-end suffixes) go through the library's decoder
with one token of context.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import tokenizers

_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_SPACE = "▁"  # U+2581, how SentencePiece writes a space
_BYTE_TOKEN = re.compile(r"<0x([0-9A-Fa-f]{2})>")


class TextStream(Protocol):
    """Text of ids that arrive one by one; all that was returned, joined, is the decoded whole."""

    def push(self, id: int) -> str:
        """Take one id and return the text that is certain by now, possibly none."""

    def flush(self) -> str:
        """Return what was held back, a cut-off character as U+FFFD. Ends the stream."""


def byte_alphabet() -> dict[str, int]:
    """Character → byte of GPT-2's byte-level spelling.

    Printable Latin-1 bytes stand for themselves; the 68 others for U+0100 and upwards.
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    alphabet = {chr(byte): byte for byte in printable}
    others = [byte for byte in range(256) if byte not in set(printable)]
    return alphabet | {chr(0x100 + rank): byte for rank, byte in enumerate(others)}


_ALPHABET = byte_alphabet()


def _byte_level(token: str) -> bytes:
    try:
        return bytes(_ALPHABET[character] for character in token)
    except KeyError:  # a token that was added as plain text
        return token.encode()


def _spaced(token: str) -> bytes:
    return token.replace(_SPACE, " ").encode()


def _spaced_or_byte(token: str) -> bytes:
    byte = _BYTE_TOKEN.fullmatch(token)
    return bytes([int(byte[1], 16)]) if byte else _spaced(token)


class Pieces:
    """A vocabulary in which every id stands for bytes.

    A run of bytes that is no UTF-8 gives one U+FFFD for each maximal broken part, as the Unicode
    standard recommends; `tokenizers` gives up the whole run of byte tokens instead.
    """

    def __init__(
        self,
        backend: tokenizers.Tokenizer,
        spelling: Callable[[str], bytes],
        *,
        strip: bool,
    ) -> None:
        """Args: `spelling` maps a token to bytes; `strip` drops one leading space of the text."""
        self._backend = backend
        self._spelling = spelling
        self._strip = strip
        added = backend.get_added_tokens_decoder().items()
        self._bytes = {id: token.content.encode() for id, token in added}

    def bytes_of(self, id: int) -> bytes:
        """The bytes of one id; none for an id outside the vocabulary."""
        known = self._bytes.get(id)
        if known is None:
            token = self._backend.id_to_token(id) if 0 <= id < 2**32 else None
            known = b"" if token is None else self._spelling(token)
            self._bytes[id] = known
        return known

    def decode(self, ids: Iterable[int]) -> str:
        text = b"".join(map(self.bytes_of, ids)).decode(errors="replace")
        return text.removeprefix(" ") if self._strip else text

    def stream(self) -> TextStream:
        return _ByteStream(self.bytes_of, strip=self._strip)


class _ByteStream:
    def __init__(self, bytes_of: Callable[[int], bytes], *, strip: bool) -> None:
        self._bytes_of = bytes_of
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._strip = strip

    def push(self, id: int) -> str:
        return self._shorten(self._decoder.decode(self._bytes_of(id)))

    def flush(self) -> str:
        return self._shorten(self._decoder.decode(b"", final=True))

    def _shorten(self, text: str) -> str:
        if self._strip and text:
            self._strip = False
            return text.removeprefix(" ")
        return text


class Words:
    """Any other decoder: a token's text may depend on whether another one comes before it."""

    def __init__(self, backend: tokenizers.Tokenizer) -> None:
        self._backend = backend

    def decode(self, ids: Iterable[int]) -> str:
        known = [id for id in ids if 0 <= id < 2**32]
        return str(self._backend.decode(known, skip_special_tokens=False))

    def stream(self) -> TextStream:
        return _WordStream(self.decode)


class _WordStream:
    def __init__(self, decode: Callable[[Sequence[int]], str]) -> None:
        self._decode = decode
        self._context: list[int] = []  # the last id whose text is out
        self._pending: list[int] = []

    def push(self, id: int) -> str:
        self._pending.append(id)
        text = self._text()
        if not text or text.endswith(_REPLACEMENT):
            return ""
        self._context, self._pending = self._pending[-1:], []
        return text

    def flush(self) -> str:
        text = self._text()
        self._context, self._pending = self._pending[-1:], []
        return text

    def _text(self) -> str:
        before = self._decode(self._context)
        return self._decode(self._context + self._pending)[len(before) :]


def reader(backend: tokenizers.Tokenizer) -> Pieces | Words:
    """The way back to text that this tokenizer's decoder stands for."""
    decoder = backend.decoder
    parts = [] if decoder is None else _parts(json.loads(decoder.__getstate__()))
    kinds = [str(part["type"]) for part in parts]
    if kinds == ["ByteLevel"]:
        return Pieces(backend, _byte_level, strip=False)
    if kinds == ["Metaspace"] and parts[0]["replacement"] == _SPACE:
        return Pieces(backend, _spaced, strip=parts[0]["prepend_scheme"] != "never")
    if kinds[:1] == ["Replace"] and _is_sentencepiece(parts):
        spelling = _spaced_or_byte if "ByteFallback" in kinds else _spaced
        return Pieces(backend, spelling, strip=kinds[-1] == "Strip")
    return Words(backend)


def _parts(decoder: dict[str, object]) -> list[dict[str, object]]:
    if decoder["type"] != "Sequence":
        return [decoder]
    inner = decoder["decoders"]
    return [part for each in inner for part in _parts(each)] if isinstance(inner, list) else []


def _is_sentencepiece(parts: Sequence[dict[str, object]]) -> bool:
    replace, *rest = parts
    spaces = replace["pattern"] == {"String": _SPACE} and replace["content"] == " "
    if rest and rest[-1]["type"] == "Strip":
        strip = rest.pop()
        spaces &= (strip["content"], strip["start"], strip["stop"]) == (" ", 1, 0)
    return spaces and all(part["type"] in ("ByteFallback", "Fuse") for part in rest)
