"""SentencePiece models, from their own file and through GGUF, against SentencePiece itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import sentencepiece

from fathom.errors import TokenizerError
from fathom.inputs.charsmap import check_charsmap
from fathom.inputs.sentencepiece import parse_model
from fathom.inputs.tokenizer import Tokenizer

VARIANTS: dict[str, dict[str, object]] = {
    "llama": {"model_type": "bpe", "byte_fallback": True, "normalization_rule_name": "identity",
              "remove_extra_whitespaces": False, "split_digits": True},
    "no-prefix": {"model_type": "bpe", "byte_fallback": True, "add_dummy_prefix": False,
                  "normalization_rule_name": "identity", "remove_extra_whitespaces": False},
    "bpe-squeezed": {"model_type": "bpe", "normalization_rule_name": "identity"},
    "bpe-space-runs": {"model_type": "bpe", "byte_fallback": True, "split_by_whitespace": False,
                       "normalization_rule_name": "identity", "remove_extra_whitespaces": False,
                       "allow_whitespace_only_pieces": True},
    "unigram": {"model_type": "unigram", "normalization_rule_name": "identity"},
    "t5": {"model_type": "unigram", "normalization_rule_name": "nmt_nfkc"},
    "unigram-bytes": {"model_type": "unigram", "byte_fallback": True,
                      "normalization_rule_name": "identity", "remove_extra_whitespaces": False},
}  # fmt: skip
MARKED = {"user_defined_symbols": ["<tool>"], "control_symbols": ["<ctrl>"]}


def as_gguf(model: bytes, options: dict[str, object]) -> dict[str, object]:
    """The keys that published converters write for a SentencePiece model."""
    original = sentencepiece.SentencePieceProcessor(model_proto=model)
    tests = {2: original.IsUnknown, 3: original.IsControl, 5: original.IsUnused, 6: original.IsByte}
    types = []
    for id in range(original.vocab_size()):
        kind = next((kind for kind, test in tests.items() if test(id)), 1)
        types.append(4 if original.IdToPiece(id) in MARKED["user_defined_symbols"] else kind)
    proto = _proto(model)
    return {
        "tokenizer.ggml.model": "llama" if options["model_type"] == "bpe" else "t5",
        "tokenizer.ggml.tokens": [original.IdToPiece(id) for id in range(len(types))],
        "tokenizer.ggml.scores": [original.GetScore(id) for id in range(len(types))],
        "tokenizer.ggml.token_type": types,
        "tokenizer.ggml.add_space_prefix": proto.normalizer_spec.add_dummy_prefix,
        "tokenizer.ggml.remove_extra_whitespaces": proto.normalizer_spec.remove_extra_whitespaces,
        "tokenizer.ggml.precompiled_charsmap": list(proto.normalizer_spec.precompiled_charsmap),
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.unknown_token_id": 0,
    }


def _proto(model: bytes):
    from sentencepiece import sentencepiece_model_pb2

    proto = sentencepiece_model_pb2.ModelProto()
    proto.ParseFromString(model)
    return proto


@pytest.fixture(params=sorted(VARIANTS))
def variant(request, train_sentencepiece: Callable[..., bytes]):
    options = VARIANTS[request.param]
    return train_sentencepiece(**options, **MARKED), options


def test_gguf_equals_the_original(variant, text: str) -> None:
    model, options = variant
    original = sentencepiece.SentencePieceProcessor(model_proto=model)
    ours = Tokenizer.from_gguf(as_gguf(model, options))
    plain = text.replace("<s>", "").replace("</s>", "")
    ids = ours.encode(plain, add_special=False)
    assert ids == original.EncodeAsIds(plain)
    if original.unk_id() not in ids:
        assert ours.decode(ids) == original.DecodeIds(ids)


def test_folder_equals_the_original(variant, text: str, tmp_path: Path) -> None:
    model, _ = variant
    (tmp_path / "tokenizer.model").write_bytes(model)
    original = sentencepiece.SentencePieceProcessor(model_proto=model)
    ours = Tokenizer.from_folder(tmp_path)
    plain = text.replace("<s>", "").replace("</s>", "")
    assert ours.encode(plain, add_special=False) == original.EncodeAsIds(plain)


def test_flags_add_the_first_and_last_token(variant) -> None:
    model, options = variant
    metadata = as_gguf(model, options)
    plain = Tokenizer.from_gguf(metadata).encode("a cat", add_special=False)
    for bos in (False, True):
        for eos in (False, True):
            flags = {"tokenizer.ggml.add_bos_token": bos, "tokenizer.ggml.add_eos_token": eos}
            ids = Tokenizer.from_gguf(metadata | flags).encode("a cat")
            assert ids == [1] * bos + plain + [2] * eos


def test_control_tokens_in_strange_text_stay_text(variant) -> None:
    model, options = variant
    ours = Tokenizer.from_gguf(as_gguf(model, options))
    assert 2 in ours.encode("a</s>b", add_special=False)
    assert 2 not in ours.encode("a</s>b", add_special=False, parse_special=False)


@pytest.mark.parametrize("keep", [0, 1, 7, 100, 2000])
def test_a_damaged_model_is_refused(
    keep: int, train_sentencepiece: Callable[..., bytes], tmp_path: Path
) -> None:
    model = train_sentencepiece(**VARIANTS["llama"], **MARKED)
    (tmp_path / "tokenizer.model").write_bytes(model[:keep])
    with pytest.raises(TokenizerError, match=r"tokenizer\.model"):
        Tokenizer.from_folder(tmp_path)


@pytest.mark.parametrize("kind", ["word", "char"])
def test_kinds_that_cannot_be_rebuilt_say_so(
    kind: str, train_sentencepiece: Callable[..., bytes], tmp_path: Path
) -> None:
    (tmp_path / "tokenizer.model").write_bytes(train_sentencepiece(model_type=kind))
    with pytest.raises(TokenizerError, match=f"a {kind}.* model"):
        Tokenizer.from_folder(tmp_path)


def test_a_class_that_renumbers_pieces_is_refused(
    train_sentencepiece: Callable[..., bytes], tmp_path: Path
) -> None:
    model = train_sentencepiece(**VARIANTS["t5"], **MARKED)
    (tmp_path / "tokenizer.model").write_bytes(model)
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "XLMRobertaTokenizer"}')
    with pytest.raises(TokenizerError, match="XLMRoberta"):
        Tokenizer.from_folder(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "T5Tokenizer"}')
    assert Tokenizer.from_folder(tmp_path).encode("a cat")[-1] == 2


@pytest.mark.parametrize("rule", ["nmt_nfkc", "nfkc", "nmt_nfkc_cf", "nfkc_cf"])
def test_every_published_normalisation_is_sound(
    rule: str, train_sentencepiece: Callable[..., bytes]
) -> None:
    charsmap = parse_model(train_sentencepiece(normalization_rule_name=rule)).charsmap
    assert len(charsmap) > 100_000
    check_charsmap(charsmap)
    with pytest.raises(TokenizerError):
        check_charsmap(charsmap[:4] + b"\xff" * 4 + charsmap[8:])  # the root leads elsewhere
