"""The tiny recursive model against a plain program of its paper, over every switch it has."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from fathom import library
from fathom.checkpoint.published import published_spec
from fathom.errors import ConfigError
from fathom.models.assemble import assemble
from fathom.spec.parts import count
from fathom.spec.work import Work
from parity import trm_reference as reference
from parity.conftest import Measured
from parity.labelled import case_id
from parity.test_decoders import relative_error

TOKENS = torch.tensor([[1, 2, 3, 4, 5, 6, 0, 1, 1], [6, 5, 4, 3, 2, 1, 1, 0, 0]])


@pytest.fixture(params=reference.CASES)
def label(request) -> str:
    return request.param


@pytest.fixture
def published(label: str, tmp_path: Path):
    stated = reference.config(label)
    held = reference.weights(stated)
    return stated, held, reference.save(tmp_path / "model", stated, held)


def test_rounds_equal_the_reference(published, label: str, measured: Measured) -> None:
    stated, held, folder = published
    puzzle = torch.tensor([0, 2])
    model = library.open(str(folder), dtype="float32", device="cpu")
    module = model.module
    errors = []
    with torch.inference_mode():
        question, carry = module.question(TOKENS, puzzle), module.start(2)
        errors.append(relative_error(question, reference.question(stated, held, TOKENS, puzzle)))
        for _ in range(stated["halt_max_steps"]):  # each from one carry: rounds magnify rounding
            expected = reference.round_(stated, held, question, carry.answer, carry.scratch)
            found = module.round(question, carry)
            carry = found.carry
            ours = found.scores, found.halting, carry.answer, carry.scratch
            assert len(ours) == len(expected)
            errors += map(relative_error, ours, expected)
        assert torch.equal(module(TOKENS, puzzle), found.scores)
    assert measured(case_id("trm", label), model.spec, max(errors)) < 1e-4


def test_saved_it_has_the_authors_names_again(published, tmp_path: Path) -> None:
    stated, held, folder = published
    library.open(str(folder), device="cpu").save(tmp_path / "again")
    again = load_file(tmp_path / "again" / "model.safetensors")
    assert again.keys() == held.keys()
    assert all(torch.equal(again[name], tensor) for name, tensor in held.items())
    assert json.loads((tmp_path / "again" / "config.json").read_text()) == stated


def test_its_stage_counts_what_pytorch_counts(published) -> None:
    _, _, folder = published
    model = library.open(str(folder), dtype="float32", device="cpu")
    (stage,) = model.spec.stages(Work(batch=2))
    plain = sdpa_kernel(SDPBackend.MATH)  # the counter does not know the processor's fused one
    with torch.inference_mode(), plain, FlopCounterMode(display=False) as counted:
        model.module(TOKENS)
    assert stage.passes * stage.operations == pytest.approx(counted.get_total_flops(), rel=0.02)


def test_gradients_flow_through_the_last_cycle_alone() -> None:
    """The scratch that enters a round's last cycle is what gradients reach, and no carry's."""
    stated = reference.config("attention")
    torch.manual_seed(0)
    module = assemble(published_spec(stated)).to_empty(device="cpu")
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
        parameter.requires_grad_(True)
    question = module.question(TOKENS)
    start = module.start(2)
    found = module.round(question, start, learning=True)
    found.scores.sum().backward()
    assert all(p.grad is not None for n, p in module.named_parameters() if n.startswith("layers"))
    assert module.answer_start.grad is None
    assert module.scratch_start.grad is None


PUBLISHED = {  # the authors' runs: parameters of the paper's table, in millions
    "sudoku, across positions": ({"mlp_t": True, "seq_len": 81, "vocab_size": 11}, 5),
    "maze, attention": ({"seq_len": 900, "vocab_size": 6}, 7),
    "maze, across positions": ({"mlp_t": True, "seq_len": 900, "vocab_size": 6}, 19),
}


@pytest.mark.parametrize("run", PUBLISHED)
def test_the_published_sizes_follow_from_the_configuration(run: str) -> None:
    own, millions = PUBLISHED[run]
    sizes = {"hidden_size": 512, "num_heads": 8, "puzzle_emb_ndim": 512, "puzzle_emb_len": 16}
    spec = published_spec({**reference.BASE, **sizes, "num_puzzle_identifiers": 1, **own})
    assert round(count(spec) / 1e6) == millions


BROKEN = {
    "heads that do not divide": ({"num_heads": 5}, "5 heads"),
    "a vector without slots": ({"puzzle_emb_ndim": 0}, "slots"),
    "more than the slots hold": ({"puzzle_emb_ndim": 65}, "more than its slots hold"),
    "unknown positions": ({"pos_encodings": "spiral"}, "pos_encodings"),
    "endless cycles": ({"H_cycles": 10**6}, "H_cycles"),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_what_cannot_be_is_refused(fault: str) -> None:
    changed, word = BROKEN[fault]
    published_spec(reference.BASE)
    with pytest.raises(ConfigError, match=word):
        published_spec({**reference.BASE, **changed})
