"""A model measured under a load of its own making: random tokens, each context and batch in turn.

        ┌ once: fill the whole context, watch the memory
    row ┤
        └ each round: read half of the context (prefill), then write on from there (decode)

Decoding is measured in the middle of the context because that is what is predicted: the mean
speed of a sequence that grows from nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING, Protocol, TypeVar

import torch

from fathom.blocks.whole_layers import Packed
from fathom.errors import RequestError
from fathom.generation.loads import Load, Opened, load_for, writing_program
from fathom.planning.contention import turns
from fathom.planning.machine import this_machine
from fathom.planning.memory_watch import Watch, resident, settled
from fathom.planning.predict import Prediction
from fathom.planning.probe import measured_rates, usable_threads
from fathom.planning.records import (
    ALLOCATOR,
    DECODE,
    FIRST,
    GROWTH,
    LOADING,
    MEMORY,
    PREFILL,
    TEXTS,
    TOTAL,
    WAITED,
    Figure,
)
from fathom.spec.model import TextModel as Spec
from fathom.spec.work import Staged

if TYPE_CHECKING:
    from fathom.ops.program import Program
    from fathom.ops.program_pair import ProgramPair


class Moduled(Protocol):
    """What is needed of anything opened."""

    @property
    def spec(self) -> object: ...

    @property
    def loaded(self) -> torch.nn.Module: ...

    @property
    def program(self) -> Program | ProgramPair | None: ...


M = TypeVar("M", bound=Moduled)


@dataclass(frozen=True, slots=True)
class Rounds:
    """Seconds of each round of one quantity."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        return median(self.seconds)

    @property
    def spread(self) -> float:
        """(Longest - shortest) / median."""
        return (max(self.seconds) - min(self.seconds)) / self.median


@dataclass(frozen=True, slots=True)
class Row:
    """What one context and batch took.

    `first` is the time to read `prompt` tokens of each row and choose the next, `step` that of
    writing one more of each row; None for a model that does not write.

    Bytes, of the accelerator's allocator where there is one, else of the process: `before` when
    the row began, `state` that sequences keep, `workspace` the most that was alive besides, `peak`
    of it all. `process_peak` is the process's own in any case, `exact` as `memory_watch.Watch`
    has it. `waited` is the share of time that other work kept the process from a core.
    """

    context: int
    batch: int
    prompt: int
    written: int
    first: Rounds
    step: Rounds | None
    before: int
    state: int
    workspace: int
    peak: int
    process_peak: int
    exact: bool
    waited: float | None


def measure(
    model: Opened,
    context: int,
    batch: int,
    rounds: int,
    progress: Callable[[int], None] = lambda done: None,
) -> Row:
    """Measure one context and batch; `progress` is called with 1 after the fill and each round.

    Raises:
        RequestError: for a context beyond the model's own, or numbers that measure nothing.
    """
    check(model.spec, context, batch, rounds)
    before, began = held(model.device), turns()
    with torch.inference_mode():
        load = load_for(model, context, batch)
        state = held(model.device, settle=False) - before
        peak, process_peak, exact = _filled(load, model.device)
        progress(1)
        taken = []
        for _ in range(rounds):
            taken.append(_round(load, model.device))
            progress(1)
    firsts = Rounds(tuple(first for first, _ in taken))
    steps = Rounds(tuple(step for _, step in taken)) if load.written else None
    return Row(
        context=context,
        batch=batch,
        prompt=load.prompt,
        written=load.written,
        first=firsts,
        step=steps,
        before=before,
        state=max(state, 0),
        workspace=max(peak - before - max(state, 0), 0),
        peak=peak,
        process_peak=process_peak,
        exact=exact,
        waited=turns().since(began),
    )


def check(spec: Spec, context: int, batch: int, rounds: int) -> None:
    """Refuse what cannot be measured; see `measure`."""
    if not 8 <= context <= spec.context:
        raise RequestError(
            f"a context of {context:,} cannot be measured: name 8 to {spec.context:,}, the model's"
            " own"
        )
    if batch < 1 or rounds < 1:
        raise RequestError(
            f"a batch of {batch} in {rounds} rounds measures nothing: name at least 1 of both"
        )


def _filled(load: Load, device: torch.device) -> tuple[int, int, bool]:
    """Return peak, the process's peak, and whether that is exact."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    with Watch() as watch:
        load.fill()
        wait_for(device)
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device), watch.peak, True
    return watch.peak, watch.peak, watch.exact


def _round(load: Load, device: torch.device) -> tuple[float, float]:
    """Return seconds to the first token, and per token after it."""
    began = perf_counter()
    load.read()
    wait_for(device)
    read = perf_counter()
    for _ in range(load.written):
        load.write()
    wait_for(device)
    return read - began, (perf_counter() - read) / max(load.written, 1)


def held(device: torch.device, settle: bool = True) -> int:
    """Return the bytes in use: of the accelerator's allocator, else of the process.

    Those of a process are looked at after what nobody uses was given back, or as they are.
    """
    if device.type == "cuda":
        return int(torch.cuda.memory_allocated(device))
    return settled() if settle else resident()


def wait_for(device: torch.device) -> None:
    """Wait until the accelerator has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


