"""The slopes of linear biases, against two implementations that count them differently."""

import pytest
import torch
from transformers.models.bloom.modeling_bloom import build_alibi_tensor
from transformers.models.falcon.modeling_falcon import build_alibi_tensor as falcon_alibi
from transformers.models.mpt.modeling_mpt import build_mpt_alibi_tensor

from fathom.blocks.state import Step, attend
from fathom.dialects.alibi import slopes
from fathom.ops.attention import Scoring


@pytest.mark.parametrize("heads", [1, 2, 3, 4, 6, 8, 12, 16, 32, 71, 112])
def test_slopes_equal_blooms(heads: int) -> None:
    theirs = build_alibi_tensor(torch.ones(1, 2), heads, torch.float32)[:, 0, 1]
    assert torch.allclose(torch.tensor(slopes(heads)), theirs, rtol=1e-6)


@pytest.mark.parametrize("heads", [1, 2, 3, 4, 6, 8, 12, 16, 32, 71, 112])
@pytest.mark.parametrize("steepest", [4, 8, 16])
def test_slopes_equal_mpts(heads: int, steepest: int) -> None:
    """The reference's model forgets to pass the steepest slope on; its function takes it."""
    theirs = -build_mpt_alibi_tensor(heads, 2, steepest)[:, 0, 0]
    assert torch.allclose(torch.tensor(slopes(heads, steepest)), theirs, rtol=1e-6)


def test_falcons_rounding_equals_the_references_far_beyond_exact_positions() -> None:
    """Past 256, bfloat16 holds neither positions nor their products with slopes."""
    heads, length, width = 12, 700, 6
    positions = torch.arange(length)[None]
    scoring = Scoring(scale=width**-0.5, slopes=torch.tensor(slopes(heads)), rounded=True)
    nothing = torch.zeros(1, heads, length, width)
    columns = torch.eye(length).expand(1, heads, -1, -1)
    weights = attend(nothing, nothing, columns, Step(positions), positions, scoring)
    added = falcon_alibi(torch.ones_like(positions), heads, torch.float32) * width**-0.5
    hidden = torch.ones(length, length, dtype=torch.bool).triu(1)
    scores = added.expand(-1, length, -1).masked_fill(hidden, float("-inf"))
    assert torch.allclose(weights[0], scores.softmax(-1), atol=1e-6)
