"""Every dialect against an independent implementation, over our own table.

Tiny random checkpoints, written by the reference, opened by us from the folder: what is proven
is the whole way from files to logits.
"""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor

from fathom import library
from fathom.blocks.state import Step
from fathom.dialects.dialect import FAMILIES
from fathom.generation.state import ContiguousState
from fathom.spec.experts import Experts
from fathom.spec.parts import parameters
from parity.case import Case, rounded
from parity.conftest import TABLES, Measured, Pair, all_cases, cases_of
from parity.labelled import LABELLED


def relative_error(ours: Tensor, theirs: Tensor) -> float:
    """Return the largest difference, relative to the largest value."""
    assert ours.shape == theirs.shape
    assert torch.isfinite(ours).all()
    return float((ours - theirs).abs().max() / theirs.abs().max())


def test_every_dialect_has_a_case() -> None:
    proven = {case.model_type for table in TABLES.values() for case in cases_of(table)}
    proven |= {case.model_type for table in LABELLED.values() for case in table}
    assert not set(FAMILIES) - proven, "dialects without a parity case"
    assert max(Counter(case.id for case in all_cases()).values()) == 1


def test_logits_equal_the_reference(pair: Pair, measured: Measured) -> None:
    ours, theirs = pair.ours.logits(pair.tokens), pair.reference.logits(pair.tokens)
    error = measured(pair.case.id, pair.ours.spec, relative_error(ours, theirs))
    assert error < pair.case.tolerance


def test_modules_hold_just_the_parameters_that_the_spec_states(pair: Pair) -> None:
    held = {name: tuple(p.shape) for name, p in pair.ours.module.named_parameters()}
    assert held == {p.name: p.shape for p in parameters(pair.ours.spec)}


def test_decoding_with_state_equals_one_full_pass(pair: Pair) -> None:
    """In uneven steps, then token by token; past every window; and again after a reset."""
    tokens, spec = pair.tokens, pair.ours.spec
    state = ContiguousState(spec, batch=2, capacity=tokens.shape[1], dtype=torch.float32)
    whole = pair.ours.logits(tokens)
    cuts = [0, 5, 11, *range(12, tokens.shape[1] + 1)]
    for _ in range(2):
        state.reset()
        pieces = []
        with torch.inference_mode():
            for begin, end in pairwise(cuts):
                step = state.advance(end - begin)
                pieces.append(pair.ours.module(tokens[:, begin:end], step=step, state=state))
        assert relative_error(torch.cat(pieces, dim=1), whole) < 1e-4


def test_padded_batches_equal_single_runs(pair: Pair) -> None:
    if not pair.case.batches:
        return
    short = pair.tokens[:1, : pair.case.length - 6]
    alone = pair.ours.logits(short)
    for left in (True, False):
        padding = torch.zeros(1, 6, dtype=torch.long)
        row = torch.cat((padding, short) if left else (short, padding), dim=1)
        tokens = torch.cat((row, pair.tokens[1:]))
        real = torch.ones_like(tokens, dtype=torch.bool)
        real[0, :6] = not left
        if not left:
            real[0, -6:] = False
        with torch.inference_mode():
            batched = pair.ours.module(tokens, step=Step.padded(real))
        assert relative_error(batched[0][real[0]][None], alone) < 1e-4


def test_a_padded_prompt_continues_as_it_would_alone(pair: Pair) -> None:
    """Left-padded rows of different lengths share a state and decode on."""
    if not pair.case.batches:
        return
    tokens, length = pair.tokens, pair.case.length
    start, pad = length - 8, 5
    state = ContiguousState(pair.ours.spec, batch=2, capacity=length, dtype=torch.float32)
    first = tokens[:, :start].clone()
    real = torch.ones_like(first, dtype=torch.bool)
    first[0, :pad], real[0, :pad] = 0, False
    with torch.inference_mode():
        pair.ours.module(first, step=state.advance(start, real), state=state)
        last = [
            pair.ours.module(tokens[:, i : i + 1], step=state.advance(1), state=state)
            for i in range(start, length)
        ]
    alone = torch.cat((pair.ours.logits(tokens[:1, pad:]), pair.ours.logits(tokens[1:])[:, pad:]))
    assert relative_error(torch.cat(last, dim=1), alone[:, start - pad :]) < 1e-4


def test_bfloat16_stays_within_its_own_error(pair: Pair) -> None:
    exact = pair.reference.logits(pair.tokens)
    half = library.open(str(pair.reference.folder), dtype="bfloat16", device="cpu")
    ours = typical_error(pair, half.logits(pair.tokens), exact)
    theirs = typical_error(pair, rounded(pair.reference).logits(pair.tokens).float(), exact)
    assert ours <= 1.3 * theirs + 1e-3 * exact.abs().max()


def typical_error(pair: Pair, rounded: Tensor, exact: Tensor) -> Tensor:
    """Return the mean error; of a mixture of experts, the median token's.

    Rounding may tip a router's choice, and then that token's error says nothing about arithmetic.
    """
    by_token = (rounded - exact).abs().mean(dim=-1)
    routed = any(isinstance(layer.feed_forward, Experts) for layer in pair.ours.spec.layers)
    return by_token.median() if routed else by_token.mean()


def test_what_we_save_the_reference_opens(pair: Pair, tmp_path: Path) -> None:
    """Load, save, load is the identity, tensor for tensor, and the names are the publisher's."""
    from safetensors.torch import load_file

    saved = tmp_path / "saved"
    pair.ours.save(saved)
    before = load_file(pair.reference.folder / "model.safetensors")
    after = load_file(saved / "model.safetensors")
    extra = set(before) - set(after)
    assert set(after) <= set(before)
    assert not extra, f"tensors that saving lost: {sorted(extra)}"
    for name, tensor in after.items():
        assert torch.equal(tensor, before[name].to(tensor.dtype)), name
    again = library.open(str(saved), dtype="float32", device="cpu")
    assert torch.equal(again.logits(pair.tokens), pair.ours.logits(pair.tokens))
    if pair.case.saves:
        assert_reference_opens(pair.case, saved, pair.ours.logits(pair.tokens), pair.tokens)


def assert_reference_opens(case: Case, folder: Path, expected: Tensor, tokens: Tensor) -> None:
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(
        folder, attn_implementation=case.attention, dtype=torch.float32
    ).eval()
    with torch.inference_mode():
        logits = model(input_ids=tokens, use_cache=False).logits
    assert relative_error(expected, logits) < case.tolerance
