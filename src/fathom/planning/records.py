"""One measurement, with all that is needed to believe or repeat it: what ran, where, how, how fast.

No prompt and no answer is part of a record: only counts, seconds and bytes.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Literal

from fathom import __version__
from fathom.checkpoint.description import Description
from fathom.planning.machine import Machine, this_machine
from fathom.planning.probe import usable_threads
from fathom.spec.classes import model_class
from fathom.spec.parts import active, count

Kind = Literal["run", "bench"]

# Names of figures. The unit ends the name; a figure of memory begins with `memory_` and is in
# bytes: `memory_total` is the most that the process held, the sum of the terms on a processor;
# `memory_growth` is that without the idle runtime; `memory_allocator_peak` is the most that
# torch's own allocator counted on an accelerator, to which the terms add up there.
DECODE = "decode_tokens_per_second"
PREFILL = "prefill_tokens_per_second"
FIRST = "seconds_to_first_token"
LOAD = "load_seconds"
TEXTS = "texts_per_second"
PASS_SECONDS = "_pass_seconds"  # after the name of a stage: of one pass of it
MEMORY = "memory_"
TOTAL = "memory_total"
GROWTH = "memory_growth"
ALLOCATOR = "memory_allocator_peak"
LOADING = "memory_loading_peak"
WAITED = "waited_share"  # of its time, that the process waited for a core


@dataclass(frozen=True, slots=True)
class Figure:
    """One quantity. `spread` is (largest - smallest) / median over the rounds of a bench."""

    predicted: float | None = None
    measured: float | None = None
    spread: float | None = None

    @property
    def ratio(self) -> float | None:
        """Measured by predicted; None where either is unknown or nothing."""
        return self.measured / self.predicted if self.measured and self.predicted else None


@dataclass(frozen=True, slots=True)
class Subject:
    """The model. `digest` identifies it by its headers and configuration, whatever its name."""

    name: str
    digest: str
    architecture: str
    model_class: str
    parameters: int
    active_parameters: int  # that one token passes
    encoding: str  # in which most of its bytes are stored


@dataclass(frozen=True, slots=True)
class Settings:
    """How it ran. `context` is in positions per sequence, tokens are counted per sequence."""

    dtype: str
    device: str  # torch's word for it: "cpu", "cuda", "mps"
    threads: int
    context: int
    batch: int = 1
    prompt_tokens: int = 0
    new_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Software:
    """What ran it. `formula` changes with the code that predicts: see `formula`."""

    fathom: str
    commit: str | None
    torch: str
    formula: str


@dataclass(frozen=True, slots=True)
class Record:
    """One measurement. Predictions in it are as the formulas gave them, never calibrated."""

    kind: Kind
    subject: Subject
    settings: Settings
    figures: Mapping[str, Figure]
    machine: str
    software: Software
    time: str  # ISO 8601, UTC


def new_record(kind: Kind, model: Subject, how: Settings, figures: Mapping[str, Figure]) -> Record:
    """Return the record of something measured here and now."""
    return Record(
        kind=kind,
        subject=model,
        settings=how,
        figures=figures,
        machine=machine_identity(this_machine()),
        software=this_software(),
        time=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def subject(name: str, description: Description) -> Subject:
    """Return what a record says of a checkpoint."""
    spec, contents = description.spec, description.contents
    stored: dict[str, int] = {}
    for tensor in () if contents is None else contents.tensors.values():
        stored[tensor.encoding] = stored.get(tensor.encoding, 0) + tensor.stored
    return Subject(
        name=name,
        digest=header_digest(description),
        architecture=description.dialect.name,
        model_class=model_class(spec)[0],
        parameters=count(spec),
        active_parameters=active(spec),
        encoding=max(stored, key=lambda encoding: stored[encoding]) if stored else "",
    )


def header_digest(description: Description) -> str:
    """Return a hexadecimal SHA-256 over configuration and headers; weights are not read."""
    digest = hashlib.sha256()
    digest.update(json.dumps(description.config, sort_keys=True, default=str).encode())
    contents = description.contents
    for name, tensor in sorted(contents.tensors.items() if contents is not None else ()):
        digest.update(f"\n{name} {tensor.encoding} {tensor.shape}".encode())
    return digest.hexdigest()


def settings(
    dtype: str, device: str, context: int, batch: int = 1, *, prompt: int = 0, new: int = 0
) -> Settings:
    """Return settings with the threads that operations use on this machine."""
    return Settings(dtype, device, usable_threads(this_machine()), context, batch, prompt, new)


def machine_identity(machine: Machine) -> str:
    """Return a text equal for machines on which the same measurement should come out."""
    devices = ", ".join(device.name for device in machine.accelerators)
    return f"{machine.identity}; {devices}" if devices else machine.identity


@cache
def this_software() -> Software:
    """Return the versions of what runs here."""
    return Software(__version__, _commit(), version("torch"), formula())


@cache
def formula() -> str:
    """Return a digest of the source that predictions are made by.

    A measurement says how far off a prediction was only as long as the formula is the same.
    """
    digest = hashlib.sha256()
    root = Path(__file__).parents[1]
    for file in sorted([*(root / "spec").glob("*.py"), *(root / "planning").glob("*.py")]):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def _commit() -> str | None:
    """Return the commit of the checkout that this package lies in; None for an installed one."""
    root = Path(__file__).parents[3]
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "rev-parse", "--short=12", "HEAD"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=5)
    except (OSError, subprocess.SubprocessError):
        return None  # no git here, or a checkout of somebody else: the version has to do
    return done.stdout.strip()
