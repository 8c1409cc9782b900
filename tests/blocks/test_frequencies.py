"""Frequencies where no case of a whole model compares them with the reference's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import transformers

from fathom.blocks.frequencies import frequencies
from fathom.blocks.state import Step
from fathom.spec.positions import Axes, LongRopeScaling, Rotary

SHORT, LONG = (1.0, 1.5, 2.0, 3.0), (1.0, 4.0, 9.0, 16.0)


@pytest.mark.parametrize(
    ("total", "beyond", "factors", "attention"),
    [(32, 1.3, SHORT, 1.2), (33, 1.3, LONG, 1.3), (33, None, LONG, 1.2)],
)
def test_longrope_takes_the_list_and_the_factor_of_its_length(
    total: int, beyond: float | None, factors: tuple[float, ...], attention: float
) -> None:
    """As in Phi-3.5-MoE's own code: each list of factors comes with its own scale."""
    law = LongRopeScaling(SHORT, LONG, original=32, attention=1.2, attention_beyond=beyond)
    turns, scale = frequencies(Rotary(500.0, width=8, scaling=law), total)
    expected = [1 / (factor * 500.0 ** (2 * i / 8)) for i, factor in enumerate(factors)]
    assert np.allclose(turns, expected)
    assert scale == attention


@pytest.mark.parametrize(
    ("sections", "woven", "reference"),
    [
        ((4, 3, 5), False, "qwen2_5_vl"),
        ((5, 4, 3), True, "qwen3_vl"),
        ((8, 2, 2), True, "qwen3_vl"),
    ],
)
def test_places_of_several_axes_turn_as_the_references(
    sections: tuple[int, ...], woven: bool, reference: str
) -> None:
    """Cosines and sines for places that differ on every axis; alike on all they are positions."""
    from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import Qwen2_5_VLRotaryEmbedding
    from transformers.models.qwen3_vl.modeling_qwen3_vl import Qwen3VLTextRotaryEmbedding

    theirs = {"qwen2_5_vl": Qwen2_5_VLRotaryEmbedding, "qwen3_vl": Qwen3VLTextRotaryEmbedding}
    width = 2 * sum(sections)
    config = transformers.AutoConfig.for_model(
        f"{reference}_text",
        hidden_size=4 * width,
        num_attention_heads=4,
        head_dim=width,
        rope_parameters={
            **{"rope_type": "default", "rope_theta": 1e4, "mrope_section": list(sections)},
            "mrope_interleaved": woven,
        },
    )
    places = torch.randint(0, 50, (3, 2, 7), generator=torch.Generator().manual_seed(3))
    rotary = Rotary(1e4, width, axes=Axes(sections, woven))
    expected = theirs[reference](config)(torch.zeros(1), places)
    found = Step(torch.arange(7).expand(2, -1), start=0).at(places).rotation(rotary)
    for ours, wanted in zip(found, expected, strict=True):
        torch.testing.assert_close(ours[:, 0], wanted[..., : width // 2])
    plain = Step.dense(2, 5, 7, places.device)
    spread = plain.at(plain.positions.expand(3, -1, -1))
    for one, other in zip(plain.rotation(rotary), spread.rotation(rotary), strict=True):
        assert torch.equal(one, other)
