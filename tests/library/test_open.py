"""Opening a folder, whole and broken: what is wrong is said in one line, with the remedy."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from fathom import library
from fathom.errors import (
    ConfigError,
    ContextLengthError,
    DoesNotFitError,
    FathomError,
    ModelFileError,
    NotFoundError,
    RequestError,
    TensorMismatchError,
    TokenizerError,
    UnknownArchitectureError,
)
from fathom.inputs.tokenizer import Tokenizer
from fathom.library import TextModel, opening
from fathom.planning.machine import this_machine
from library.tiny import make

TOKENS = torch.tensor([[1, 2, 3, 70, 250, 9]])
WEIGHTS = "model.safetensors"
NORM = "model.layers.1.input_layernorm.weight"


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("published") / "tiny")


@pytest.fixture
def folder(published: Path, tmp_path: Path) -> Path:
    """A copy to be spoiled."""
    return shutil.copytree(published, tmp_path / "tiny")


def opened(folder: Path, **options: object) -> TextModel:
    return library.open(str(folder), **{"device": "cpu", **options})  # type: ignore[arg-type]


def reconfigure(folder: Path, **changed: object) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changed}))


def reweigh(folder: Path, change: Callable[[dict[str, Tensor]], object]) -> None:
    tensors = load_file(folder / WEIGHTS)
    change(tensors)
    save_file(tensors, folder / WEIGHTS, {"format": "pt"})


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_a_type_is_computed_in(folder: Path, dtype: str) -> None:
    model = opened(folder, dtype=dtype)
    assert model.dtype == dtype
    assert model.module.layers[0].mixer.query.weight.dtype == getattr(torch, dtype)
    assert model.logits(TOKENS).dtype == torch.float32


@pytest.mark.parametrize("dtype", ["float64", "int8", "f32", "", "BFLOAT16"])
def test_an_unknown_type_is_refused_with_those_there_are(folder: Path, dtype: str) -> None:
    with pytest.raises(RequestError, match="float32, bfloat16, float16"):
        opened(folder, dtype=dtype)


@pytest.mark.parametrize("context", [1, 64])
def test_a_context_within_the_models_own_is_kept(folder: Path, context: int) -> None:
    model = opened(folder, context=context)
    assert model.spec.context == context
    assert model.logits(TOKENS[:, :context]).shape[1] == min(context, 6)


@pytest.mark.parametrize("context", [0, -1, 65, 10**9])
def test_a_context_beyond_it_is_refused_with_both_numbers(folder: Path, context: int) -> None:
    with pytest.raises(RequestError, match=f"{context:,} is not possible.* 64"):
        opened(folder, context=context)


def test_a_prompt_longer_than_the_context_is_never_cut(folder: Path) -> None:
    model = opened(folder, context=8)
    assert model.generate("12345", max_tokens=3).text == ""  # it fits, and nothing is done yet
    with pytest.raises(ContextLengthError, match=r"5 tokens and an answer of 4 .* 8"):
        model.generate("12345", max_tokens=4)
    with pytest.raises(ContextLengthError, match="9"):
        model.generate("123456789")
    with pytest.raises(ContextLengthError):
        model.logits([[1] * 9])


def test_without_a_tokenizer_there_are_logits_and_no_text(folder: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()
    model = opened(folder)
    assert model.card.tokenizer is None
    assert model.logits(TOKENS).shape == (1, 6, 264)
    with pytest.raises(TokenizerError, match="tokenizer"):
        model.generate("hi")


def test_a_tokenizer_is_read_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Path] = []
    usual = Tokenizer.from_folder

    def counting(path: Path, records: Path | None = None) -> Tokenizer:
        read.append(path)
        return usual(path, records)

    monkeypatch.setattr(Tokenizer, "from_folder", counting)
    model = opened(folder)
    assert model.card.tokenizer == model.tokenizer.describe
    assert model.tokenizer.encode("hi")
    assert read == [folder]


def test_a_broken_tokenizer_is_named(folder: Path) -> None:
    (folder / "tokenizer.json").write_text("{")
    with pytest.raises(TokenizerError, match=r"tokenizer\.json"):
        opened(folder).generate("hi")


def test_an_empty_prompt_is_refused(folder: Path) -> None:
    model = opened(folder)
    with pytest.raises(RequestError, match="prompt is empty"):
        model.generate("")
    list(model.generate(" ", max_tokens=1))


@pytest.mark.parametrize("text", ["\ud800", "half \udcff", b"bytes", None, 7])
def test_what_is_no_text_is_refused(folder: Path, text: object) -> None:
    model = opened(folder)
    with pytest.raises(TokenizerError, match=r"UTF-8|expected"):
        model.generate(text)  # type: ignore[arg-type]
    list(model.generate("é 🙂", max_tokens=1))


def test_ids_outside_the_vocabulary_are_refused(folder: Path) -> None:
    model = opened(folder)
    assert model.logits([[0, 263]]).shape == (1, 2, 264)
    for ids in ([[264]], [[-1]]):
        with pytest.raises(RequestError):
            model.logits(ids)
    with pytest.raises(RequestError, match="length"):
        model.logits([[1, 2], [3]])


SPOILED: Mapping[str, tuple[Callable[[dict[str, Tensor]], object], str]] = {
    "missing": (lambda t: t.pop(NORM), r"1 parameters have no tensor: layers\.1\.mixer_residual"),
    "left over": (lambda t: t.update(extra=torch.zeros(3)), "1 tensors have no rule: extra"),
    "both": (
        lambda t: t.update({"model.layers.1.norm1.weight": t.pop(NORM)}),
        "have no tensor: .*; 1 tensors have no rule: .*norm1",
    ),
    "a layer too many": (
        lambda t: t.update({NORM.replace(".1.", ".2."): torch.ones(32)}),
        r"no rule: model\.layers\.2",
    ),
    "wrong shape": (lambda t: t.update({NORM: torch.ones(31)}), r"\[31\].*\[32\]"),
    "transposed": (
        lambda t: t.update({"lm_head.weight": t["lm_head.weight"].T.contiguous()}),
        r"\[32, 264\].*\[264, 32\]",
    ),
}


@pytest.mark.parametrize("fault", SPOILED)
def test_weights_that_do_not_match_are_refused_with_both_sides(folder: Path, fault: str) -> None:
    opened(folder)
    change, complaint = SPOILED[fault]
    reweigh(folder, change)
    with pytest.raises(TensorMismatchError, match=complaint) as error:
        opened(folder)
    assert "\n" not in str(error.value)


BROKEN: Mapping[str, tuple[Callable[[Path], object], type[FathomError], str]] = {
    "no configuration": (lambda f: (f / "config.json").unlink(), ConfigError, "no config.json"),
    "no weights": (lambda f: (f / WEIGHTS).unlink(), NotFoundError, "no weights"),
    "cut short": (
        lambda f: (f / WEIGHTS).write_bytes((f / WEIGHTS).read_bytes()[:-1]),
        ModelFileError,
        "E_",
    ),
    "empty": (lambda f: (f / WEIGHTS).write_bytes(b""), ModelFileError, "E_"),
    "no JSON": (lambda f: (f / "config.json").write_text("{"), ModelFileError, "not valid JSON"),
    "an unknown model": (
        lambda f: reconfigure(f, model_type="lama"),
        UnknownArchitectureError,
        "Did you mean .*llama",
    ),
    "no type": (lambda f: reconfigure(f, model_type=None), ConfigError, "model_type"),
    "heads that do not divide": (
        lambda f: reconfigure(f, num_key_value_heads=3),
        ConfigError,
        "3 key heads",
    ),
    "another width": (lambda f: reconfigure(f, hidden_size=16), TensorMismatchError, r"\[\d+"),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_folder_is_told_what_is_wrong(folder: Path, fault: str) -> None:
    opened(folder)
    spoil, kind, complaint = BROKEN[fault]
    spoil(folder)
    with pytest.raises(kind, match=complaint) as error:
        opened(folder)
    assert "\n" not in str(error.value)


def test_a_model_that_does_not_fit_is_refused_before_it_is_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = replace(this_machine(), memory_available=1000)
    monkeypatch.setattr(opening, "this_machine", lambda: small)
    with pytest.raises(DoesNotFitError, match="GB"):
        opened(folder)


def test_shards_open_as_one_file_does(published: Path, tmp_path: Path) -> None:
    sharded = make(tmp_path / "sharded", shards="20KB")
    assert len(list(sharded.glob("*.safetensors"))) > 3
    one, many = opened(published), opened(sharded)
    assert torch.equal(one.logits(TOKENS), many.logits(TOKENS))
    assert one.card.stored_bytes == many.card.stored_bytes
    assert one.card.tensors == many.card.tensors


def test_a_shard_that_is_missing_is_named(tmp_path: Path) -> None:
    sharded = make(tmp_path / "sharded", shards="20KB")
    lost = sorted(sharded.glob("*.safetensors"))[1]
    lost.unlink()
    with pytest.raises(FathomError, match=lost.name):
        opened(sharded)


def test_a_file_of_the_folder_opens_as_the_folder_does(published: Path) -> None:
    by_file = opened(published / WEIGHTS)
    assert torch.equal(by_file.logits(TOKENS), opened(published).logits(TOKENS))
    assert list(by_file.generate("hi", max_tokens=2))
