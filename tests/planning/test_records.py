"""What a record says of a model, of the machine and of the software."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from fathom.checkpoint.description import Description, describe
from fathom.dialects.dialect import find
from fathom.planning import records as module
from fathom.planning.accelerators import Accelerator
from fathom.planning.contention import Turns, turns
from fathom.planning.machine import this_machine
from fathom.planning.memory_watch import Watch, resident, settled
from fathom.planning.records import Figure, header_digest, machine_identity, subject
from waiting import wait_for

CONFIG = {
    "model_type": "llama",
    "vocab_size": 32,
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "rms_norm_eps": 1e-5,
    "tie_word_embeddings": True,
}


def described(folder: Path, number: float = 0.0, **changes: object) -> Description:
    """A checkpoint whose single tensor is full of one number."""
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps({**CONFIG, **changes}))
    tensors = {"model.embed_tokens.weight": torch.full((32, 16), number, dtype=torch.bfloat16)}
    save_file(tensors, folder / "model.safetensors")
    return describe(folder)


def test_a_digest_is_of_headers_and_configuration_and_not_of_weights(tmp_path: Path) -> None:
    digest = header_digest(described(tmp_path / "a"))
    assert len(digest) == 64
    assert header_digest(described(tmp_path / "b", number=1.0)) == digest
    assert header_digest(described(tmp_path / "c", rms_norm_eps=1e-6)) != digest
    one = described(tmp_path / "d")
    assert one.contents is not None
    tensors = {
        name: replace(tensor, encoding="F16") for name, tensor in one.contents.tensors.items()
    }
    other = replace(one, contents=replace(one.contents, tensors=tensors))
    assert header_digest(other) != digest


def test_a_digest_exists_without_weights(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    assert len(header_digest(describe(tmp_path / "config.json"))) == 64


def test_a_subject_says_what_was_measured(tmp_path: Path) -> None:
    found = subject("mine", described(tmp_path / "a"))
    assert (found.name, found.architecture) == ("mine", find("llama").name)
    assert found.model_class == "SLM"
    assert found.encoding == "BF16"
    assert found.parameters >= found.active_parameters > 0


def test_the_identity_of_a_machine_names_its_accelerators() -> None:
    plain = replace(this_machine(), accelerators=())
    assert machine_identity(plain) == plain.identity
    fast = replace(plain, accelerators=(Accelerator("cuda", "NVIDIA H200", 10),))
    assert machine_identity(fast) == f"{plain.identity}; NVIDIA H200"


def test_the_formula_changes_with_the_code_that_predicts(monkeypatch, tmp_path: Path) -> None:
    before = module.formula()
    for room in ("spec", "planning"):
        (tmp_path / room).mkdir()
        for file in (Path(module.__file__).parents[1] / room).glob("*.py"):
            (tmp_path / room / file.name).write_bytes(file.read_bytes())
    monkeypatch.setattr(module, "__file__", str(tmp_path / "planning" / "records.py"))
    module.formula.cache_clear()
    assert module.formula() == before
    module.formula.cache_clear()
    (tmp_path / "planning" / "predict.py").write_text("# another")
    assert module.formula() != before
    module.formula.cache_clear()


def test_a_ratio_needs_both_numbers() -> None:
    assert Figure(4.0, 3.0).ratio == 0.75
    assert Figure(4.0, None).ratio is None
    assert Figure(None, 3.0).ratio is None
    assert Figure(0.0, 3.0).ratio is None


@pytest.mark.parametrize(
    ("text", "found"),
    [("300 100 7\n", Turns(300, 100)), ("", Turns()), ("no numbers here", Turns())],
)
def test_turns_are_what_the_system_counts(text: str, found: Turns, tmp_path: Path) -> None:
    file = tmp_path / "schedstat"
    file.write_text(text)
    assert turns(file) == found
    assert turns(tmp_path / "absent") == Turns()


def test_a_share_of_waiting_needs_some_time() -> None:
    assert Turns(400, 200).since(Turns(100, 100)) == pytest.approx(0.25)
    assert Turns(1, 1).since(Turns(1, 1)) is None


@pytest.mark.parametrize("kernel", [True, False])
def test_a_watch_sees_memory_that_is_gone_again(kernel: bool, monkeypatch) -> None:
    if not kernel:
        monkeypatch.setattr("fathom.planning.memory_watch.reset_peak", lambda: False)
    size = 256 * 2**20
    before = settled()
    with Watch() as watch:
        held = torch.ones(size, dtype=torch.uint8)
        # The kernel says so in the end, a thread when it has looked.
        wait_for(lambda: watch.exact or watch.peak >= before + size / 2)
        del held
    assert watch.peak >= before + size / 2
    assert settled() < before + size / 2
    assert watch.exact is False or kernel


def test_a_watch_begins_anew() -> None:
    big = torch.ones(256 * 2**20, dtype=torch.uint8)
    big_then = resident()
    del big
    with Watch() as watch:
        pass
    if watch.exact:
        assert watch.peak < big_then - 128 * 2**20
