"""Saving what was opened: the same model, for others' tools too, whole or not at all."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import IO

import pytest
import torch

from fathom import library
from fathom.errors import FathomError, RequestError
from library.tiny import make

TOKENS = torch.tensor([[1, 2, 3, 70, 250, 9]])


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("published") / "tiny")


@pytest.mark.parametrize("tied", [False, True])
def test_a_saved_model_is_the_same_here_and_in_transformers(tmp_path: Path, tied: bool) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    source = make(tmp_path / "source", tie_word_embeddings=tied)
    model = library.open(str(source), dtype="float32", device="cpu")
    model.save(tmp_path / "saved")
    again = library.open(str(tmp_path / "saved"), dtype="float32", device="cpu")
    assert torch.equal(again.logits(TOKENS), model.logits(TOKENS))
    assert again.tokenizer.encode("é <s>") == model.tokenizer.encode("é <s>")
    assert again.card.chat_template
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "saved").eval()
    with torch.inference_mode():
        error = (theirs(input_ids=TOKENS).logits - model.logits(TOKENS)).abs().max()
    assert error < 1e-4 * model.logits(TOKENS).abs().max()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "saved")
    assert tokenizer.encode("é <s>") == model.tokenizer.encode("é <s>")


def test_a_folder_that_is_there_is_never_written_into(published: Path, tmp_path: Path) -> None:
    model = library.open(str(published), device="cpu")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    for taken in ("mine", "file"):
        with pytest.raises(RequestError, match="exists already"):
            model.save(tmp_path / taken)
    assert [file.name for file in (tmp_path / "mine").iterdir()] == ["notes.txt"]
    model.save(str(tmp_path / "deep" / "new"))  # folders on the way are made
    assert (tmp_path / "deep" / "new" / "model.safetensors").is_file()


def test_a_disk_that_fills_up_leaves_nothing(
    published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fathom.checkpoint import safetensors_writer

    model = library.open(str(published), device="cpu")
    target = tmp_path / "there"
    written = 0
    write = safetensors_writer._write

    def full(stream: IO[bytes], tensor: torch.Tensor) -> None:
        nonlocal written
        written += 1
        if written == 5:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(stream, tensor)

    with monkeypatch.context() as patched:
        patched.setattr(safetensors_writer, "_write", full)
        with pytest.raises(FathomError, match=r"disk|space") as error:
            model.save(target)
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []
    model.save(target)
    assert [file.name for file in tmp_path.iterdir()] == ["there"]


def test_a_disk_that_is_full_already_is_noticed_before_the_work(
    published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = library.open(str(published), device="cpu")
    with monkeypatch.context() as patched:
        patched.setattr("fathom.checkpoint.storage.free_bytes", lambda _: 1000)
        with pytest.raises(FathomError, match="1,000 free"):
            model.save(tmp_path / "there")
    assert list(tmp_path.iterdir()) == []


def test_a_type_that_was_asked_for_is_the_one_that_is_saved(
    published: Path, tmp_path: Path
) -> None:
    library.open(str(published), dtype="bfloat16", device="cpu").save(tmp_path / "half")
    card = library.describe(str(tmp_path / "half"))
    assert card.bytes_by_encoding["BF16"] > 10 * card.bytes_by_encoding["F32"]  # norms stay exact
    assert "dtype" not in json.loads((tmp_path / "half" / "config.json").read_text())


@pytest.mark.slow
def test_a_quantised_file_becomes_a_folder_that_transformers_opens(
    smollm2_path: Path, tmp_path: Path
) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = library.open(str(smollm2_path), dtype="float32", device="cpu")
    model.save(tmp_path / "saved")
    text = "The capital of France is"
    ids = model.tokenizer.encode(text)
    ours = model.logits([ids])
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "saved")
    assert tokenizer.encode(text) == ids
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "saved", dtype=torch.float32).eval()
    with torch.inference_mode():
        error = (theirs(input_ids=torch.tensor([ids])).logits - ours).abs().max()
    assert error < 1e-4 * ours.abs().max()
