"""The card as facts and as JSON."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from fathom.cli.inspect import UNSTATED, card_facts
from fathom.spec.card import Card


def test_json_has_every_field_of_the_card(door, fake_library) -> None:
    card = json.loads(door("inspect", "echo", "--json")[1])
    assert set(card) == {field.name for field in fields(Card)}
    assert card["parameters"] == 134_515_008
    assert card["bytes_by_encoding"] == {"F32": 1000, "Q4_1": 2000}


@pytest.mark.parametrize("name", [field.name for field in fields(Card)])
def test_every_fact_of_the_card_is_shown(name, fake_library) -> None:
    """Changing any one field changes what is printed."""
    changed = {
        "parameters": 7,
        "active_parameters": 7,
        "context": 7,
        "vocabulary": 7,
        "stored_bytes": 7,
        "bytes_by_encoding": {"BF16": 7},
        "tensors": 7,
        "chat_template": False,
        **dict.fromkeys(("inputs", "outputs", "lineage", "notes"), ("other",)),
    }
    card = fake_library.CARD
    other = replace(card, **{name: changed.get(name, "other")})
    assert list(card_facts(card)) != list(card_facts(other))


def test_what_is_not_stated_is_said(fake_library) -> None:
    facts = dict(card_facts(fake_library.CARD))
    assert facts["licence"] == UNSTATED
    assert facts["parameters"] == "134,515,008"
    assert facts["tensor types"] == "Q4_1 2.00 kB (66.7%)"  # the largest first


def test_tensors_are_listed(door, fake_library, monkeypatch, tmp_path: Path) -> None:
    file = tmp_path / "tiny.safetensors"
    tensors = {"norm": np.ones(250, np.float32), "embedding": np.ones((50, 1024), np.float16)}
    save_file({**tensors, "scale": np.ones((), np.float32)}, file)
    card = replace(fake_library.CARD, path=str(file))
    monkeypatch.setattr(fake_library, "describe", lambda *_, **__: card)
    lines = door("inspect", "echo", "--tensors")[1].splitlines()
    assert lines[-4].split() == ["tensor", "type", "bytes", "shape"]
    assert sorted(line.split(maxsplit=3) for line in lines[-3:]) == [
        ["embedding", "F16", "102,400", "50 × 1,024"],
        ["norm", "F32", "1,000", "250"],
        ["scale", "F32", "4", "one number"],
    ]
    listed = json.loads(door("inspect", "echo", "--tensors", "--json")[1])["tensor_list"]
    assert {tensor["name"]: tensor["shape"] for tensor in listed} == {
        "norm": [250],
        "embedding": [50, 1024],
        "scale": [],
    }


def test_a_real_folder_is_inspected_without_torch(tmp_path: Path) -> None:
    """The library itself, in an interpreter of its own; a folder of one tensor is enough."""
    config = {
        "model_type": "llama",
        "architectures": ["LlamaForCausalLM"],
        "hidden_size": 8,
        "intermediate_size": 16,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "num_hidden_layers": 1,
        "vocab_size": 32,
        "max_position_embeddings": 64,
        "rms_norm_eps": 1e-5,
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    file = tmp_path / "model.safetensors"
    save_file({"model.embed_tokens.weight": np.ones((32, 8), np.float32)}, file)
    program = (
        "import sys; from fathom.cli.main import main; "
        f"code = main(['inspect', {str(tmp_path)!r}, '--tensors']); "
        "print(code, 'torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    lines = done.stdout.splitlines()
    assert lines[-1] == "0 False"
    assert lines[-2].split() == ["model.embed_tokens.weight", "F32", "1,024", "32", "×", "8"]
    assert "context        64 positions" in lines
