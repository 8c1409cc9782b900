"""The account of a pass against what PyTorch's profiler records, for every kind of layer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest
import torch

from fathom.dialects.config import Config
from fathom.dialects.dialect import find
from fathom.generation.source import PairState
from fathom.generation.state import ContiguousState
from fathom.planning.ledger import Ledger, Pass
from fathom.planning.workspace import workspace
from fathom.spec.decoder import Decoder
from fathom.spec.encoder_decoder import EncoderDecoder
from fathom.spec.experts import Experts
from fathom.spec.model import TextModel
from fathom.spec.parts import Table
from parity.conftest import cases_of
from planning.profiled import allocated_peak, random_module

# Buffers of kernels at these small sizes, and how unevenly a tiny router spreads its tokens.
KERNELS, ROUTED = 0.12, 0.30
FIRST = 2  # variants of a dialect that the fast tests take; there are five hundred in all
SLACK = 70_000  # bytes: the least that a kernel takes, however small its work


def _specs(table: str) -> list[object]:
    return list(_each(table))


def _each(table: str) -> Iterator[object]:
    """Yield every different spec of the parity cases, as a parameter."""
    seen: set[str] = set()
    of_type: Counter[str] = Counter()
    for case in cases_of(table):
        config = {**case.config, "model_type": case.model_type}
        if case.config.get("hidden_size") is None and not case.config:
            continue  # built by the test's own code
        try:
            spec = find(case.model_type).read(Config(config))
        except Exception:  # noqa: BLE001, S112  # arguments of the reference, not a whole file
            continue
        if str(spec) not in seen:
            seen.add(str(spec))
            of_type[case.model_type] += 1
            more = of_type[case.model_type] > FIRST
            yield pytest.param(spec, id=case.id, marks=[pytest.mark.slow] if more else [])


def _agrees(account: Ledger, measured: int, spec: TextModel) -> None:
    routed = any(isinstance(layer.feed_forward, Experts) for layer in spec.layers)
    share = ROUTED if routed else KERNELS
    assert abs(account.peak - measured) <= share * measured + SLACK, account.moment


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("spec", _specs("cases"))
def test_a_chunk_of_a_prompt_holds_what_is_planned(spec: Decoder, dtype: str) -> None:
    tabled = isinstance(spec.embedding.positions, Table)
    length, batch = (min(48, spec.context // 2) if tabled else 48), 16
    module = random_module(spec, getattr(torch, dtype))
    state = ContiguousState(spec, batch=batch, capacity=2 * length, dtype=getattr(torch, dtype))
    tokens = torch.randint(0, spec.vocabulary, (batch, length))

    def chunk() -> torch.Tensor:
        step = state.advance(length)
        return module.scores(module.hidden(tokens, step=step, state=state)[:, -1]).float()

    with torch.inference_mode():
        chunk()
        measured = allocated_peak(chunk)
    _agrees(workspace(spec, Pass(batch, length, 2 * length, dtype)), measured, spec)


@pytest.mark.parametrize("spec", _specs("cases_encoders"))
def test_a_text_read_whole_holds_what_is_planned(spec: TextModel) -> None:
    length, batch = 36, 24
    module = random_module(spec, torch.float32)
    tokens = torch.randint(2, spec.vocabulary, (batch, length))
    with torch.inference_mode():
        module(tokens)
        measured = allocated_peak(lambda: module(tokens))
    _agrees(workspace(spec, Pass(batch, length, length, "float32", kept=False)), measured, spec)


@pytest.mark.parametrize("spec", _specs("cases_seq2seq"))
def test_a_text_read_and_written_holds_what_is_planned(spec: EncoderDecoder) -> None:
    length, batch = 36, 24
    module = random_module(spec, torch.float32)
    known = min(spec.encoder.embedding.vocabulary, spec.vocabulary)
    tokens = torch.randint(2, known, (batch, length))
    state = PairState(spec, batch=batch, capacity=length, source=length, dtype=torch.float32)

    def pair() -> torch.Tensor:
        source = module.encode(tokens)
        step = state.advance(1)
        return module.scores(module.hidden(tokens[:, :1], source, step=step, state=state)[:, -1])

    with torch.inference_mode():
        pair()
        state.reset()
        measured = allocated_peak(pair)
    _agrees(workspace(spec, Pass(batch, length, length, "float32")), measured, spec)


def test_a_ledger_lets_go_of_what_a_scope_held() -> None:
    ledger = Ledger()
    with ledger.scope():
        ledger.hold(10, "first")
        ledger.at("passing", 5)
    ledger.hold(12, "second")
    assert (ledger.alive, ledger.peak, ledger.moment) == (12, 15, "passing")
