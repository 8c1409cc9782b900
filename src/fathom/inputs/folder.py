"""The tokenizer files of a checkpoint folder, newest form first."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import tokenizers
from tokenizers import AddedToken, Regex, decoders, models, normalizers, pre_tokenizers

from fathom.errors import TokenizerError
from fathom.inputs import clip_pairs, sentencepiece
from fathom.inputs.around import put_around
from fathom.inputs.guard import tokenizer_errors
from fathom.inputs.tokenizer import Source
from fathom.inputs.trial import require_sound

_REMEDY = "fetch the folder again"
_LARGEST = 256 << 20  # bytes; the largest published tokenizer.json has about 35 MB
_MOST_ENDINGS = 256  # ids that end an answer; published lists have up to seven
_LARGEST_ID = 1 << 24  # where config.json states no size; vocabularies stay below two million
_WORDS = (
    *("bos_token", "eos_token", "unk_token", "sep_token"),
    *("pad_token", "cls_token", "mask_token"),
)
_SHIFTED = ("XLMRoberta", "XGLM", "Camembert", "MBart", "NllbTokenizer", "Barthez", "Deberta")
"""Tokenizer classes that number the pieces of their tokenizer.model differently."""


def read_folder(path: Path, records: Path | None = None) -> tuple[tokenizers.Tokenizer, Source]:
    """Read whichever tokenizer a folder has, with what its other files say about it.

    `records` is where files that were found sound are remembered.
    """
    config = _read_json(path / "tokenizer_config.json")
    if (path / "tokenizer.json").is_file():
        require_sound(_read_text(path / "tokenizer.json"), records)
    for name, read in _READERS.items():
        if (path / name).is_file():
            backend, kind = read(path, config)
            break
    else:
        raise TokenizerError(
            f"no tokenizer in {path}: none of {', '.join(_READERS)} is there; "
            "copy the tokenizer files of the original model into it"
        )
    if str(config.get("tokenizer_class", "")).startswith("Siglip"):
        backend.normalizer = _plain(backend.normalizer, bool(config.get("do_lower_case", True)))
    _add_tokens(backend, config)
    words = {**_words(_read_json(path / "special_tokens_map.json")), **_words(config)}
    ending = frozenset(_endings(path))
    return backend, Source(kind, words, ending, _templates(path, config))


def _plain(after: normalizers.Normalizer | None, lowered: bool) -> normalizers.Normalizer:
    """Return what SigLIP was trained on: text without punctuation, its spaces single, lowered."""
    steps = [normalizers.Lowercase()] if lowered else []
    punctuation = normalizers.Replace(Regex(r"[!-/:-@\[-`{-~]"), "")
    spaces = normalizers.Replace(Regex(r"\s+"), " ")
    last = [] if after is None else [after]
    return normalizers.Sequence([*steps, punctuation, spaces, normalizers.Strip(), *last])


def _read_json(path: Path) -> dict[str, object]:
    """A JSON object, empty if there is no such file."""
    if not path.is_file():
        return {}
    try:
        found = json.loads(_read_bytes(path))
    except (ValueError, RecursionError) as error:
        told = f"{path.name} is not valid JSON: {str(error)[:160]}; {_REMEDY}"
        raise TokenizerError(told, code="E_HEADER_SYNTAX") from error
    if not isinstance(found, dict):
        told = f"{path.name} holds no JSON object; {_REMEDY}"
        raise TokenizerError(told, code="E_HEADER_SYNTAX")
    return found


def _read_bytes(path: Path) -> bytes:
    size = path.stat().st_size
    if size > _LARGEST:
        raise TokenizerError(
            f"{path.name} has {size:,} bytes, more than any tokenizer needs "
            f"({_LARGEST:,}); {_REMEDY}",
            code="E_LIMIT",
        )
    return path.read_bytes()


def _read_text(path: Path) -> str:
    try:
        return _read_bytes(path).decode()
    except UnicodeDecodeError as error:
        told = f"{path.name} is not UTF-8; {_REMEDY}"
        raise TokenizerError(told, code="E_HEADER_ENCODING") from error


def _string(token: object) -> str | None:
    """A token is written as a string or as an object with its ``content``."""
    content = token.get("content") if isinstance(token, dict) else token
    return content if isinstance(content, str) else None


def _words(config: Mapping[str, object]) -> dict[str, str]:
    found = {name: _string(config.get(name)) for name in _WORDS}
    return {name: token for name, token in found.items() if token is not None}


def _endings(path: Path) -> Iterator[int]:
    """Ids that generation_config.json, or else config.json, lists as ends of an answer."""
    vocabulary = _read_json(path / "config.json").get("vocab_size")
    most = vocabulary if isinstance(vocabulary, int) else _LARGEST_ID
    for name in ("generation_config.json", "config.json"):
        listed = _read_json(path / name).get("eos_token_id")
        if listed is None:
            continue
        ids = listed if isinstance(listed, list) else [listed]
        if len(ids) > _MOST_ENDINGS:
            told = f"{name}: 'eos_token_id' lists {len(ids):,} ids, at most {_MOST_ENDINGS}"
            raise TokenizerError(f"{told}; {_REMEDY}", code="E_LIMIT")
        for id in ids:
            if type(id) is not int or not 0 <= id < most:
                told = f"{name}: 'eos_token_id' holds {str(id)[:40]}, no id below {most:,}"
                raise TokenizerError(f"{told}; repair it", code="E_MISMATCH")
            yield id
        return


def _templates(path: Path, config: Mapping[str, object]) -> dict[str, str]:
    """Chat templates by name: their own files win over what tokenizer_config.json holds."""
    listed = config.get("chat_template")
    found = {"default": listed} if isinstance(listed, str) else {}
    for each in listed if isinstance(listed, list) else ():
        name, source = (
            (each.get("name"), each.get("template")) if isinstance(each, dict) else (0, 0)
        )
        if isinstance(name, str) and isinstance(source, str):
            found[name] = source
    files = {"default": path / "chat_template.jinja"}
    files |= {file.stem: file for file in sorted(path.glob("additional_chat_templates/*.jinja"))}
    return found | {name: _read_text(file) for name, file in files.items() if file.is_file()}


def _add_tokens(backend: tokenizers.Tokenizer, config: Mapping[str, object]) -> None:
    """Add the tokens that only tokenizer_config.json lists, in the order of their ids."""
    listed = config.get("added_tokens_decoder")
    if not isinstance(listed, dict):
        return
    numbered = {int(id): token for id, token in listed.items() if str(id).isdecimal()}
    for id, token in sorted(numbered.items()):
        content = _string(token)
        if content is None or not isinstance(token, dict):
            raise TokenizerError(f"tokenizer_config.json: token {id} has no content; {_REMEDY}")
        known = backend.token_to_id(content)
        if known is None:
            known = backend.get_vocab_size(with_added_tokens=True)
        if known != id:
            raise TokenizerError(
                f"tokenizer_config.json gives {content!r} the id {id:,}, the vocabulary gives it "
                f"{known:,}; {_REMEDY}"
            )
        flags = ("single_word", "lstrip", "rstrip", "normalized", "special")
        given = {flag: bool(token[flag]) for flag in flags if flag in token}
        backend.add_tokens([AddedToken(content, **given)])


def _read_tokenizer_json(
    path: Path, config: Mapping[str, object]
) -> tuple[tokenizers.Tokenizer, str]:
    text = _read_text(path / "tokenizer.json")
    with tokenizer_errors("tokenizer.json is not a usable tokenizer", _REMEDY):
        backend = tokenizers.Tokenizer.from_str(text)
        # Some faults, such as a missing special token, show only when the parts work together.
        backend.no_padding()
        backend.no_truncation()
        backend.encode("a")
    return backend, type(backend.model).__name__


def _read_sentencepiece(
    path: Path, config: Mapping[str, object]
) -> tuple[tokenizers.Tokenizer, str]:
    owner = str(config.get("tokenizer_class", ""))
    if owner.startswith(_SHIFTED):
        raise TokenizerError(
            f"{owner} numbers its pieces differently from tokenizer.model; "
            "save it with transformers to get a tokenizer.json"
        )
    file = next(
        path / name for name in ("tokenizer.model", "spiece.model") if (path / name).is_file()
    )
    data = _read_bytes(file)
    if data[:1] != b"\n":  # field 1, a message: how every SentencePiece model begins
        raise TokenizerError(
            f"{file.name} is no SentencePiece model (perhaps a tiktoken file); "
            "save the tokenizer with transformers to get a tokenizer.json"
        )
    model = sentencepiece.parse_model(data)
    if config.get("add_prefix_space") is False:
        model = replace(model, space_prefix=False)
    backend = sentencepiece.build(model)
    words = _words(config)
    t5 = file.name == "spiece.model" or owner.startswith("T5")
    bos = words.get("bos_token", "<s>") if config.get("add_bos_token", not t5) else None
    eos = words.get("eos_token", "</s>") if config.get("add_eos_token", t5) else None
    put_around(backend, _present(backend, bos), _present(backend, eos))
    return backend, f"SentencePiece {'BPE' if model.bpe else 'unigram'}"


def _present(backend: tokenizers.Tokenizer, token: str | None) -> list[str]:
    return [token] if token is not None and backend.token_to_id(token) is not None else []


def _read_word_pieces(path: Path, config: Mapping[str, object]) -> tuple[tokenizers.Tokenizer, str]:
    tokens = _read_text(path / "vocab.txt").removesuffix("\n").split("\n")
    words = {"unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]", **_words(config)}
    lowercase = bool(config.get("do_lower_case", True))
    accents = config.get("strip_accents")
    with tokenizer_errors("vocab.txt is not a usable vocabulary", _REMEDY):
        backend = tokenizers.Tokenizer(
            models.WordPiece(
                vocab={token: id for id, token in enumerate(tokens)},
                unk_token=words["unk_token"],
                max_input_chars_per_word=100,
            )
        )
        backend.normalizer = normalizers.BertNormalizer(
            lowercase=lowercase, strip_accents=accents if isinstance(accents, bool) else None
        )
        backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        backend.decoder = decoders.WordPiece()
        usual = {*words.values(), "[PAD]", "[MASK]"}
        backend.add_special_tokens([token for token in tokens if token in usual])
    put_around(backend, [words["cls_token"]], [words["sep_token"]])
    return backend, "WordPiece"


def _read_byte_pairs(path: Path, config: Mapping[str, object]) -> tuple[tokenizers.Tokenizer, str]:
    lines = _read_text(path / "merges.txt").split("\n") if (path / "merges.txt").is_file() else []
    parts = [line.partition(" ") for line in lines if line and not line.startswith("#version")]
    merges = [(left, right) for left, _, right in parts]
    listed = _read_json(path / "vocab.json")
    vocabulary = {token: id for token, id in listed.items() if isinstance(id, int)}
    if merges and str(config.get("tokenizer_class", "")).startswith("CLIP"):
        with tokenizer_errors("vocab.json and merges.txt do not match", _REMEDY):
            return clip_pairs.build(vocabulary, merges, _words(config)), "byte-pair encoding"
    if not merges:
        raise TokenizerError(
            "vocab.json alone is not enough for this tokenizer; "
            "save it with transformers to get a tokenizer.json"
        )
    with tokenizer_errors("vocab.json and merges.txt do not match", _REMEDY):
        backend = tokenizers.Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
        spaced = bool(config.get("add_prefix_space", False))
        backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=spaced)
        backend.decoder = decoders.ByteLevel()
        special = [*_words(config).values(), "<|endoftext|>"]
        backend.add_special_tokens([token for token in special if token in vocabulary])
    return backend, "byte-level BPE"


_READERS = {
    "tokenizer.json": _read_tokenizer_json,
    "tokenizer.model": _read_sentencepiece,
    "spiece.model": _read_sentencepiece,
    "vocab.txt": _read_word_pieces,
    "vocab.json": _read_byte_pairs,
}
"""Tokenizer files by preference, each with what reads it."""
