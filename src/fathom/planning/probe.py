"""How fast this machine is, measured once in a process of its own and remembered.

A prediction is only as good as the rates it divides by, so these are the rates of the calls
that run the model (`generation.probing` takes them): a decoding step on a processor is bounded by
how fast torch reads weights in matrix-vector products, which can be half of what the memory
delivers and differs by type and by shape of matrix. Each figure is the median of several passes:
what a model will see. Where other work is in the way, it is measured again.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from math import log2
from pathlib import Path

from fathom.checkpoint.storage import cache_folder, write_text
from fathom.planning.contention import BUSY
from fathom.planning.costs import BYTES
from fathom.planning.machine import Machine, this_machine

EDITION = 8  # counts up when what is measured changes, so that older files are not used
DTYPES = ("float32", "bfloat16", "float16")
COLD = 64  # rows up to which reading the matrix matters, so that no cache may hold it
TRIES = 3
AGAIN = timedelta(minutes=10)  # after which rates that were taken among other work are doubted
PATIENCE = 120.0  # seconds that measuring may take; it needs about six
_PROBING = ("-m", "fathom.generation.probing")
_NATIVE_PROBING = ("-m", "fathom.generation.native_probing")
_BY_TYPE = ("matvec", "matmul", "attention", "attention_step", "moved")
_DISK_BYTES = 32 * 2**20


@dataclass(frozen=True, slots=True)
class NativeRates:
    """Measured speeds of the native kernels named `kernels`, by `generation.native_probing`.

    `read` maps encoding → ((inputs, bytes of packed weights per second), …) for one row times
    matrices that no cache holds, `products` encoding → ((rows, FLOP/s), …) for more rows; use
    `product_seconds` to read both. Operations of attention per second are those of one query
    (`attention_step`) and of many, and of many with `paired` scores (`programs.steps.Attend`).
    `moved` is bytes of rows per second that steps beside products read and write, `step_seconds`
    what any step costs beside its work.
    """

    kernels: str
    read: Mapping[str, tuple[tuple[int, float], ...]]
    products: Mapping[str, tuple[tuple[int, float], ...]]
    attention: float
    paired_attention: float
    attention_step: float
    moved: float
    step_seconds: float
    idle_bytes: int  # a process with this library, its kernels and tokenizers, without torch
    waited: float | None = None  # share of the time that other work kept measuring from a core

    def product_seconds(
        self, encoding: str, inputs: int, outputs: int, size: int, rows: float
    ) -> float:
        """Return the time of (rows, inputs) times a packed matrix of `size` bytes."""
        like = encoding if encoding in self.read else LIKE[encoding]
        alone = size / _between(self.read[like], inputs)
        work = 2 * inputs * outputs
        return rows * work / _between(((1, work / alone), *self.products[like]), rows)


# Whose rates serve for an encoding that was not measured: that of the nearest width.
LIKE: Mapping[str, str] = {
    "Q4_0": "Q4_1",
    "Q4_K": "Q4_1",
    "Q5_0": "Q8_0",
    "Q5_1": "Q8_0",
    "Q5_K": "Q8_0",
    "Q6_K": "Q8_0",
    "F16": "BF16",
    "F32": "BF16",
}


@dataclass(frozen=True, slots=True)
class Rates:
    """Measured speeds with `threads` threads. Bytes and floating-point operations per second.

    `matvec` maps dtype → ((inputs, seconds of a call, bytes of weights per second), …) for one
    row times a matrix that no cache holds, `matmul` dtype → ((rows, FLOP/s), …) for many rows;
    use `product_seconds` to read both. `attention` is that of the fused kernel for many queries,
    `attention_step` for one; `moved` is bytes per second that all other operations of a layer read
    and write. `operation_seconds` is the
    cost of calling any operation from the code of a model that no cache holds, `call_seconds` from
    that of a tiny one, as stages of small parts are. `disk_read` is from the cache folder's
    disk past the page cache, ``None`` where the system cannot tell the two apart.
    """

    threads: int
    memory_read: float  # bytes/s, a plain sum over a buffer beyond every cache
    matvec: Mapping[str, tuple[tuple[int, float, float], ...]]
    matmul: Mapping[str, tuple[tuple[float, float], ...]]
    attention: Mapping[str, float] = field(default_factory=dict)  # absent: as `matmul`
    attention_step: Mapping[str, float] = field(default_factory=dict)  # absent: by reading alone
    moved: Mapping[str, float] = field(default_factory=dict)  # absent: as `memory_read`
    operation_seconds: float = 0.0
    call_seconds: float = 0.0
    disk_read: float | None = None
    measured_at: str = ""  # ISO 8601, UTC
    seconds: float = 0.0  # that measuring took
    idle_bytes: int | None = None  # a process with torch and this library, and no model
    code_bytes: int | None = None  # what kernels add to it when they are first used
    prepared_bytes: int | None = None  # of the code made for one shape of a bfloat16 product
    waited: float | None = None  # share of the time that other work kept measuring from a core
    native: NativeRates | None = None  # None where there are no native kernels

    def product_seconds(self, dtype: str, inputs: int, outputs: int, rows: float) -> float:
        """Return the time of (rows, inputs) times a matrix (outputs, inputs).

        One row is bound by reading the matrix, many by arithmetic; between the numbers of rows
        that were measured, the rate is interpolated over both logarithms.
        """
        size = inputs * outputs
        alone = self._row_seconds(dtype, inputs, outputs)
        points = ((1, 2 * size / alone), *self.matmul[dtype])
        return 2 * rows * size / _between(points, rows)

    def _row_seconds(self, dtype: str, inputs: int, outputs: int) -> float:
        points = self.matvec[dtype]
        rate = _between([(side, rate) for side, _, rate in points], inputs)
        call = min(points, key=lambda point: abs(log2(point[0] / inputs)))[1]
        return call + inputs * outputs * BYTES[dtype] / rate

    def many(self, dtype: str, rows: int) -> float:
        """Return the FLOP/s of products with so many rows, 0 for as many as were measured."""
        return _between(self.matmul[dtype], rows) if rows else self.fastest(dtype)

    def fastest(self, dtype: str) -> float:
        """Return the FLOP/s of products with as many rows as were measured."""
        return self.matmul[dtype][-1][1]


def _between(points: Sequence[tuple[float, float]], place: float) -> float:
    """Return the value at a place, straight in both logarithms; the nearest beyond the ends."""
    if place <= points[0][0]:
        return points[0][1]
    for (left, low), (right, high) in pairwise(points):
        if place <= right:
            share = log2(place / left) / log2(right / left)
            return float(low * (high / low) ** share)
    return points[-1][1]


def measured_rates(refresh: bool = False) -> Rates | None:
    """Return this machine's rates, from the cache or, the first time, by measuring for seconds.

    Processes that ask at once wait for one to measure. A cache file that cannot be understood
    is set aside and measured anew, and one that cannot be written is done without; both warn,
    and so does a machine that starts no process to measure in: then there are no rates. Where
    other work was in the way, it is tried again a while later, and the better measurement kept.
    """
    machine = this_machine()
    path = rates_file(machine)
    if not refresh and (rates := _read(path)) and not _worth_another(rates):
        return rates
    with _alone(path):
        before = None if refresh else _read(path)
        if before is not None and not _worth_another(before):
            return before  # another process has just measured
        found = measure(machine)
        if found is None:
            return before
        if before is not None and (before.waited or 0.0) < (found.waited or 0.0):
            found = replace(before, measured_at=found.measured_at)
        _write(path, found)
    return found


def _worth_another(rates: Rates) -> bool:
    """Whether rates were taken among other work, and not just now."""
    if (rates.waited or 0.0) <= BUSY or not rates.measured_at:
        return False
    return datetime.now(UTC) - datetime.fromisoformat(rates.measured_at) > AGAIN


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


def measure(machine: Machine) -> Rates | None:
    """Measure now, in a process of its own, with the threads that a model would run with.

    While other work is in the way, a second and a third time; the least disturbed one counts.
    """
    started = time.perf_counter()
    tried: list[Rates] = []
    try:
        while len(tried) < TRIES and (not tried or (tried[-1].waited or 0.0) > BUSY):
            tried.append(_measure(machine))
    except (OSError, subprocess.SubprocessError, ValueError, TypeError, KeyError) as error:
        warnings.warn(f"this machine's speed is not known: {_told(error)}", stacklevel=3)
        return None
    return replace(
        min(tried, key=lambda one: one.waited or 0.0),
        disk_read=disk_read_rate(cache_folder()),
        measured_at=datetime.now(UTC).isoformat(timespec="seconds"),
        seconds=round(time.perf_counter() - started, 3),
    )


def _measure(machine: Machine) -> Rates:
    asked = {"threads": usable_threads(machine), "room": _room(machine)}
    found = _told_by(_PROBING, asked)
    return _rates_from({**found, "native": _told_by(_NATIVE_PROBING, asked)})


def _told_by(module: Sequence[str], asked: Mapping[str, int]) -> dict[str, object]:
    """Return what a measuring process of its own says: an object, or nothing."""
    command = [sys.executable, *module, json.dumps(asked)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=PATIENCE)
    told = json.loads(done.stdout)
    if not isinstance(told, dict):
        raise ValueError(f"{module[-1]} told {told!r:.60}")
    return told


def _room(machine: Machine) -> int:
    """Return the bytes of a buffer beyond every cache, and within an eighth of what is free."""
    wanted = max(128 * 2**20, 4 * (machine.last_level_cache or 0))
    return min(wanted, machine.memory_available // 8)


def _told(error: Exception) -> str:
    """Return the last thing that the measuring process said, or what went wrong instead."""
    said = error.stderr if isinstance(error, subprocess.CalledProcessError) else ""
    return (said or "").strip().rpartition("\n")[2] or f"{type(error).__name__}: {error}"


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
    by_type = {name: getattr(rates, name) for name in _BY_TYPE}
    if any(set(found) != set(DTYPES) or not all(found.values()) for found in by_type.values()):
        raise ValueError("dtypes are missing")
    if not isinstance(rates.threads, int) or not isinstance(rates.measured_at, str):
        raise ValueError("threads or date are missing")
    return replace(
        rates,
        matvec={
            name: tuple(
                (int(side), _positive(call, least=0.0), _positive(rate))
                for side, call, rate in points
            )
            for name, points in rates.matvec.items()
        },
        matmul={
            name: tuple((int(rows), _positive(rate)) for rows, rate in points)
            for name, points in rates.matmul.items()
        },
        attention={name: _positive(rate) for name, rate in rates.attention.items()},
        attention_step={name: _positive(rate) for name, rate in rates.attention_step.items()},
        moved={name: _positive(rate) for name, rate in rates.moved.items()},
        memory_read=_positive(rates.memory_read),
        operation_seconds=_positive(rates.operation_seconds),
        call_seconds=_positive(rates.call_seconds, least=0.0),
        seconds=_positive(rates.seconds, least=0.0),
        disk_read=None if rates.disk_read is None else _positive(rates.disk_read),
        idle_bytes=_count(rates.idle_bytes),
        code_bytes=_count(rates.code_bytes),
        prepared_bytes=_count(rates.prepared_bytes),
        waited=None if rates.waited is None else _positive(rates.waited, least=0.0),
        native=_native_from(kept.get("native")),
    )


def _native_from(kept: object) -> NativeRates | None:
    """Rebuild the rates of native kernels, as `_rates_from` does; nothing told is None."""
    if not kept:
        return None
    if not isinstance(kept, dict):
        raise ValueError(f"{kept!r:.60} are no rates")
    rates = NativeRates(**kept)
    if set(rates.read) != set(rates.products) or not {*LIKE.values()} <= set(rates.read):
        raise ValueError("encodings are missing")
    return NativeRates(
        kernels=str(rates.kernels),
        read={key: _points(points) for key, points in rates.read.items()},
        products={key: _points(points) for key, points in rates.products.items()},
        attention=_positive(rates.attention),
        paired_attention=_positive(rates.paired_attention),
        attention_step=_positive(rates.attention_step),
        moved=_positive(rates.moved),
        step_seconds=_positive(rates.step_seconds),
        idle_bytes=int(_positive(rates.idle_bytes)),
        waited=None if rates.waited is None else _positive(rates.waited, least=0.0),
    )


def _points(points: Sequence[tuple[int, float]]) -> tuple[tuple[int, float], ...]:
    if not points:
        raise ValueError("sizes are missing")
    return tuple((int(place), _positive(rate)) for place, rate in points)


def _count(found: object) -> int | None:
    return None if found is None else int(_positive(found, least=0.0))


def _positive(rate: object, least: float | None = None) -> float:
    """Return a number above 0, or from `least` on."""
    if not isinstance(rate, int | float) or not rate < float("inf"):
        raise ValueError(f"{rate!r} is no rate")
    if not (rate > 0 if least is None else rate >= least):
        raise ValueError(f"{rate!r} is no rate")
    return float(rate)


def _write(path: Path, rates: Rates) -> None:
    try:
        write_text(path, json.dumps(asdict(rates), indent=1) + "\n")
    except OSError as error:
        warnings.warn(f"measured rates are not kept: {error}", stacklevel=3)
