"""SentencePiece models rebuilt as `tokenizers` objects, from their own file or from GGUF arrays.

The file is a protobuf message; the few fields that matter are read here, with bounds, so that the
sentencepiece package is not needed (field numbers: sentencepiece_model.proto).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from math import isfinite

import tokenizers
from tokenizers import AddedToken, Regex, decoders, models, normalizers, pre_tokenizers

from fathom.errors import TokenizerError
from fathom.inputs.guard import tokenizer_errors

MOST_CUTTING = 1 << 28  # squares of lengths of pieces: what cutting each in two costs
_SPACE = "▁"
_ONE_WORD = re.compile(r"▁*[^▁]*")
_REMEDY = "fetch the tokenizer file again"


class PieceType(IntEnum):
    """What a piece is; the numbers are those of SentencePiece and of GGUF's ``token_type``."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


@dataclass(frozen=True, slots=True)
class PieceModel:
    """A SentencePiece vocabulary and how it prepares text.

    `pieces`, `scores` and `types` run over ids. `bpe` tells merging by score from the unigram
    language model. `charsmap` is SentencePiece's compiled normalisation, empty for none.
    """

    pieces: Sequence[str]
    scores: Sequence[float]
    types: Sequence[int]
    bpe: bool
    charsmap: bytes = b""
    space_prefix: bool = True
    squeeze_spaces: bool = False

    def first(self, kind: PieceType) -> int | None:
        """The lowest id of one type."""
        return next((id for id, each in enumerate(self.types) if each == kind), None)


