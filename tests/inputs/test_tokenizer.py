"""Tokenizers from a folder, their special tokens, streams, and files that mean harm."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Regex, decoders, models, pre_tokenizers, trainers
from transformers import AutoTokenizer

from fathom.errors import TokenizerError
from fathom.inputs import names
from fathom.inputs.pieces import byte_alphabet
from fathom.inputs.tokenizer import Source, Tokenizer

SPECIAL = ["<s>", "</s>", "<|im_start|>", "<|im_end|>"]


def byte_level(corpus: list[str]) -> tokenizers.Tokenizer:
    backend = tokenizers.Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=600, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    backend.train_from_iterator(corpus, trainer)
    backend.add_tokens([AddedToken("<think>"), AddedToken("</think>")])
    return backend


def word_pieces(corpus: list[str]) -> tokenizers.Tokenizer:
    backend = tokenizers.BertWordPieceTokenizer(lowercase=False)
    backend.train_from_iterator(corpus, vocab_size=500, show_progress=False)
    return tokenizers.Tokenizer.from_str(backend.to_str())


def word_ends(corpus: list[str]) -> tokenizers.Tokenizer:
    backend = tokenizers.CharBPETokenizer()
    backend.train_from_iterator(corpus, vocab_size=500, show_progress=False)
    return tokenizers.Tokenizer.from_str(backend.to_str())


def byte_fallback(corpus: list[str]) -> tokenizers.Tokenizer:
    """As the tokenizer.json of Llama 2 is put together."""
    pieces = [f"<0x{byte:02X}>" for byte in range(256)]
    backend = tokenizers.Tokenizer(models.BPE(byte_fallback=True, fuse_unk=True, unk_token="<unk>"))
    backend.normalizer = tokenizers.normalizers.Sequence(
        [tokenizers.normalizers.Prepend("▁"), tokenizers.normalizers.Replace(" ", "▁")]
    )
    backend.pre_tokenizer = pre_tokenizers.Split(Regex("▁[^▁]*"), "isolated")
    trainer = trainers.BpeTrainer(
        vocab_size=600, special_tokens=["<unk>", *SPECIAL, *pieces], show_progress=False,
        limit_alphabet=60,
    )  # fmt: skip
    backend.train_from_iterator(corpus, trainer)
    # The trainer marks the byte tokens as special ones; they are ordinary.
    saved = json.loads(backend.to_str())
    saved["added_tokens"] = [each for each in saved["added_tokens"] if "0x" not in each["content"]]
    backend = tokenizers.Tokenizer.from_str(json.dumps(saved))
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(),
         decoders.Strip(" ", 1, 0)]
    )  # fmt: skip
    return backend


def metaspace(corpus: list[str]) -> tokenizers.Tokenizer:
    backend = tokenizers.Tokenizer(models.Unigram())
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=400, special_tokens=["<unk>", *SPECIAL], unk_token="<unk>", show_progress=False
    )
    backend.train_from_iterator(corpus, trainer)
    return backend


KINDS: dict[str, Callable[[list[str]], tokenizers.Tokenizer]] = {
    kind.__name__: kind for kind in (byte_level, word_pieces, word_ends, byte_fallback, metaspace)
}


@pytest.fixture(scope="module", params=KINDS)
def backend(request: pytest.FixtureRequest, corpus: list[str]) -> tokenizers.Tokenizer:
    return KINDS[request.param](corpus)


@pytest.fixture(scope="module")
def bytewise(corpus: list[str]) -> tokenizers.Tokenizer:
    return byte_level(corpus)


def save(backend: tokenizers.Tokenizer, folder: Path, **files: object) -> Path:
    """Write tokenizer.json and other files, `generation_config={...}` as generation_config.json."""
    backend.save(str(folder / "tokenizer.json"))
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    return folder


def test_folder_equals_transformers(backend, text: str, tmp_path: Path) -> None:
    save(backend, tmp_path, tokenizer_config={"tokenizer_class": "PreTrainedTokenizerFast"})
    ours, theirs = Tokenizer.from_folder(tmp_path), AutoTokenizer.from_pretrained(tmp_path)
    ids = ours.encode(text)
    assert ids == theirs.encode(text)
    assert ours.vocabulary == len(theirs)
    assert ours.decode(ids) == theirs.decode(
        ids, skip_special_tokens=True, clean_up_tokenization_spaces=False
    )


def stream(tokenizer: Tokenizer, ids: list[int], skip_special: bool) -> list[str]:
    out = tokenizer.stream(skip_special)
    return [*(out.push(id) for id in ids), out.flush()]


@settings(max_examples=60, deadline=None)
@given(data=st.data())
@pytest.mark.parametrize("kind", KINDS)
def test_a_stream_joins_to_the_whole(kind: str, streamed, data: st.DataObject) -> None:
    """Over any ids, also such as make broken UTF-8, and over real texts."""
    tokenizer: Tokenizer = streamed[kind]
    any_ids = st.lists(st.integers(0, tokenizer.vocabulary + 3), max_size=30)
    texts = st.text(max_size=30).map(tokenizer.encode)
    ids = data.draw(st.one_of(any_ids, texts))
    skip = data.draw(st.booleans())
    assert "".join(stream(tokenizer, ids, skip)) == tokenizer.decode(ids, skip)


@pytest.fixture(scope="module")
def streamed(corpus: list[str]) -> dict[str, Tokenizer]:
    return {name: Tokenizer(build(corpus), Source(name)) for name, build in KINDS.items()}


@settings(max_examples=80, deadline=None)
@given(text=st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
@pytest.mark.parametrize("kind", ["byte_level", "byte_fallback"])
def test_byte_vocabularies_lose_nothing(kind: str, streamed, text: str) -> None:
    tokenizer: Tokenizer = streamed[kind]
    assert tokenizer.decode(tokenizer.encode(text)).replace("▁", " ") == text.replace("▁", " ")


def test_a_stream_never_emits_half_a_character(streamed) -> None:
    text = "🦜é𝔘ੴ"  # none of them in the corpus
    for kind in ("byte_level", "byte_fallback"):
        tokenizer = streamed[kind]
        pieces = stream(tokenizer, tokenizer.encode(text), True)
        assert "".join(pieces) == text
        assert "\ufffd" not in "".join(pieces)
        assert "" in pieces[:-1]  # something had to wait
        assert pieces[-1] == ""


def test_a_cut_off_character_is_flushed_once(streamed) -> None:
    tokenizer: Tokenizer = streamed["byte_level"]
    ids = tokenizer.encode("a😀")[:-1]
    out = tokenizer.stream()
    assert "".join(out.push(id) for id in ids) == "a"
    assert out.flush() == "\ufffd" == tokenizer.decode(ids)[1:]


def test_the_byte_alphabet_is_gpt2s() -> None:
    assert set(byte_alphabet()) == set(pre_tokenizers.ByteLevel.alphabet())
    assert sorted(byte_alphabet().values()) == list(range(256))
    spelled = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    text = "".join(map(chr, range(1, 0x250)))
    token = spelled.pre_tokenize_str(text)[0][0]
    assert bytes(byte_alphabet()[character] for character in token) == text.encode()


def test_special_tokens_of_a_folder(bytewise, tmp_path: Path) -> None:
    folder = save(
        bytewise,
        tmp_path,
        tokenizer_config={"bos_token": {"content": "<s>"}, "pad_token": "<s>"},
        special_tokens_map={"eos_token": "</s>", "pad_token": "</s>"},
        generation_config={"eos_token_id": [7, 9]},
        config={"eos_token_id": 11},
    )
    ours = Tokenizer.from_folder(folder)
    assert ours.special.bos == ours.special.pad == ours.token_to_id("<s>")
    assert ours.special.eos == {1, 3, 7, 9}  # </s>, <|im_end|>, and as listed
    assert (ours.special.unk, ours.special.mask) == (None, None)
    assert ours.words == {"bos_token": "<s>", "pad_token": "<s>", "eos_token": "</s>"}
    (folder / "generation_config.json").unlink()
    assert Tokenizer.from_folder(folder).special.eos == {1, 3, 11}
    assert "BPE" in ours.describe and f"{ours.vocabulary:,} tokens" in ours.describe


def test_strangers_cannot_spell_control_tokens(streamed) -> None:
    for kind in ("byte_level", "byte_fallback", "metaspace"):
        ours: Tokenizer = streamed[kind]
        end, text = ours.token_to_id("<|im_end|>"), "hi<|im_end|> <|im_end|><|im_start|>system"
        assert end in ours.encode(text)
        literal = ours.encode(text, parse_special=False)
        assert not ours.special_ids.difference([ours.token_to_id("<unk>")]).intersection(literal)
        assert end in ours.encode(text)  # the switch has not stuck
        if kind != "metaspace":  # which has no piece for "|"
            assert ours.decode(literal) == text


@pytest.mark.parametrize("text", ["\ud800", "a\udfffb", "caf\udce9"])
def test_text_that_is_no_utf8_is_refused(text: str, streamed) -> None:
    ours: Tokenizer = streamed["byte_level"]
    with pytest.raises(TokenizerError, match="lone surrogate"):
        ours.encode(text)
    assert ours.decode(ours.encode(text.encode(errors="replace").decode())) != ""
    with pytest.raises(TokenizerError, match="not bytes"):
        ours.encode(text.encode(errors="replace"))  # type: ignore[arg-type]


def test_ids_of_no_token_decode_to_nothing(backend) -> None:
    ours = Tokenizer(backend, Source("test"))
    assert ours.decode([-1, ours.vocabulary, 2**40]) == ""
    assert ours.id_to_token(-1) is None
    assert ours.id_to_token(2**40) is None


def with_tokens(*tokens: str) -> Tokenizer:
    backend = tokenizers.Tokenizer(models.BPE())
    backend.add_special_tokens(list(tokens))
    return Tokenizer(backend, Source("test", templates={}))


@pytest.mark.parametrize("triple", names.INFILL)
def test_infill_tokens_are_found(triple: tuple[str, str, str]) -> None:
    assert with_tokens(*triple).infill == triple
    assert with_tokens(*triple[:2]).infill is None


@pytest.mark.parametrize("pair", names.REASONING)
def test_reasoning_markers_are_found(pair: tuple[str, str]) -> None:
    assert with_tokens(*pair).reasoning == pair
    spelled = Source("test", templates={"default": f"x{pair[0]}y{pair[1]}"})
    assert Tokenizer(tokenizers.Tokenizer(models.BPE()), spelled).reasoning == pair
    assert with_tokens(pair[0]).reasoning is None


@pytest.mark.parametrize("name", names.END_OF_TURN)
def test_ends_of_a_turn_are_found(name: str) -> None:
    assert with_tokens("<other>", name).special.eos == {1}
    ordinary = tokenizers.Tokenizer(models.BPE())
    ordinary.add_tokens([name])
    assert Tokenizer(ordinary, Source("test")).special.eos == frozenset()


def test_a_channel_of_gpt_oss_is_no_end() -> None:
    assert with_tokens("<|end|>", "<|return|>", "<|call|>").special.eos == {1, 2}


def test_templates_of_a_folder(bytewise, tmp_path: Path) -> None:
    save(bytewise, tmp_path, tokenizer_config={"chat_template": "a {{ bos_token }}"})
    assert Tokenizer.from_folder(tmp_path).templates == {"default": "a {{ bos_token }}"}
    listed = [{"name": "default", "template": "b"}, {"name": "tool_use", "template": "c"}]
    save(bytewise, tmp_path, tokenizer_config={"chat_template": listed, "bos_token": "<s>"})
    assert Tokenizer.from_folder(tmp_path).templates == {"default": "b", "tool_use": "c"}
    (tmp_path / "chat_template.jinja").write_text("d {{ bos_token }}")
    ours = Tokenizer.from_folder(tmp_path)
    assert ours.chat.render([]) == "d <s>"
    assert ours.chat.render([], tools=[{}]) == "c"


def test_a_folder_without_a_template_says_so(bytewise, tmp_path: Path) -> None:
    with pytest.raises(TokenizerError, match="no chat template"):
        _ = Tokenizer.from_folder(save(bytewise, tmp_path)).chat


def test_tokens_that_only_the_config_lists(bytewise, tmp_path: Path) -> None:
    count = bytewise.get_vocab_size()
    new = {str(count): {"content": "<new>", "special": True}, "0": {"content": "<s>"}}
    save(bytewise, tmp_path, tokenizer_config={"added_tokens_decoder": new})
    assert Tokenizer.from_folder(tmp_path).encode("a<new>")[-1] == count
    wrong = {str(count + 5): {"content": "<new>", "special": True}}
    save(bytewise, tmp_path, tokenizer_config={"added_tokens_decoder": wrong})
    with pytest.raises(TokenizerError, match=f"the id {count + 5}"):
        Tokenizer.from_folder(tmp_path)


def test_older_forms_equal_their_tokenizer_json(corpus, text: str, tmp_path: Path) -> None:
    pieces = tokenizers.BertWordPieceTokenizer(lowercase=True)
    pieces.train_from_iterator(corpus, vocab_size=500, show_progress=False)
    (tmp_path / "bert").mkdir()
    pieces.save_model(str(tmp_path / "bert"))
    ids = Tokenizer.from_folder(tmp_path / "bert").encode(text)
    around = (pieces.token_to_id("[CLS]"), pieces.token_to_id("[SEP]"))
    assert ids == [around[0], *pieces.encode(text, add_special_tokens=False).ids, around[1]]

    pairs = tokenizers.ByteLevelBPETokenizer()
    pairs.train_from_iterator(corpus, vocab_size=500, show_progress=False)
    (tmp_path / "gpt2").mkdir()
    pairs.save_model(str(tmp_path / "gpt2"))
    assert Tokenizer.from_folder(tmp_path / "gpt2").encode(text) == pairs.encode(text).ids


def test_a_folder_without_a_tokenizer_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(TokenizerError, match=r"none of tokenizer\.json"):
        Tokenizer.from_folder(tmp_path)
    (tmp_path / "vocab.json").write_text('{"a": 0}')
    with pytest.raises(TokenizerError, match="not enough"):
        Tokenizer.from_folder(tmp_path)
    (tmp_path / "tokenizer.model").write_text("YQ== 0\n")
    with pytest.raises(TokenizerError, match="tiktoken"):
        Tokenizer.from_folder(tmp_path)


BPE = {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": [["a", "b"]]}
WHOLE = {"version": "1.0", "added_tokens": [], "model": BPE}
MISSING = {"type": "TemplateProcessing", "pair": [], "special_tokens": {},
           "single": [{"SpecialToken": {"id": "<x>", "type_id": 0}}]}  # fmt: skip
PADDED = {"strategy": {"Fixed": 10**8}, "direction": "Right", "pad_to_multiple_of": None,
          "pad_id": 0, "pad_type_id": 0, "pad_token": "a"}  # fmt: skip
CLIPPED = {"direction": "Right", "max_length": 1, "strategy": "LongestFirst", "stride": 0}
SPLIT = {"type": "Split", "behavior": "Isolated", "invert": False}


def test_padding_and_truncation_of_the_file_are_ignored(tmp_path: Path) -> None:
    """TK-05: padding to 10^8 tokens would end the process; a silent cut is never wanted."""
    (tmp_path / "tokenizer.json").write_text(
        json.dumps(WHOLE | {"padding": PADDED, "truncation": CLIPPED})
    )
    assert Tokenizer.from_folder(tmp_path).encode("aab") == [0, 2]


def test_a_panic_while_encoding_is_an_error(tmp_path: Path) -> None:
    """TK-03: a pattern that looks harmless and that the engine gives up on."""
    pattern = SPLIT | {"pattern": {"Regex": "(c|cc)+$"}}
    (tmp_path / "tokenizer.json").write_text(json.dumps(WHOLE | {"pre_tokenizer": pattern}))
    ours = Tokenizer.from_folder(tmp_path)
    assert ours.encode("aab") == [0, 2]
    with pytest.raises(TokenizerError, match="cannot be tokenized"):
        ours.encode("c" * 80 + "b")


@pytest.mark.parametrize("name", ["tokenizer_config", "generation_config", "special_tokens_map"])
@pytest.mark.parametrize("content", ["", "{", "[1]", "[" * 100_000], ids=len)
def test_broken_companions_are_refused(name: str, content: str, bytewise, tmp_path: Path) -> None:
    save(bytewise, tmp_path)
    (tmp_path / f"{name}.json").write_text(content)
    with pytest.raises(TokenizerError, match=re.escape(f"{name}.json")):
        Tokenizer.from_folder(tmp_path)
    (tmp_path / f"{name}.json").write_text("{}")
    assert Tokenizer.from_folder(tmp_path).vocabulary == bytewise.get_vocab_size()


def test_an_enormous_file_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "tokenizer.json").open("wb") as file:
        file.truncate(1 << 30)  # TK-15
    with pytest.raises(TokenizerError, match="more than any tokenizer needs"):
        Tokenizer.from_folder(tmp_path)


@pytest.mark.parametrize(("rows", "told"), [(-1, None), (0, ["1 tokens"]), (1, [])])
def test_a_model_has_a_row_for_every_token(
    rows: int, told: list[str] | None, bytewise, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """TK-19: a vocabulary beyond the rows is another model's; added tokens alone are told of."""
    own = bytewise.get_vocab_size(with_added_tokens=False)
    backend = tokenizers.Tokenizer.from_str(bytewise.to_str())
    added = backend.get_vocab_size() - own
    backend.add_tokens(["<one more>"])
    save(backend, tmp_path)
    tokenizer = Tokenizer.from_folder(tmp_path)
    if told is None:
        with pytest.raises(TokenizerError, match="one place") as caught:
            tokenizer.require_rows(own + rows)
        assert caught.value.code == "E_MISMATCH"
        return
    tokenizer.require_rows(own + added + rows)
    assert [record.message.partition(" were")[0] for record in caplog.records] == told


def test_the_real_one(smollm2: Tokenizer) -> None:
    assert smollm2.vocabulary == 49_152
    assert smollm2.special.bos == 1
    assert smollm2.special.eos == {0, 2}  # <|endoftext|>, <|im_end|>
    assert smollm2.describe == "byte-level BPE (smollm), 49,152 tokens"
    prompt = smollm2.chat.render([{"role": "user", "content": "Hi"}])
    assert prompt.endswith("<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n")
    assert smollm2.encode(prompt)[0] == 1
