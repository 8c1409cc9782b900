"""How fast this machine is, measured in about two seconds and remembered.

A prediction is only as good as the rates it divides by, so these are the rates of the calls
that run the model: a decoding step on a processor is bounded by how fast torch reads weights in
matrix-vector products, which can be half of what the memory delivers and differs by type and by
size of matrix. Each figure is the best of several passes: what the machine does undisturbed.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import partial
from itertools import pairwise
from math import log2
from pathlib import Path
from typing import TYPE_CHECKING

from fathom.checkpoint.storage import cache_folder, write_text
from fathom.planning.idle import measure_idle
from fathom.planning.machine import Machine, this_machine

if TYPE_CHECKING:
    import torch

EDITION = 3  # counts up when what is measured changes, so that older files are not used
DTYPES = ("float32", "bfloat16", "float16")
MATRIX_SIDES = (512, 1024, 2048, 4096)  # square weights, from a small model's to a large one's
_PREFILL = (256, 2048, 2048)  # tokens, inputs, outputs of the matrix product
_DISK_BYTES = 32 * 2**20
_BUDGET = 0.06  # seconds of passes per figure, at least one


@dataclass(frozen=True, slots=True)
class Rates:
    """Measured speeds with `threads` threads. Bytes and floating-point operations per second.

    `matvec` maps dtype → ((elements of the weight matrix, bytes of weights per second), …) for
    one row times a matrix that no cache holds; use `weights_per_second` to read it.
    `disk_read` is from the cache folder's disk past the page cache, ``None`` where the system
    cannot tell the two apart. `operation_seconds` is the cost of calling any operation at all.
    """

    threads: int
    memory_read: float  # bytes/s, a plain sum over a buffer beyond every cache
    matvec: Mapping[str, tuple[tuple[int, float], ...]]
    matmul: Mapping[str, float]  # dtype → FLOP/s, 256 rows times a 2,048 × 2,048 matrix
    operation_seconds: float
    disk_read: float | None
    measured_at: str  # ISO 8601, UTC
    seconds: float  # that measuring took
    idle_bytes: int | None = None  # a process with torch and this library, and no model
    code_bytes: int | None = None  # what kernels add to it when they are first used

    def weights_per_second(self, dtype: str, elements: int) -> float:
        """Return bytes/s at which one row times a weight of that many elements is computed.

        Between the measured sizes the rate is interpolated over log2(elements); beyond them
        the nearest one holds.
        """
        points = self.matvec[dtype]
        if elements <= points[0][0]:
            return points[0][1]
        for (small, slow), (large, fast) in pairwise(points):
            if elements <= large:
                share = log2(elements / small) / log2(large / small)
                return slow + share * (fast - slow)
        return points[-1][1]


def measured_rates(refresh: bool = False) -> Rates:
    """Return this machine's rates, from the cache or, the first time, by measuring for seconds.

    Processes that ask at once wait for one to measure. A cache file that cannot be understood
    is set aside and measured anew, and one that cannot be written is done without; both warn.
    """
    machine = this_machine()
    path = rates_file(machine)
    if not refresh and (rates := _read(path)):
        return rates
    with _alone(path):
        if not refresh and (rates := _read(path)):  # another process has just measured
            return rates
        rates = measure(machine)
        _write(path, rates)
    return rates


def cached_rates() -> Rates | None:
    """Return the rates measured before on this machine, or ``None``; never measures."""
    return _read(rates_file(this_machine()))


def usable_threads(machine: Machine) -> int:
    """Return the threads that operations should use: OMP_NUM_THREADS, or every usable core."""
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    return min(int(wanted), machine.cores) if wanted.isdigit() and int(wanted) else machine.cores


def rates_file(machine: Machine) -> Path:
    """Return the file that holds a machine's rates; its name changes with all they depend on."""
    from importlib.metadata import version

    key = f"{EDITION}; {machine.identity}; {usable_threads(machine)}; torch {version('torch')}"
    digest = hashlib.sha256(key.encode()).hexdigest()[:16]
    return cache_folder() / "rates" / f"{digest}.json"


def measure(machine: Machine) -> Rates:
    """Measure now, with the threads that a model would run with."""
    import torch

    started = time.perf_counter()
    before, threads = torch.get_num_threads(), usable_threads(machine)
    torch.set_num_threads(threads)
    try:
        idle = measure_idle(threads)
        with torch.inference_mode():
            buffer = _buffer(machine)
            return Rates(
                threads=threads,
                memory_read=_rate(buffer.nbytes, buffer.view(torch.float32).sum),
                matvec={name: _matvec(buffer.view(getattr(torch, name))) for name in DTYPES},
                matmul={name: _matmul(getattr(torch, name)) for name in DTYPES},
                operation_seconds=_operation_seconds(),
                disk_read=disk_read_rate(cache_folder()),
                measured_at=datetime.now(UTC).isoformat(timespec="seconds"),
                seconds=round(time.perf_counter() - started, 3),
                idle_bytes=None if idle is None else idle.process,
                code_bytes=None if idle is None else idle.code,
            )
    finally:
        torch.set_num_threads(before)


