"""Models that see and write against the reference: scores, what is seen, names, operations."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from fathom import library
from fathom.spec.work import Work
from parity.cases_vision_language import CASES, PLACEHOLDER, Case

PIXELS = torch.linspace(-2, 2, 2 * 3 * 32 * 32).sin().reshape(2, 3, 32, 32)


def prompts(places: int) -> torch.Tensor:
    """Return two prompts in which a picture stands, at other places in each."""
    seen = [PLACEHOLDER] * places
    rows = [[1, 5, *seen, 9, 7, 3], [2, 8, 4, 6, *seen, 11]]
    return torch.tensor(rows)


@pytest.fixture(scope="module", params=CASES)
def pair(request, tmp_path_factory):
    case: Case = CASES[request.param]
    torch.manual_seed(0)
    made = getattr(transformers, f"{case.architecture}Config")
    config = made(**case.config, image_token_id=PLACEHOLDER, image_token_index=PLACEHOLDER)
    kind = getattr(transformers, f"{case.architecture}ForConditionalGeneration")
    theirs = kind(config).eval()
    for parameter in theirs.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    folder = tmp_path_factory.mktemp("model") / "saved"
    theirs.save_pretrained(folder)
    return case, theirs, folder


def test_scores_are_the_references(pair) -> None:
    case, theirs, folder = pair
    tokens = prompts(case.places)
    model = library.open(str(folder), dtype="float32", device="cpu")
    with torch.inference_mode():
        expected = theirs(input_ids=tokens, pixel_values=PIXELS).logits
        found = model.module(tokens, PIXELS)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
        plain = tokens.where(tokens != PLACEHOLDER, 12)
        torch.testing.assert_close(
            model.module(plain), theirs(input_ids=plain).logits, rtol=1e-4, atol=1e-4
        )


def test_saved_it_has_the_references_names_again(pair, tmp_path: Path) -> None:
    case, theirs, folder = pair
    library.open(str(folder), device="cpu").save(tmp_path / "again")
    ours, saved = (load_file(at / "model.safetensors") for at in (tmp_path / "again", folder))
    assert ours.keys() == saved.keys()
    assert all(torch.equal(ours[name], tensor) for name, tensor in saved.items())
    again = type(theirs).from_pretrained(tmp_path / "again").eval()
    tokens = prompts(case.places)
    with torch.inference_mode():
        found = again(input_ids=tokens, pixel_values=PIXELS).logits
        assert torch.equal(found, theirs(input_ids=tokens, pixel_values=PIXELS).logits)


def test_its_stages_count_what_pytorch_counts(pair) -> None:
    case, _, folder = pair
    model = library.open(str(folder), dtype="float32", device="cpu")
    tokens = prompts(case.places)
    work = Work(
        batch=2, height=32, width=32, frames=1, tokens=tokens.shape[1] - case.places, written=0
    )
    assert model.spec.places(32, 32) == case.places
    looking, reading, _ = model.spec.stages(work)
    with torch.inference_mode(), sdpa_kernel(SDPBackend.MATH):
        with FlopCounterMode(display=False) as seen:
            model.module.look(PIXELS)
        with FlopCounterMode(display=False) as read:
            model.module.decoder.scores(model.module.decoder.hidden(tokens)[:, -1])
    assert looking.operations == pytest.approx(seen.get_total_flops(), rel=0.02)
    # The reference path multiplies with keys that a mask hides; the statement leaves them out.
    assert reading.operations == pytest.approx(read.get_total_flops(), rel=0.08)
