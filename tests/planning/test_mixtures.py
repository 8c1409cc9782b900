"""Predictions for mixtures of experts: all weights are held, only the chosen ones are read."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fathom.dialects.config import Config
from fathom.dialects.dialect import find
from fathom.planning.predict import predict
from fathom.planning.probe import DTYPES, Rates
from fathom.spec.decoder import Decoder
from fathom.spec.experts import Experts, Router
from parity.cases import deepseek, mixtral

RATES = Rates(
    threads=2,
    memory_read=10e9,
    matvec=dict.fromkeys(DTYPES, ((1, 0.0, 10e9),)),
    matmul=dict.fromkeys(DTYPES, ((2, 20e9), (512, 200e9))),
    operation_seconds=0.0,
    disk_read=None,
    measured_at="2026-01-02T03:04:05+00:00",
    seconds=1.5,
)


def _read(model_type: str, config: dict[str, object]) -> Decoder:
    spec = find(model_type).read(Config({"model_type": model_type, **config}))
    assert isinstance(spec, Decoder)
    return spec


def _with_experts(spec: Decoder, experts: int, active: int) -> Decoder:
    """Return the model with another number of experts, of another number of which are chosen."""

    def changed(part: object) -> object:
        if not isinstance(part, Experts) or not isinstance(part.router, Router):
            return part
        return replace(part, router=replace(part.router, experts=experts, active=active))

    layers = tuple(
        replace(layer, feed_forward=changed(layer.feed_forward)) for layer in spec.layers
    )
    return replace(spec, layers=layers)


def _seconds(spec: Decoder) -> float:
    found = predict(spec, dtype="bfloat16", context=32, rates=RATES).decode_tokens_per_second
    assert found is not None
    return 1 / found


@pytest.mark.parametrize(
    ("model_type", "config"), [("mixtral", mixtral.SMALL), ("deepseek_v3", deepseek.THIRD)]
)
def test_decoding_pays_for_the_chosen_experts_alone(
    model_type: str, config: dict[str, object]
) -> None:
    spec = _read(model_type, config)
    one, two, three = (_with_experts(spec, 8, active) for active in (1, 2, 3))
    sparse = [
        layer.feed_forward for layer in spec.layers if isinstance(layer.feed_forward, Experts)
    ]
    expert = sum(3 * part.width * part.inner * 2 / 10e9 for part in sparse)
    assert _seconds(two) - _seconds(one) == pytest.approx(expert, rel=1e-6)
    assert _seconds(three) - _seconds(two) == pytest.approx(expert, rel=1e-6)
    wider = _with_experts(spec, 16, 1)
    held = [predict(s, dtype="bfloat16", context=32).weights_bytes for s in (one, wider)]
    routers = sum(8 * part.width * 4 for part in sparse)  # kept in float32
    corrections = 0 if model_type == "mixtral" else 8 * 4 * len(sparse)
    assert held[1] - held[0] == 8 * expert * 10e9 + routers + corrections


def test_a_latent_is_all_that_latent_attention_keeps() -> None:
    spec = _read("deepseek_v3", deepseek.THIRD)
    kept = predict(spec, dtype="bfloat16", context=32).state_bytes
    assert kept == 32 * 3 * (16 + 8) * 2