def _buffer(machine: Machine) -> torch.Tensor:
    """Return bytes beyond every cache, each page written: an unwritten page is not memory yet.

    The byte 0x3C makes an ordinary number in every type, where zeros or denormals might be fast
    or slow for reasons of their own.
    """
    import torch

    wanted = max(256 * 2**20, 4 * (machine.last_level_cache or 0))
    room = machine.memory_available // 8
    largest = 4 * max(MATRIX_SIDES) ** 2  # one float32 matrix; sizes stay a multiple of it
    count = max(1, min(wanted, room) // largest)
    return torch.full((count * largest,), 0x3C, dtype=torch.uint8)


def _matvec(weights: torch.Tensor) -> tuple[tuple[int, float], ...]:
    """Time one row (1, side) times each (side, side) matrix of the buffer, size by size."""
    import torch
    from torch.nn.functional import linear

    def pass_over(row: torch.Tensor, matrices: Sequence[torch.Tensor]) -> None:
        for matrix in matrices:
            linear(row, matrix)

    points = []
    for side in MATRIX_SIDES:
        matrices = weights.view(-1, side, side).unbind()
        row = torch.ones(1, side, dtype=weights.dtype)
        rate = _rate(weights.nbytes, partial(pass_over, row, matrices))
        points.append((side * side, rate))
    return tuple(points)


def _matmul(dtype: torch.dtype) -> float:
    import torch
    from torch.nn.functional import linear

    tokens, inputs, outputs = _PREFILL
    rows, matrix = torch.ones(tokens, inputs, dtype=dtype), torch.ones(outputs, inputs, dtype=dtype)
    return _rate(2 * tokens * inputs * outputs, lambda: linear(rows, matrix))


def _operation_seconds() -> float:
    """Time an addition of eight numbers: nothing but the call."""
    import torch

    numbers, calls = torch.ones(8), 1000

    def call() -> None:
        for _ in range(calls):
            numbers + numbers

    return 1 / _rate(calls, call)


def _rate(amount: float, work: Callable[[], object]) -> float:
    """Return amount per second of the fastest pass, after one to warm up."""
    work()
    fastest, started = float("inf"), time.perf_counter()
    while True:
        before = time.perf_counter()
        work()
        after = time.perf_counter()
        fastest = min(fastest, after - before)
        if after - started > _BUDGET:
            return amount / fastest


def disk_read_rate(folder: Path) -> float | None:
    """Return bytes/s of a first read from the folder's disk; ``None`` where it cannot be told.

    Writes and removes one file of 32 MiB. The page cache is asked to forget the file, which only
    POSIX systems can be asked; a folder that lives in memory answers with memory's speed.
    """
    if not hasattr(os, "posix_fadvise"):
        return None
    try:
        with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
            file.write(os.urandom(_DISK_BYTES))
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            file.seek(0)
            buffer = bytearray(_DISK_BYTES)
            started = time.perf_counter()
            read = file.readinto(buffer)
            return (read or 0) / (time.perf_counter() - started)
    except OSError:
        return None  # read-only or full: no rate, and nothing that a user must act upon


def _alone(path: Path) -> AbstractContextManager[object]:
    """Return a lock beside the file, or none at all where its folder cannot be written."""
    from filelock import FileLock

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError:
        return nullcontext()  # `_write` meets the same refusal and says so
    return FileLock(path.with_suffix(".lock"))


def _read(path: Path) -> Rates | None:
    """Return the kept rates, or ``None`` where there are none that can be understood."""
    try:
        return _rates_from(json.loads(path.read_text(encoding="utf-8")))
    except OSError:
        return None  # absent, or out of reach, which `_write` will meet again and tell
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        aside = path.with_suffix(".broken")
        with suppress(OSError):  # a read-only cache: the warning then comes each time
            path.replace(aside)
        warnings.warn(
            f"the file of measured rates could not be read ({type(error).__name__}: {error}); "
            f"set aside as {aside.name}, they will be measured anew",
            stacklevel=3,
        )
        return None


def _rates_from(kept: dict[str, object]) -> Rates:
    """Rebuild rates from JSON. Raises ValueError, TypeError or KeyError where a part is amiss."""
    rates = Rates(**kept)  # type: ignore[arg-type]  # checked below, part by part
    matvec = {
        name: tuple((int(elements), _positive(rate)) for elements, rate in points)
        for name, points in rates.matvec.items()
    }
    matmul = {name: _positive(rate) for name, rate in rates.matmul.items()}
    if set(matvec) != set(DTYPES) or set(matmul) != set(DTYPES) or not all(matvec.values()):
        raise ValueError("dtypes are missing")
    if not isinstance(rates.threads, int) or not isinstance(rates.measured_at, str):
        raise ValueError("threads or date are missing")
    return replace(
        rates,
        matvec=matvec,
        matmul=matmul,
        memory_read=_positive(rates.memory_read),
        operation_seconds=_positive(rates.operation_seconds),
        seconds=_positive(rates.seconds),
        disk_read=None if rates.disk_read is None else _positive(rates.disk_read),
        idle_bytes=None if rates.idle_bytes is None else int(_positive(rates.idle_bytes)),
        code_bytes=None if rates.code_bytes is None else int(_positive(rates.code_bytes)),
    )


def _positive(rate: object) -> float:
    if not isinstance(rate, int | float) or not 0 < rate < float("inf"):
        raise ValueError(f"{rate!r} is no rate")
    return float(rate)


def _write(path: Path, rates: Rates) -> None:
    try:
        write_text(path, json.dumps(asdict(rates), indent=1) + "\n")
    except OSError as error:
        warnings.warn(f"measured rates are not kept: {error}", stacklevel=3)
