"""Runs one model in a process of its own and prints what it took: bytes by stage, and seconds.

Started by `benchmarks/predict.py`, once per row: a process's peak cannot be undone. It imports
what it needs while the row's model is being written, then reads the settings as a line of JSON and
answers with another. Not a copy of a process that is ready: pages of libraries count anew in one.
"""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from statistics import median
from time import perf_counter

import torch

from fathom import library
from fathom.generation import pair  # noqa: F401  # the idle process has its code
from fathom.generation.source import PairState
from fathom.generation.state import ContiguousState
from fathom.planning.contention import turns
from fathom.planning.memory_watch import Watch, resident, settled
from fathom.planning.speed import CHUNK
from fathom.residency import resident as _opens  # noqa: F401  # as has what opens checkpoints
from fathom.spec.encoder import Encoder
from fathom.spec.encoder_decoder import EncoderDecoder

DECODED = 16  # tokens per round
ROUNDS = 3
LONG = 1024  # tokens of a prompt from which one round has to do


@dataclass
class Taken:
    """What a row took. Bytes are growth over the idle base, whose own size is `idle`."""

    idle: int
    peak: int = 0
    stages: dict[str, int] = field(default_factory=dict)
    load_seconds: float = 0.0
    prefill_tokens_per_second: float = 0.0
    decode_tokens_per_second: float | None = None
    spread: float = 0.0
    waited: float | None = None  # share of time without a core


def measure(path: str, dtype: str, context: int, batch: int) -> Taken:
    """Open the model at `path`, read a prompt that fills its context, and write a few tokens."""
    taken = Taken(idle=settled())

    def stage(name: str) -> None:
        taken.stages[name] = resident() - taken.idle

    began = turns()
    with Watch() as watch:
        model = library.open(path, dtype=dtype, device="cpu")
        taken.load_seconds = model.load_seconds
        stage("loaded")
        with torch.inference_mode():
            if isinstance(model.spec, Encoder):
                _read(model, context, batch, taken, stage)
            elif isinstance(model.spec, EncoderDecoder):
                _read_and_write(model, context, batch, taken, stage)
            else:
                _write(model, context, batch, taken, stage)
    taken.peak = watch.peak - taken.idle
    taken.waited = turns().since(began)
    return taken


def _write(model, context: int, batch: int, taken: Taken, stage: Callable[[str], None]) -> None:
    """Do as `generation.generate.Engine` does, for several rows."""
    state = ContiguousState(
        model.spec, batch=batch, capacity=context, dtype=getattr(torch, model.dtype)
    )
    stage("state")
    prompt = context - DECODED
    tokens = torch.randint(0, model.spec.vocabulary, (batch, prompt))

    def prefill() -> None:
        state.reset()
        for start in range(0, prompt, CHUNK):
            chunk = tokens[:, start : start + CHUNK]
            hidden = model.module.hidden(chunk, step=state.advance(chunk.shape[1]), state=state)
        model.module.scores(hidden[:, -1])

    def decode() -> None:
        for index in range(DECODED):
            token = tokens[:, index : index + 1]
            hidden = model.module.hidden(token, step=state.advance(1), state=state)
            model.module.scores(hidden[:, -1])

    reading, writing = [], []
    for _ in range(1 if prompt > LONG else ROUNDS):
        reading.append(_seconds(prefill))
        writing.append(_seconds(decode))
        stage("read and written")
    _rates(taken, batch * prompt, reading, batch * DECODED, writing)


def _read(model, context: int, batch: int, taken: Taken, stage: Callable[[str], None]) -> None:
    tokens = torch.randint(0, model.spec.vocabulary, (batch, context))
    times = [_seconds(lambda: model.module(tokens)) for _ in range(ROUNDS)]
    stage("read")
    _rates(taken, batch * context, times)


def _read_and_write(
    model, context: int, batch: int, taken: Taken, stage: Callable[[str], None]
) -> None:
    spec = model.spec
    state = PairState(
        spec, batch=batch, capacity=context, source=context, dtype=getattr(torch, model.dtype)
    )
    stage("state")
    tokens = torch.randint(0, spec.vocabulary, (batch, context))

    def decode() -> None:
        for index in range(DECODED):
            token = tokens[:, index : index + 1]
            hidden = model.module.hidden(token, source, step=state.advance(1), state=state)
            model.module.scores(hidden[:, -1])

    reading, writing = [], []
    for _ in range(ROUNDS):
        begun = perf_counter()
        source = model.module.encode(tokens)
        reading.append(perf_counter() - begun)
        state.reset()
        _seconds(decode)  # makes the keys of the text that was read
        writing.append(_seconds(decode))
        stage("read and written")
    _rates(taken, batch * context, reading, batch * DECODED, writing)


def _seconds(work: Callable[[], object]) -> float:
    begun = perf_counter()
    work()
    return perf_counter() - begun


def _rates(
    taken: Taken, read: int, reading: list[float], written: int = 0, writing: list[float] = ()
) -> None:
    taken.prefill_tokens_per_second = read / median(reading)
    taken.spread = (max(reading) - min(reading)) / median(reading)
    if writing:
        taken.decode_tokens_per_second = written / median(writing)
        taken.spread = max(taken.spread, (max(writing) - min(writing)) / median(writing))


def main() -> None:
    """Answer a line with what the row took."""
    print(_answer(sys.stdin.readline()), flush=True)


def _answer(line: str) -> str:
    try:
        return json.dumps(asdict(measure(**json.loads(line))))
    except Exception:  # of any kind: it is told to whoever asked
        return json.dumps({"error": traceback.format_exc().strip().splitlines()[-1]})


if __name__ == "__main__":
    main()