@dataclass(frozen=True, slots=True)
class Loaded:
    """Bytes around the opening of a model.

    `base` is the idle process before it, `weights` the tensors that it then holds. `peak` is the
    most that the process held meanwhile, `exact` as `memory_watch.Watch` has it.
    """

    base: int
    weights: int
    peak: int
    exact: bool


def opened(open_model: Callable[[], M], use: Callable[[M], object]) -> tuple[M, Loaded]:
    """Open a model and return it with what that took. The process should be idle otherwise.

    It is put to `use` once, so that its kernels are loaded when rows begin.
    """
    warm_up()
    base = settled()
    with Watch() as watch:
        model = open_model()
    with torch.inference_mode():
        use(model)
    program = writing_program(model.spec, model.program)
    held = 0 if program is None else program.weight_bytes
    if program is None or isinstance(model.spec, Staged):
        held += tensor_bytes(model.loaded)
    return model, Loaded(base, held, watch.peak, watch.exact)


def use_once(model: Opened) -> None:
    """Fill a short context."""
    load_for(model, min(16, model.spec.context), 1).fill()


def tensor_bytes(module: torch.nn.Module) -> int:
    """Return the bytes of all weights, packed ones too; what several share counts once."""
    packed = sum(one.whole.nbytes for one in module.modules() if isinstance(one, Packed))
    tensors = [*module.parameters(), *module.buffers()]
    storages = {one.untyped_storage().data_ptr(): one.untyped_storage() for one in tensors}
    return packed + sum(storage.nbytes() for storage in storages.values())


def warm_up() -> None:
    """Let torch start its threads and load its kernels, which belong to the idle process."""
    measured_rates()
    torch.set_num_threads(usable_threads(this_machine()))
    with torch.inference_mode():
        matrix = torch.ones(256, 256)
        torch.nn.functional.linear(matrix, matrix)


def figures(row: Row, loaded: Loaded, predicted: Prediction, on_device: bool) -> dict[str, Figure]:
    """Return what was predicted of a row beside what was measured, by the names of a record.

    Rates count the tokens of all rows of the batch. `on_device` says that memory is that of an
    accelerator's allocator, to which the runtime of the process does not belong.
    """
    tokens = row.batch * row.prompt
    forecast = predicted.forecast(tokens)
    first = row.first.median
    found = {
        FIRST: Figure(forecast.seconds_to_first_token, first, row.first.spread),
        PREFILL: Figure(forecast.prefill_tokens_per_second, tokens / first, row.first.spread),
        WAITED: Figure(None, row.waited),
    }
    if row.step is None:
        rate = predicted.prefill_tokens_per_second
        texts = None if rate is None else rate / row.prompt
        found[PREFILL] = Figure(rate, tokens / first, row.first.spread)
        found[FIRST] = Figure(None if rate is None else tokens / rate, first, row.first.spread)
        found[TEXTS] = Figure(texts, row.batch / first, row.first.spread)
    else:
        rate = predicted.decode_tokens_per_second
        found[DECODE] = Figure(rate, row.batch / row.step.median, row.step.spread)
    return found | _memory(row, loaded, predicted, on_device)


def _memory(row: Row, loaded: Loaded, predicted: Prediction, on_device: bool) -> dict[str, Figure]:
    base = 0 if on_device else loaded.base
    measured = {
        "runtime": loaded.base,
        "weights": loaded.weights,
        "rest": row.before - base - loaded.weights,
        "state": row.state,
        "workspace": row.workspace,
    }
    terms = dict(predicted.terms)
    growth = predicted.total_bytes - terms.get("runtime", 0)
    total = predicted.total_bytes
    if "rows" in terms:  # a native program: it needs no PyTorch, which measuring loads
        measured["rows"] = measured.pop("workspace")
        total = loaded.base + growth
        del terms["runtime"]
    found = {
        MEMORY + name: Figure(terms.get(name), measured.get(name)) for name in {**terms, **measured}
    }
    found[GROWTH] = Figure(growth, row.peak - base)
    if on_device:
        found[ALLOCATOR] = Figure(growth, row.peak)
    found[TOTAL] = Figure(None if on_device else total, row.process_peak)
    found[LOADING] = Figure(None, loaded.peak)
    return found
