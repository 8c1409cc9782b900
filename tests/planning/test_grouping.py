"""Integers in groups by role: which, how many bytes, and of what they are refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from fathom import library
from fathom.checkpoint.description import describe
from fathom.errors import RequestError
from fathom.library import TextModel
from fathom.ops.native import native as kernels
from fathom.planning.fit import fit
from fathom.planning.grouping import GROUPS, grouped, require_packing
from fathom.planning.machine import this_machine
from fathom.planning.packing import packed_bytes
from fathom.spec.parts import parameters
from fathom.spec.roles import EXACT, Role
from library.tiny import make

compiled = pytest.mark.skipif(isinstance(kernels(), str), reason=str(kernels()))
TOKENS = torch.tensor([[1, 2, 3, 70, 250, 9, 30, 31]])
WIDTH, INNER, VOCABULARY, LAYERS = 64, 96, 264, 2


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Llama in float32 whose columns are whole groups."""
    return make(
        tmp_path_factory.mktemp("grouped") / "tiny",
        hidden_size=WIDTH,
        intermediate_size=INNER,
        num_key_value_heads=4,
    )


@pytest.fixture(autouse=True)
def without_accelerators(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "fathom.planning.fit.this_machine", lambda: replace(this_machine(), accelerators=())
    )


def opened(folder: Path, **options: object) -> TextModel:
    return library.open(str(folder), device="cpu", **options)  # type: ignore[arg-type,return-value]


@pytest.mark.parametrize("quant", GROUPS)
def test_every_role_is_packed_or_stays_exact(quant: str) -> None:
    """But for kernels over time and space, which are no matrices of a program."""
    assert set(GROUPS[quant]) == set(Role) - EXACT - {Role.CONVOLUTION}


@pytest.mark.parametrize("quant", GROUPS)
def test_columns_that_end_within_a_group_stay_as_they_are(quant: str, folder: Path) -> None:
    spec = describe(folder).spec
    chosen = grouped(parameters(spec), quant)
    matrices = {one.name: one for one in parameters(spec) if len(one.shape) > 1}
    assert chosen.keys() == matrices.keys()
    narrow = [replace(one, shape=(one.shape[0], 48)) for one in matrices.values()]
    assert not grouped(narrow, quant)
    assert not grouped(matrices.values(), None)


@compiled
@pytest.mark.parametrize(("quant", "inner"), [("int8", "Q8_0"), ("int4", "Q4_0")])
def test_a_fit_counts_what_opening_packs(quant: str, inner: str, folder: Path) -> None:
    counted = fit(describe(folder), context=16, quant=quant).prediction
    model = opened(folder, quant=quant)
    assert counted.terms["weights"] == model.fit(16).terms["weights"]
    attention = 2 * packed_bytes(inner, WIDTH, WIDTH) + 2 * packed_bytes("Q8_0", WIDTH, WIDTH)
    maps = 2 * packed_bytes(inner, INNER, WIDTH) + packed_bytes(inner, WIDTH, INNER)
    scores = 2 * packed_bytes("Q8_0", VOCABULARY, WIDTH)
    norms = 4 * WIDTH * (2 * LAYERS + 1)
    assert counted.terms["weights"] == LAYERS * (attention + maps) + scores + norms
    assert counted.terms["weights"] < fit(describe(folder), context=16).prediction.terms["weights"]


@compiled
@pytest.mark.parametrize("quant", GROUPS)
def test_modules_of_it_have_the_numbers_that_it_writes_with(quant: str, folder: Path) -> None:
    """So scores, and what is saved, are those of the integers and not of what they came from."""
    model, whole = opened(folder, quant=quant), opened(folder)
    far = (model.logits(TOKENS) - whole.logits(TOKENS)).norm() / whole.logits(TOKENS).norm()
    assert 1e-3 < far < (0.05 if quant == "int8" else 0.5)
    assert model.program is not None
    table = next(one for one in model.program.matrices if "embedding" in one.name)
    values = torch.empty(VOCABULARY, WIDTH)
    model.program.matrices[table].unpack(values.numpy())
    assert torch.equal(model.module.get_parameter(table.name), values)


@compiled
@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"quant": "int5"}, "take int8 or int4"),
        ({"quant": "int8", "dtype": "float32"}, "runs as PyTorch modules, because computing in"),
    ],
)
def test_what_cannot_be_packed_is_refused(options: dict[str, str], said: str, folder: Path) -> None:
    with pytest.raises(RequestError, match=said):
        opened(folder, **options)
    assert opened(folder, quant="int8").computing == "native Q8_0"


@compiled
def test_weights_that_lie_in_blocks_are_not_packed_again() -> None:
    with pytest.raises(RequestError, match=r"plain numbers, and these are stored in Q4_1"):
        library.open("smollm2:135m", device="cpu", quant="int8")


@compiled
def test_what_has_to_be_decoded_becomes_integers_as_well(folder: Path, tmp_path: Path) -> None:
    """It goes through float32, here from float64."""
    wide = tmp_path / "wide"
    wide.mkdir()
    tensors = {name: one.double() for name, one in load_file(folder / "model.safetensors").items()}
    save_file(tensors, wide / "model.safetensors", {"format": "pt"})
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        (wide / name).write_text((folder / name).read_text())
    found, expected = (opened(one, quant="int4").program for one in (wide, folder))
    assert found is not None and expected is not None
    for matrix, packed in expected.matrices.items():
        assert (found.matrices[matrix].memory == packed.memory).all()


def test_what_runs_as_modules_says_why_it_is_not_packed(folder: Path) -> None:
    description = describe(folder)
    require_packing(description, "int8", None)
    with pytest.raises(RequestError, match="because it is on cuda; leave it out"):
        require_packing(description, "int8", "it is on cuda")


def test_a_model_too_large_is_offered_as_integers(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = json.loads((folder / "config.json").read_text())
    large = {**config, "hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 24}
    (tmp_path / "config.json").write_text(json.dumps(large))
    description = describe(tmp_path)
    whole = fit(description, context=16)
    least = fit(description, context=16, quant="int4").prediction.total_bytes
    machine = replace(this_machine(), accelerators=(), memory_available=least + 1)
    monkeypatch.setattr("fathom.planning.fit.this_machine", lambda: machine)
    if whole.runs_as.startswith("native"):
        assert "--quant int4" in {one.change for one in fit(description, context=16).remedies}
    else:  # no compiler was there
        assert "--quant" not in {one.change[:7] for one in fit(description, context=16).remedies}
