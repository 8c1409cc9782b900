"""Does a model fit on a machine, what takes the room, and the nearest thing that does fit.

From headers or a configuration alone: no weights are read and torch is not loaded.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TypedDict

from fathom.catalog.hardware import find as find_hardware
from fathom.checkpoint.description import Description
from fathom.errors import RequestError
from fathom.planning import costs
from fathom.planning.costs import BYTES
from fathom.planning.grouping import GROUPS, packs
from fathom.planning.machine import this_machine
from fathom.planning.native import Programs, predict_native
from fathom.planning.opened import native
from fathom.planning.predict import Prediction, predict
from fathom.planning.programs import opened_dtype, why_modules
from fathom.planning.storing import FROM_LARGE_TO_SMALL, bits_per_weight, stored_as
from fathom.planning.target import HERE, Target, target
from fathom.planning.training import Training, training_terms
from fathom.planning.why import reasons
from fathom.spec.encoder import Encoder
from fathom.spec.model import TextModel

USUAL = "bfloat16"  # what most weights are published in, where a configuration does not say
# A context, its libraries and their code on an accelerator, before the first tensor.
DEVICE_CONTEXT = 600_000_000
# What copies from a host's memory reach over PCI Express 4.0 with 16 lanes, of 31.5 GB/s.
HOST_LINK = 25e9
_SHARES = (2, 4, 8, 16)  # a context or a batch that does not fit is tried at these parts of it


class Wanted(TypedDict, total=False):
    """What may be asked of a fit; see `fit`."""

    on: str
    context: int | None
    batch: int
    dtype: str | None
    quant: str | None
    train: Training | None


@dataclass(frozen=True)
class Remedy:
    """A change after which the model fits, and what that costs."""

    change: str
    cost: str
    total_bytes: int


@dataclass(frozen=True)
class Fit:
    """A prediction held against a machine's memory.

    `reasons` gives each term's formula with its numbers. `load_seconds` is for weights that no
    cache holds yet; None where the disk was not measured.
    """

    name: str
    machine: str
    memory_bytes: int  # that the model may take there
    prediction: Prediction
    weights: str  # how they are counted, in words
    fits: bool
    spare_bytes: int  # negative where it does not fit
    verdict: str
    remedies: tuple[Remedy, ...]
    load_seconds: float | None
    runs_as: str  # the way that is predicted, and why it is no native program where it is none
    assumptions: tuple[str, ...]
    reasons: Mapping[str, str]


def fit(
    description: Description,
    *,
    name: str = "",
    on: str = HERE,
    context: int | None = None,
    batch: int = 1,
    dtype: str | None = None,
    quant: str | None = None,
    train: Training | None = None,
) -> Fit:
    """Return whether a checkpoint fits on a machine, term by term.

    Args:
        name: what the reader calls it.
        on: hardware of the catalogue by any usual name, or "this" for the machine at hand.
        context: tokens per sequence; by default the model's own, or the 8,192 that are usual.
        batch: sequences at once.
        dtype: the type to compute in; by default as the configuration says.
        quant: weights counted as this encoding packs them, such as "Q4_K_M"; or packed when they
            are loaded, as one of "int8" and "int4" (`planning.grouping`).
        train: "full" or "lora", to count what training needs as well.

    Raises:
        NotFoundError: for unknown hardware, with the nearest names.
        RequestError: for numbers out of range, or an unknown type or encoding.
    """
    spec = description.text
    question = _Question(
        description=description,
        spec=spec,
        where=target(on, None, USUAL if dtype is None else dtype),
        device=on != HERE and not is_processor(on),
        context=_context(spec, context),
        batch=_batch(batch),
        dtype=_dtype(description, dtype),
        quant=quant,
        train=train,
        modules=_why_modules(spec, on, dtype, train),
    )
    return _answer(question, name or str(description.path), _stored(description))


USUAL_CONTEXT = 8192


@dataclass(frozen=True)
class _Question:
    description: Description
    spec: TextModel
    where: Target
    device: bool
    context: int
    batch: int
    dtype: str
    quant: str | None
    train: Training | None
    modules: str | None  # why it runs as modules; None where it is a native program

    @property
    def room(self) -> int:
        """Bytes that may be taken: what is free here, or all of a named machine."""
        return this_machine().memory_available if self.where.here else self.where.memory

    def program(self) -> Programs | None:
        """Return the native program that opening would make; None where modules run instead."""
        if self.modules is not None:
            return None
        dtype = self.dtype
        if self.quant is not None and self.quant in BYTES:
            dtype = self.quant
        elif self.description.contents is not None and (
            self.quant is None or packs(self.description, self.quant)
        ):
            dtype = opened_dtype(self.description.contents)
        return native(self.description, self.spec, dtype, self.where.rates, self.quant)

    def predicted(self) -> Prediction:
        program = self.program()
        if program is not None:
            return predict_native(program, self.context, self.batch)
        return self._of_modules()

    def _of_modules(self) -> Prediction:
        found = predict(
            self.spec,
            dtype=self.dtype,
            context=self.context,
            batch=self.batch,
            rates=self.where.rates,
        )
        terms = dict(found.terms)
        if self.quant is not None:
            terms["weights"] = costs.weight_bytes(self.spec, stored_as(self.spec, self.quant))
        if self.device:
            terms.pop("runtime")
            terms.pop("prepared")
            terms["accelerator context"] = DEVICE_CONTEXT
        if self.train is not None:
            tokens = self.batch * self.context
            terms |= training_terms(self.spec, self.train, self.dtype, tokens)
            terms.pop("state")
        return replace(found, terms=terms)


def _answer(question: _Question, name: str, stored: int | None) -> Fit:
    program = question.program()
    found = question.predicted()
    spare = question.room - found.total_bytes
    disk = question.where.rates.disk_read if question.where.rates else None
    return Fit(
        name=name,
        machine=question.where.name,
        memory_bytes=question.room,
        prediction=found,
        weights=_weights(question, program),
        fits=spare >= 0,
        spare_bytes=spare,
        verdict=verdict(spare, found.total_bytes),
        remedies=() if spare >= 0 else tuple(_remedies(question, found)),
        load_seconds=stored / disk if stored is not None and disk else None,
        runs_as=_runs_as(question.modules, program),
        assumptions=tuple(_assumptions(question)),
        reasons=_reasons(question, program, found),
    )


def _reasons(question: _Question, program: Programs | None, found: Prediction) -> Mapping[str, str]:
    """Return a line per term and rate, of the way that is predicted."""
    if program is not None:
        return program.reasons(found)
    return reasons(question.spec, found, question.where.rates, question.quant)


def _why_modules(spec: TextModel, on: str, dtype: str | None, train: Training | None) -> str | None:
    """Return why PyTorch's modules would run it, by the rule that opening goes by."""
    if train is not None:
        return "it is trained"
    if on != HERE:
        return f"the kernels for {on} were not measured"
    return why_modules(spec, device=this_machine().device, dtype_asked=dtype)


