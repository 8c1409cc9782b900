"""The machine that a model is chosen for: this one as measured, or one known by its data sheet."""

from __future__ import annotations

from dataclasses import dataclass

from fathom.catalog import hardware
from fathom.checkpoint.encodings import ENCODINGS
from fathom.errors import RequestError, nearest
from fathom.planning.contention import BUSY
from fathom.planning.costs import BYTES
from fathom.planning.machine import this_machine
from fathom.planning.probe import Rates, cached_rates
from fathom.planning.storing import MIXES, known_names

HERE = "this"
COMPUTED = "bfloat16"  # what blocks are turned into


@dataclass(frozen=True)
class Target:
    """Where a model shall run.

    Attributes:
        memory: bytes that it may take.
        rates: None where nothing has been measured, so that no speed can be predicted.
        basis: what the rates rest on, in words.
        here: whether it is the machine at hand, where the way that opening takes is known.
    """

    name: str
    memory: int
    rates: Rates | None
    basis: str
    here: bool = False


def target(machine: str | None, memory: int | None, stored: str) -> Target:
    """Return the machine named, or this one, with so much memory as is said or as it has.

    Raises:
        NotFoundError: for unknown hardware.
        RequestError: for hardware that is sold with any amount of memory, when none is said, and
            for weights under an unknown name.
    """
    computed_dtype(stored)
    if machine is None or machine == HERE:
        return _here(memory, stored)
    found = hardware.find(machine)
    total = memory if memory is not None else found.memory
    if total is None:
        raise RequestError(f"{found.name} takes any memory; say how much with --memory 64GB")
    return Target(
        name=found.name,
        memory=total,
        rates=data_sheet_rates(found, computed_dtype(stored)),
        basis=f"the data sheet's peak ({found.source.title}, {found.source.date}): an upper bound",
    )


def _here(memory: int | None, stored: str) -> Target:
    machine, rates = this_machine(), cached_rates()
    total = machine.memory_limit if memory is None else memory
    if rates is None:
        basis = "nothing yet: the first `fathom run` measures this machine in a few seconds"
    elif stored not in BYTES and rates.native is None:
        rates, basis = None, f"nothing: reading {stored} has not been measured on this machine"
    else:
        basis = f"rates measured here on {rates.measured_at[:10]}"
        if (rates.waited or 0.0) > BUSY:
            basis += ", while other work kept this machine busy: too low"
    return Target(f"this machine ({machine.cpu})", total, rates, basis, here=True)


def data_sheet_rates(entry: hardware.Hardware, dtype: str) -> Rates | None:
    """Return the rates of hardware at its stated peak; None where it states no arithmetic."""
    arithmetic = entry.rates.get(dtype) or entry.rates.get("float32")
    if arithmetic is None:
        return None
    rows = max(2.0, arithmetic * BYTES[dtype] / (2 * entry.bandwidth))  # as slow as reading
    return Rates(
        threads=0,
        memory_read=entry.bandwidth,
        matvec={dtype: ((1, 0.0, entry.bandwidth),)},
        matmul={dtype: ((rows, arithmetic),)},
        measured_at=entry.source.date,
    )


def computed_dtype(stored: str) -> str:
    """Return the type in which weights stored under a name are computed.

    Raises:
        RequestError: for an unknown name, with the nearest.
    """
    if stored in BYTES:
        return stored
    known = known_names()
    if stored.upper() not in known:
        raise RequestError(
            f"weights '{stored}' are no type, encoding or mix.{nearest(stored.upper(), known)} "
            f"Usual are {', '.join((*BYTES, *MIXES, 'Q8_0', 'Q4_0'))}"
        )
    return COMPUTED


def bytes_per_number(stored: str) -> float:
    """Return the bytes that one number of a large matrix takes under a name."""
    if stored in BYTES:
        return BYTES[stored]
    mix = MIXES.get(stored.upper())
    encoding = ENCODINGS[stored.upper() if mix is None else mix.most]
    return encoding.block_bytes / encoding.block_elements