def build(model: PieceModel) -> tokenizers.Tokenizer:
    """The same tokenizer as a `tokenizers` object, without special tokens around a text.

    Raises:
        TokenizerError: for a vocabulary or a normalisation that no honest trainer makes.
    """
    _check(model)
    with tokenizer_errors("the SentencePiece vocabulary cannot be used", _REMEDY):
        backend = tokenizers.Tokenizer(_merging(model) if model.bpe else _unigram(model))
        backend.normalizer = normalizers.Sequence(_normalizers(model))
        backend.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Split(Regex(cut), behavior="isolated") for cut in _cuts(model)]
        )
        steps = [decoders.Replace(_SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
        strip = [decoders.Strip(" ", 1, 0)] if model.space_prefix else []
        backend.decoder = decoders.Sequence(steps + strip)
        add_marked(backend, model.pieces, model.types)
    return backend


def _check(model: PieceModel) -> None:
    """Refuse what the library takes and then fails, hangs or panics on."""
    if not all(map(isfinite, model.scores)):
        raise TokenizerError(
            f"a piece has a score that is no number; {_REMEDY}", code="E_NONFINITE"
        )
    if sum(len(piece) ** 2 for piece in model.pieces) > MOST_CUTTING:
        longest = max(map(len, model.pieces))
        told = f"pieces of up to {longest:,} characters take too long to cut; {_REMEDY}"
        raise TokenizerError(told, code="E_LIMIT")
    if not model.bpe and model.first(PieceType.UNKNOWN) is None:
        told = f"a unigram vocabulary has no piece for the unknown; {_REMEDY}"
        raise TokenizerError(told, code="E_MISMATCH")
    if model.charsmap:
        from fathom.inputs.charsmap import check_charsmap  # imports numpy

        check_charsmap(model.charsmap)


def add_marked(backend: tokenizers.Tokenizer, tokens: Sequence[str], types: Sequence[int]) -> None:
    """Make control and user-defined tokens whole wherever they stand in a text.

    The unknown token counts as a control token: it stands for no text.
    """
    whole = {PieceType.UNKNOWN: True, PieceType.CONTROL: True, PieceType.USER_DEFINED: False}
    marked = [
        AddedToken(token, normalized=False, special=whole[PieceType(kind)])
        for token, kind in zip(tokens, types, strict=True)
        if kind in whole and token
    ]
    backend.add_special_tokens([token for token in marked if token.special])
    backend.add_tokens([token for token in marked if not token.special])


def _merging(model: PieceModel) -> models.BPE:
    vocabulary = {piece: id for id, piece in enumerate(model.pieces)}
    unknown = model.first(PieceType.UNKNOWN)
    return models.BPE(
        vocab=vocabulary,
        merges=_merges(model, vocabulary),
        unk_token=None if unknown is None else model.pieces[unknown],
        fuse_unk=True,
        byte_fallback=_has_bytes(model),
    )


def _merges(model: PieceModel, vocabulary: dict[str, int]) -> list[tuple[str, str]]:
    """Pairs in the order in which SentencePiece would join them: best score of the result first.

    A vocabulary lists pieces only; every way of cutting one in two is a merge.
    """
    normal = [id for id, kind in enumerate(model.types) if kind == PieceType.NORMAL]
    normal.sort(key=lambda id: -model.scores[id])  # stable: equal scores keep the file's order
    known = {model.pieces[id] for id in normal}
    found: list[tuple[str, str]] = []
    for piece in (model.pieces[id] for id in normal):
        cuts = ((piece[:at], piece[at:]) for at in range(1, len(piece)))
        pairs = [(left, right) for left, right in cuts if left in known and right in known]
        found += sorted(pairs, key=lambda pair: (vocabulary[pair[0]], vocabulary[pair[1]]))
    return found


def _unigram(model: PieceModel) -> models.Unigram:
    # Only normal pieces may win a place by score: the others are matched whole or not at all.
    lowest = min(model.scores, default=0.0) - 1000.0 * max(1, len(model.pieces))
    scored = (PieceType.NORMAL, PieceType.UNKNOWN)
    scores = (
        score if kind in scored else lowest
        for score, kind in zip(model.scores, model.types, strict=True)
    )
    unknown = model.first(PieceType.UNKNOWN)
    return models.Unigram(list(zip(model.pieces, scores, strict=True)), unknown, _has_bytes(model))


def _has_bytes(model: PieceModel) -> bool:
    return sum(kind == PieceType.BYTE for kind in model.types) == 256


def _normalizers(model: PieceModel) -> list[normalizers.Normalizer]:
    steps: list[normalizers.Normalizer] = []
    if model.charsmap:
        steps.append(normalizers.Precompiled(model.charsmap))
    if model.squeeze_spaces:
        steps += [
            normalizers.Replace(Regex(r"\A +| +\z"), ""),
            normalizers.Replace(Regex(" {2,}"), " "),
        ]
    if model.space_prefix:
        steps.append(normalizers.Prepend(_SPACE))
    return [*steps, normalizers.Replace(" ", _SPACE)]


def _cuts(model: PieceModel) -> Iterator[str]:
    """Patterns that cut a text without changing its ids."""
    if _cuts_at_spaces(model):
        # The library remembers words, but no whole texts.
        yield f"{_SPACE}+[^{_SPACE}]*|[^{_SPACE}]+"
    if not model.bpe and _has_bytes(model):
        # A text may spell a byte token, which only a byte may become.
        yield "(?<=<)(?=0x[0-9A-F]{2}>)"


def _cuts_at_spaces(model: PieceModel) -> bool:
    """Whether no piece has a space after another character, so that words never join."""
    return all(
        _ONE_WORD.fullmatch(piece)
        for piece, kind in zip(model.pieces, model.types, strict=True)
        if kind == PieceType.NORMAL
    )


def parse_model(data: bytes) -> PieceModel:
    """Read ``tokenizer.model``: a ModelProto of SentencePiece."""
    pieces: list[str] = []
    scores: list[float] = []
    types: list[int] = []
    trainer: dict[int, bytes | int] = {}
    normalizer: dict[int, bytes | int] = {}
    for number, value in _fields(data):
        if number == 1:
            piece = dict(_fields(_bytes(value)))
            pieces.append(_bytes(piece.get(1, b"")).decode(errors="replace"))
            scores.append(_float(piece.get(2, bytes(4))))
            types.append(_whole(piece.get(3, PieceType.NORMAL)))
        elif number == 2:
            trainer = dict(_fields(_bytes(value)))
        elif number == 3:
            normalizer = dict(_fields(_bytes(value)))
    if not trainer:
        raise TokenizerError(f"tokenizer.model is cut off: it has no trainer settings; {_REMEDY}")
    kind = _whole(trainer.get(3, 1))  # TrainerSpec.model_type: 1 unigram, 2 bpe, 3 word, 4 char
    if kind not in (1, 2) or trainer.get(24):  # 24: treat_whitespace_as_suffix
        what = {3: "a word model", 4: "a character model"}.get(kind, "not a SentencePiece model")
        raise TokenizerError(
            f"tokenizer.model: {what}; only unigram and BPE models with spaces before words "
            "can be read, so convert it to tokenizer.json first"
        )
    return PieceModel(
        pieces,
        scores,
        types,
        bpe=kind == 2,
        charsmap=_bytes(normalizer.get(2, b"")),
        space_prefix=bool(normalizer.get(3, 1)),
        squeeze_spaces=bool(normalizer.get(4, 1)),
    )


def _fields(data: bytes) -> Iterator[tuple[int, bytes | int]]:
    """(number, value) of each field of one protobuf message: bytes, or an integer for varints."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, wire = key >> 3, key & 7
        if wire == 0:
            whole, at = _varint(data, at)
            yield number, whole
            continue
        if wire == 2:
            size, at = _varint(data, at)
        else:
            size = {1: 8, 5: 4}.get(wire, len(data) + 1)
        if at + size > len(data):
            raise TokenizerError(f"tokenizer.model is damaged at byte {at:,}; {_REMEDY}")
        yield number, data[at : at + size]
        at += size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            break
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise TokenizerError(f"tokenizer.model is damaged at byte {at:,}; {_REMEDY}")


def _bytes(value: bytes | int) -> bytes:
    if isinstance(value, bytes):
        return value
    raise TokenizerError(f"tokenizer.model: a field has the wrong type; {_REMEDY}")


def _float(value: bytes | int) -> float:
    if isinstance(value, bytes) and len(value) == 4:
        return float(struct.unpack("<f", value)[0])
    raise TokenizerError(f"tokenizer.model: a field has the wrong type; {_REMEDY}")


def _whole(value: bytes | int) -> int:
    if isinstance(value, int):
        return value
    raise TokenizerError(f"tokenizer.model: a field has the wrong type; {_REMEDY}")
