"""GGUF: the same model from either kind of file, and as transformers reads ours."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import transformers
from torch import Tensor

from fathom import library
from fathom.checkpoint.saving import save
from fathom.dialects import gguf
from fathom.dialects.dialect import FAMILIES
from fathom.dialects.gguf_classes import CLASSES
from parity.case import Case
from parity.conftest import Pair, all_cases, cases_of
from parity.gguf_files import architecture_of, write_gguf
from parity.test_decoders import relative_error


def test_every_spelling_leads_to_a_dialect() -> None:
    assert {spelling.model_type for spelling in gguf.ARCHITECTURES.values()} <= set(FAMILIES)


def test_every_spelling_names_the_class_that_opens_it() -> None:
    spelled = [name for one in gguf.ARCHITECTURES.values() for name in (one.model_type, *one.also)]
    assert set(spelled) == set(CLASSES)


def test_every_architecture_is_one_of_ggmls() -> None:
    import gguf as ggml

    assert set(gguf.ARCHITECTURES) <= set(ggml.MODEL_ARCH_NAMES.values())


def test_every_tensor_name_is_one_of_ggmls() -> None:
    """Templates of the shared table, against the names in ggml's own package."""
    import gguf as ggml

    known = {name.format(bid="{layer}") for name in ggml.TENSOR_NAMES.values()}
    spelled = {theirs for rule in gguf.TENSORS for theirs in rule.theirs}
    bare = {name.removesuffix(".weight").removesuffix(".bias") for name in spelled}
    assert bare <= known


CASES = [case for case in all_cases() if case.gguf]
READERS = [case for table in ("cases_encoders", "cases_seq2seq") for case in cases_of(table)]


# What transformers reads otherwise from a folder that was a GGUF file, and why.
OTHERWISE = {
    "deepseek_v3": "the widths of its heads are stated there in another way",
    "jamba": "there its layers are told by periods, which a list of them need not have",
    "phi3": "the token that fills up is beyond a tiny vocabulary unless a file states it",
    "smollm3": "the same",
}


def test_every_architecture_has_a_case() -> None:
    cases = [*CASES, *(case for case in READERS if case.gguf)]  # those in files of their own
    found = {architecture_of({"model_type": c.model_type, **c.config}) for c in cases}
    assert found == set(gguf.ARCHITECTURES)


@pytest.mark.parametrize("held", CASES, ids=[case.id for case in CASES])
def test_gguf_gives_the_same_logits(
    held: Case, pairs: Callable[[Case], Pair], tmp_path: Path
) -> None:
    pair = pairs(held)
    config = json.loads((pair.reference.folder / "config.json").read_text())
    path = tmp_path / "model.gguf"
    write_gguf(pair.ours, config, path, held.gguf_keys)
    model = library.open(str(path), dtype="float32", device="cpu")
    ours = model.logits(pair.tokens)
    assert relative_error(ours, pair.ours.logits(pair.tokens)) < 1e-5
    if held.gguf == "transformers":
        assert relative_error(ours, as_transformers_reads(path, pair.tokens)) < held.tolerance
    if held.saves and held.model_type not in OTHERWISE:
        save(model._description, dict(model.plain_module().named_parameters()), tmp_path / "saved")
        assert (
            relative_error(ours, as_named(tmp_path / "saved", held, pair.tokens)) < held.tolerance
        )


def as_named(folder: Path, held: Case, tokens: Tensor) -> Tensor:
    """Return the logits of the class that a folder's configuration names."""
    (named,) = json.loads((folder / "config.json").read_text())["architectures"]
    model = getattr(transformers, named).from_pretrained(
        folder, dtype=torch.float32, attn_implementation=held.attention
    )
    with torch.inference_mode():
        return model.eval()(input_ids=tokens, use_cache=False).logits


def as_transformers_reads(path: Path, tokens: Tensor) -> Tensor:
    """Return the logits of transformers over a GGUF file, by its own table of names."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(
        path.parent, gguf_file=path.name, dtype=torch.float32, attn_implementation="eager"
    ).eval()
    with torch.inference_mode():
        return model(input_ids=tokens, use_cache=False).logits


def test_factors_of_a_file_turn_as_its_publishers_tools_would() -> None:
    factors = [1.0, 1.0, 2.5, 4.0]
    config = gguf.published(
        {
            "model_type": "llama",
            **{"hidden_size": 32, "num_attention_heads": 4, "num_hidden_layers": 1},
            **{"intermediate_size": 16, "vocab_size": 9, "max_position_embeddings": 64},
            "rope_theta": 10_000.0,
            "rope_scaling": {"rope_type": "given", "factors": factors},
        }
    )
    del config["model_type"]
    turning = transformers.LlamaModel(transformers.LlamaConfig(**config)).rotary_emb
    plain = 10_000.0 ** (-torch.arange(0, 8, 2) / 8)
    assert torch.allclose(turning.inv_freq, plain / torch.tensor(factors))
    assert turning.attention_scaling == 1.0
