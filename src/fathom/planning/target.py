"""The machine that a model is chosen for: this one as measured, or one known by its data sheet."""

from __future__ import annotations

from dataclasses import dataclass

from fathom.catalog import hardware
from fathom.errors import RequestError
from fathom.planning.costs import BYTES
from fathom.planning.machine import this_machine
from fathom.planning.probe import Rates, cached_rates

HERE = "this"
# Bytes that one number of a matrix takes as it is stored; blocks of 32 with a scale of 16 bits.
STORED = {**BYTES, "q8_0": 34 / 32, "q4_0": 18 / 32}
COMPUTED = "bfloat16"  # what blocks are turned into


@dataclass(frozen=True)
class Target:
    """Where a model shall run.

    Attributes:
        memory: bytes that it may take.
        rates: None where nothing has been measured, so that no speed can be predicted.
        basis: what the rates rest on, in words.
    """

    name: str
    memory: int
    rates: Rates | None
    basis: str


def target(machine: str | None, memory: int | None, stored: str) -> Target:
    """Return the machine named, or this one, with so much memory as is said or as it has.

    Raises:
        NotFoundError: for unknown hardware.
        RequestError: for hardware that is sold with any amount of memory, when none is said.
    """
    if machine is None or machine == HERE:
        return _here(memory, stored)
    found = hardware.find(machine)
    total = memory if memory is not None else found.memory
    if total is None:
        raise RequestError(f"{found.name} takes any memory; say how much with --memory 64GB")
    return Target(
        name=found.name,
        memory=total,
        rates=data_sheet_rates(found, stored),
        basis=f"the data sheet's peak ({found.source.title}, {found.source.date}): an upper bound",
    )


def _here(memory: int | None, stored: str) -> Target:
    machine, rates = this_machine(), cached_rates()
    total = machine.memory_limit if memory is None else memory
    if rates is None:
        basis = "nothing yet: the first `fathom run` measures this machine in two seconds"
    elif stored not in BYTES:
        rates, basis = None, f"nothing: reading {stored} has not been measured on this machine"
    else:
        basis = f"rates measured here on {rates.measured_at[:10]}"
    return Target(f"this machine ({machine.cpu})", total, rates, basis)


def data_sheet_rates(entry: hardware.Hardware, stored: str) -> Rates | None:
    """Return the rates of hardware at its stated peak; None where it states no arithmetic.

    Weights in blocks are read at the memory's rate, counted in bytes of what they become.
    """
    dtype = computed_dtype(stored)
    arithmetic = entry.rates.get(dtype) or entry.rates.get("float32")
    if arithmetic is None:
        return None
    read = entry.bandwidth * BYTES[dtype] / STORED[stored]
    return Rates(
        threads=0,
        memory_read=entry.bandwidth,
        matvec={dtype: ((1, read),)},
        matmul={dtype: arithmetic},
        operation_seconds=0.0,
        disk_read=None,
        measured_at=entry.source.date,
        seconds=0.0,
    )


def computed_dtype(stored: str) -> str:
    """Return the type in which weights of a stored type are computed.

    Raises:
        RequestError: for an unknown type.
    """
    if stored not in STORED:
        raise RequestError(f"weights '{stored}' are none of {', '.join(STORED)}")
    return stored if stored in BYTES else COMPUTED
