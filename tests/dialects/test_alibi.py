"""The slopes of linear biases, against two implementations that count them differently."""

import pytest
import torch
from transformers.models.bloom.modeling_bloom import build_alibi_tensor
from transformers.models.mpt.modeling_mpt import build_mpt_alibi_tensor

from fathom.dialects.alibi import slopes


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
