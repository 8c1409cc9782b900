"""`fathom explain`: a page from a configuration alone."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from fathom.cli.explain import count_text
from fathom.planning.explanation import Explanation

JAMBA_LIKE = {
    "model_type": "jamba",
    "vocab_size": 99,
    "hidden_size": 48,
    "intermediate_size": 80,
    "num_hidden_layers": 16,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "attn_layer_period": 8,
    "attn_layer_offset": 4,
    "expert_layer_period": 2,
    "expert_layer_offset": 1,
    "num_experts": 4,
    "num_experts_per_tok": 2,
    "mamba_d_state": 8,
    "mamba_d_conv": 4,
    "mamba_expand": 2,
    "mamba_dt_rank": 6,
    "rms_norm_eps": 1e-6,
    "hidden_act": "silu",
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
}


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "config.json"
    file.write_text(json.dumps(JAMBA_LIKE), encoding="utf-8")
    return file


def test_a_hybrid_is_a_page(door, config: Path) -> None:
    code, out, err = door("explain", str(config), "--context", "32")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].split() == ["name", str(config)]
    assert any(line.startswith("class         hybrid: 14 layers") for line in lines)
    assert "layers 0-15: (A, B, A, B, C, B, A, B) ×2" in lines
    assert "  B: 8 layers (1, 3, 5, 7, 9, 11, 13, 15)" in lines
    assert any(line.startswith("counted for   one token after 32 others") for line in lines)
    assert any(line.split()[:2] == ["layers", "×16"] for line in lines)
    assert any(line.startswith("Mamba ") and "/blocks/" in line for line in lines)
    assert not any("the publisher's" in line for line in lines)


def test_names_are_listed_when_asked_for(door, config: Path) -> None:
    out = door("explain", str(config), "--names")[1]
    row = next(line for line in out.splitlines() if line.startswith("layers.4.mixer.query"))
    assert row.split() == ["layers.4.mixer.query.weight", "model.layers.4.self_attn.q_proj.weight"]
    assert "layers.12.mixer" not in out  # alike, so said once
    experts = next(line for line in out.splitlines() if line.startswith("layers.1.feed_forward.ex"))
    assert experts.endswith("(4 tensors)")


def test_a_folder_with_a_configuration_only_is_enough(door, config: Path) -> None:
    of_file = json.loads(door("explain", str(config), "--json")[1])
    of_folder = json.loads(door("explain", str(config.parent), "--json")[1])
    assert {**of_file, "name": ""} == {**of_folder, "name": ""}


def test_json_is_one_object_with_everything(door, config: Path) -> None:
    page = json.loads(door("explain", str(config), "--json", "--names")[1])
    assert set(page) == {field.name for field in fields(Explanation)}
    layers = next(section for section in page["sections"] if section["kinds"])
    assert sorted(i for kind in layers["kinds"] for i in kind["layers"]) == list(range(16))
    assert page["cost"]["active"] < page["cost"]["parameters"]
    assert {"ours", "theirs"} == set(page["names"][0])


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--context", "65"), "a context of 65: the model takes 1 to 64"),
        (("--context", "many"), "invalid int value"),
        (("--dtype", "q4"), "not one of float32, bfloat16, float16"),
    ],
)
def test_what_cannot_be_counted_is_refused(door, config: Path, words, complaint: str) -> None:
    code, out, err = door("explain", str(config), *words)
    assert (code, out) == (2, "")
    assert complaint in err and len(err.splitlines()) == 1


@pytest.mark.parametrize("words", [("--context", "64"), ("--dtype", "float32")])
def test_what_can_be_counted_is(door, config: Path, words) -> None:
    assert door("explain", str(config), *words)[0] == 0


def test_an_unknown_architecture_names_the_nearest(door, config: Path) -> None:
    config.write_text(json.dumps({"model_type": "mixtrol"}), encoding="utf-8")
    code, _, err = door("explain", str(config))
    assert code == 2
    assert "Did you mean mixtral" in err


def test_explaining_loads_no_torch(config: Path) -> None:
    program = (
        "import sys; from fathom.cli.main import main; "
        f"code = main(['explain', {str(config)!r}, '--names']); "
        "print(code, sorted({'torch', 'transformers', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "0 []"


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0"), (999_999, "999,999"), (134_515_008, "134.52 M"), (46_702_792_704, "46.70 B")],
)
def test_counts_in_the_short_form(number: int, text: str) -> None:
    assert count_text(number) == text