def _weights(question: _Question, program: Programs | None) -> str:
    """Return how weights are counted, in words."""
    stored = question.quant is None and question.description.contents is not None
    return "as stored" if stored and program is not None else question.quant or question.dtype


def _runs_as(modules: str | None, program: Programs | None) -> str:
    if program is None:
        return f"PyTorch modules, because {modules}"
    return f"native program, most of it {program.encoding}"


def verdict(spare: int, total: int) -> str:
    """Return in words whether so many bytes fit with so many to spare."""
    if spare < 0:
        return f"does not fit: {-spare / 1e9:.2f} GB too much"
    if spare < total / 20:
        return f"fits, with {spare / 1e9:.2f} GB to spare: tight"
    return f"fits with {spare / 1e9:.2f} GB to spare"


def _remedies(question: _Question, found: Prediction) -> Iterator[Remedy]:
    """Yield one change at a time that is enough, and as the last one a part left elsewhere."""
    for change, cost, asked in _changes(question):
        total = asked.predicted().total_bytes
        if total <= question.room:
            yield Remedy(change, cost, total)
    over = found.total_bytes - question.room
    layers = len(question.spec.layers)
    each = costs.weight_bytes(question.spec.layers, costs.computed_in(question.dtype)) / layers
    away = -int(-over // each)
    if away < layers:
        change = (
            f"{away} of {layers} layers kept {'in host memory' if question.device else 'on disk'}"
        )
        yield Remedy(change, _fetching(question, away * each), question.room)


def _fetching(question: _Question, count: float) -> str:
    """Return what it costs each token to wait for so many bytes of weights, in words."""
    rates = question.where.rates
    if question.device:
        speed, through = HOST_LINK, "over PCI Express 4.0"
    elif rates is not None and rates.disk_read is not None:
        speed, through = rates.disk_read, "from the disk"
    else:
        return "each token waits for their weights to be read; the disk has not been measured"
    seconds, rate = count / speed, f"{speed / 1e9:.2g} GB/s"
    return f"{seconds:.2g} s more per token, to read {count / 1e9:.3g} GB at {rate} {through}"


def _changes(question: _Question) -> Iterator[tuple[str, str, _Question]]:
    """Yield changes worth trying, of each kind the mildest that is enough."""
    first = 0 if question.dtype == "float32" else 1
    smaller = FROM_LARGE_TO_SMALL[first:] if question.quant is None else ()
    if question.modules is not None:
        smaller = tuple(name for name in smaller if name not in GROUPS)  # only programs have those
    kinds = (
        [_packed(question, name) for name in smaller],
        [
            (
                f"a context of {question.context // part:,}",
                f"texts of a {part}th of the length" if part > 2 else "texts of half the length",
                replace(question, context=question.context // part),
            )
            for part in _SHARES
            if question.context // part >= 512
        ],
        [
            (
                f"a batch of {question.batch // part}",
                "fewer sequences at once",
                replace(question, batch=question.batch // part),
            )
            for part in _SHARES
            if question.batch // part >= 1
        ],
    )
    for kind in kinds:
        enough = (one for one in kind if one[2].predicted().total_bytes <= question.room)
        yield from [one for one in (next(enough, None),) if one is not None]


def _packed(question: _Question, name: str) -> tuple[str, str, _Question]:
    if name in BYTES:
        return f"--dtype {name}", "rounded to 8 bits of mantissa", replace(question, dtype=name)
    cost = f"{bits_per_weight(question.spec, name):.2f} bits per weight, kept packed"
    change = f"--quant {name}" if name in GROUPS else f"weights in {name}"
    return change, cost, replace(question, quant=name)


def _assumptions(question: _Question) -> Iterator[str]:
    yield "1 GB is 10^9 bytes, 1 GiB is 2^30"
    yield f"speed rests on {question.where.basis}"
    if question.quant in GROUPS and question.modules is not None:
        yield f"`fathom run` packs no weights as {question.quant} here: {question.modules}"
    elif question.quant is not None and question.modules is not None:
        yield (
            f"weights counted as {question.quant} packs them; `fathom run` turns them into"
            f" {question.dtype} as it loads"
        )
    if isinstance(question.spec, Encoder):
        yield "a text is read whole, in one pass"
    if question.device:
        yield f"{DEVICE_CONTEXT / 1e9:.1f} GB go to the accelerator's own context"
    if question.train is not None:
        yield "training with Adam, without recomputing activations"


def _context(spec: TextModel, asked: int | None) -> int:
    if asked is None:
        return min(spec.context, USUAL_CONTEXT)
    if not 1 <= asked <= spec.context:
        raise RequestError(
            f"a context of {asked:,}: the model takes 1 to {spec.context:,} positions"
        )
    return asked


def _batch(asked: int) -> int:
    if asked < 1:
        raise RequestError(f"a batch of {asked:,}: there must be at least 1 sequence")
    return asked


def _dtype(description: Description, asked: str | None) -> str:
    named = description.config.get("dtype", description.config.get("torch_dtype"))
    if asked is None:
        return named if isinstance(named, str) and named in BYTES else USUAL
    if asked not in BYTES:
        raise RequestError(f"dtype '{asked}' is not one of {', '.join(BYTES)}")
    return asked


def is_processor(on: str) -> bool:
    """Whether hardware of the catalogue is no accelerator with memory of its own."""
    found = find_hardware(on)
    return found.kind == "processor"


def _stored(description: Description) -> int | None:
    return None if description.contents is None else description.contents.size
