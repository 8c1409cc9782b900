"""Does a model that works in stages fit on a machine, how long will it take, and what would fit.

From headers or a configuration alone: no weights are read and torch is not loaded.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Unpack

from fathom.checkpoint.description import Description
from fathom.planning import fit as of_text
from fathom.planning.asking import (
    dtype_of,
    prompt_notes,
    refuse_text_options,
    require_pipeline,
    require_work,
    work_text,
)
from fathom.planning.costs import BYTES
from fathom.planning.fit import DEVICE_CONTEXT, Remedy, Wanted
from fathom.planning.machine import this_machine
from fathom.planning.native_pair import NativePair
from fathom.planning.native_speech import native_speech, speech_reasons, written_natively
from fathom.planning.programs import why_modules
from fathom.planning.stages import StagedPrediction, beside, held, in_turns, predict_stages, settled
from fathom.planning.target import HERE, Target, target
from fathom.planning.whole_layers import as_run, whole_parts
from fathom.spec.parts import children, count
from fathom.spec.speech import Speech
from fathom.spec.work import Pipeline, Staged, Work

_SHARES = (2, 4, 8)  # a batch or a side that does not fit is tried at these parts of it
_SMALLEST = 64  # pixels of a side that is worth trying


@dataclass(frozen=True)
class StagedFit:
    """A prediction held against a machine's memory.

    `reasons` gives each term's formula with its numbers. `load_seconds` is for weights that no
    cache holds yet; None where the disk was not measured.
    """

    name: str
    machine: str
    memory_bytes: int  # that the model may take there
    prediction: StagedPrediction
    fits: bool
    spare_bytes: int  # negative where it does not fit
    verdict: str
    remedies: tuple[Remedy, ...]
    load_seconds: float | None
    assumptions: tuple[str, ...]
    reasons: Mapping[str, str]


def fit_stages(
    description: Description,
    spec: Staged,
    *,
    name: str = "",
    work: Work | None = None,
    resting: bool = False,
    **wanted: Unpack[Wanted],
) -> StagedFit:
    """Return whether a checkpoint fits on a machine, component by component.

    Args:
        description: the checkpoint, and `spec`, what it describes.
        name: what the reader calls it.
        work: what is asked for; what it leaves open is as usual.
        resting: count for components that are in memory only while they work.
        wanted: `on`, `batch` and `dtype` as `planning.fit.fit` says; the rest is refused.

    Raises:
        NotFoundError: for unknown hardware, with the nearest names.
        RequestError: for work that the model does not do, an unknown type, or what is asked of
            text models only.
    """
    on = wanted.get("on", HERE)
    refuse_text_options(spec, **{name: wanted.get(name) for name in ("context", "quant", "train")})
    asked = replace(work or Work(), batch=wanted.get("batch", 1))
    require_work(spec, asked)
    if resting:
        require_pipeline(spec)
    counted, notes = dtype_of(description, wanted.get("dtype"))
    question = _Question(
        spec=spec,
        where=target(on, None, counted),
        here=on == HERE,
        device=on != HERE and not of_text.is_processor(on),
        dtype=counted,
        work=settled(asked, spec.usual),
        resting=resting,
        programs=_programs(description, spec, on, counted, wanted.get("dtype")),
    )
    stored = None if description.contents is None else description.contents.size
    return _answer(question, name or str(description.path), stored, notes)


def _programs(
    description: Description, spec: Staged, on: str, dtype: str, asked: str | None
) -> NativePair | None:
    """Return the native programs that would write, by the rule that opening goes by."""
    if on != HERE or not isinstance(spec, Speech):
        return None
    if why_modules(spec, device=this_machine().device, dtype_asked=asked) is not None:
        return None
    return native_speech(description, spec, dtype, target(on, None, dtype).rates)


@dataclass(frozen=True)
class _Question:
    spec: Staged
    where: Target
    here: bool
    device: bool
    dtype: str
    work: Work
    resting: bool
    programs: NativePair | None = None  # that write what a model of speech heard

    @property
    def room(self) -> int:
        """Bytes that may be taken: what is free here, or all of a named machine."""
        return this_machine().memory_available if self.here else self.where.memory

    @property
    def running(self) -> Staged:
        """The spec of what would run: here with layers that run whole."""
        if not self.here:
            return self.spec
        return as_run(self.spec, device=this_machine().device, dtype=self.dtype)

    def predicted(self) -> StagedPrediction:
        rates = self.where.rates
        if rates is not None and self.dtype not in rates.matmul:
            rates = None  # nothing is known of this type's speed there
        found = predict_stages(self.running, dtype=self.dtype, work=self.work, rates=rates)
        if self.resting and isinstance(self.spec, Pipeline):
            found = in_turns(found, self.spec)
        running = self.running
        if self.programs is not None and isinstance(running, Speech):
            found = written_natively(found, running, self.programs)
        if not self.device:
            return found
        terms = {name: size for name, size in found.terms.items() if name != "runtime"}
        return replace(found, terms={**terms, "accelerator context": DEVICE_CONTEXT})


def _answer(
    question: _Question, name: str, stored: int | None, notes: tuple[str, ...]
) -> StagedFit:
    found = question.predicted()
    spare = question.room - found.total_bytes
    disk = question.where.rates.disk_read if question.where.rates else None
    return StagedFit(
        name=name,
        machine=question.where.name,
        memory_bytes=question.room,
        prediction=found,
        fits=spare >= 0,
        spare_bytes=spare,
        verdict=of_text.verdict(spare, found.total_bytes),
        remedies=() if spare >= 0 else tuple(_remedies(question)),
        load_seconds=stored / disk if stored is not None and disk else None,
        assumptions=(*notes, *prompt_notes(question.spec, question.work), *_assumptions(question)),
        reasons=_reasons(question, found),
    )


def _remedies(question: _Question) -> Iterator[Remedy]:
    """Yield changes that are enough, of each kind the mildest."""
    kinds = (_resting, _smaller_types, _smaller_batches, _smaller_sides)
    for kind in (each(question) for each in kinds):
        for change, cost, asked in kind:
            total = asked.predicted().total_bytes
            if total <= question.room:
                yield Remedy(change, cost, total)
                break


def _resting(question: _Question) -> Iterator[tuple[str, str, _Question]]:
    if isinstance(question.spec, Pipeline) and not question.resting:
        cost = "each component is read again when its turn comes"
        yield "--resting", cost, replace(question, resting=True)


def _smaller_types(question: _Question) -> Iterator[tuple[str, str, _Question]]:
    if question.dtype == "float32":
        smaller = replace(question, dtype="bfloat16", programs=None)
        yield "--dtype bfloat16", "rounded to 8 bits of mantissa", smaller


def _smaller_batches(question: _Question) -> Iterator[tuple[str, str, _Question]]:
    for share in _SHARES:
        batch = question.work.batch // share
        if batch:
            work = replace(question.work, batch=batch)
            yield f"--batch {batch}", "fewer side by side", replace(question, work=work)


def _smaller_sides(question: _Question) -> Iterator[tuple[str, str, _Question]]:
    height, width = question.work.height, question.work.width
    if height is None or width is None:
        return
    for share in _SHARES:
        if min(height, width) // share >= _SMALLEST:
            work = replace(question.work, height=height // share, width=width // share)
            change = f"--size {width // share} {height // share}"
            yield change, "a coarser picture", replace(question, work=work)


def _assumptions(question: _Question) -> Iterator[str]:
    yield "1 GB is 10^9 bytes, 1 GiB is 2^30"
    yield f"seconds rest on {question.where.basis}"
    if question.resting:
        yield "components lie in memory only while they work; reading them takes time of its own"
    else:
        yield "all components lie in memory at once, and one works at a time"
    if question.where.rates is not None:
        yield (
            "a pass takes as long as its arithmetic, reading its weights, what its numbers go"
            " through beside, and calling its operations"
        )
    if question.programs is not None:
        packed = question.programs.encoding
        yield f"what is heard is written by a native program, most of it {packed}"
    if whole := sum(1 for _ in whole_parts(question.running)):
        layers = "1 layer runs" if whole == 1 else f"{whole} layers run"
        yield f"{layers} whole, each a call of the native kernels with packed weights"
    if question.device:
        yield f"{DEVICE_CONTEXT / 1e9:.1f} GB go to the accelerator's own context"


def _reasons(question: _Question, found: StagedPrediction) -> Mapping[str, str]:
    """Return a line per term: what is multiplied with what."""
    stages = question.running.stages(found.work)
    number = f"{BYTES[found.dtype]} bytes ({found.dtype})"
    workspace = found.terms["workspace"]
    largest = next(stage for stage in stages if held(stage, found.dtype) == workspace)
    kernels = beside(largest, found.dtype)
    told = {
        f"weights: {name}": f"{count(part):,} numbers in {found.dtype}, exact ones in float32"
        for name, part in children(question.spec)
        if f"weights: {name}" in found.terms
    }
    kept = [f"{stage.kept:,} of {stage.name}" for stage in stages if stage.kept]
    if question.programs is not None and isinstance(question.spec, Speech):
        natively = speech_reasons(question.spec, question.programs, found)
        told |= {name: text for name, text in natively.items() if name in found.terms}
    return {
        "kept": f"({' + '.join(kept) or 'nothing'}) × {number}: {work_text(found.work)}",
        **told,
        "workspace": f"{largest.live:,} × {number}, the largest moment: in {largest.name}"
        + (f"; {kernels:,} bytes of kernels" if kernels else ""),
        **{
            name: text
            for name, text in {
                "runtime": "the process with torch and its kernels in use, no model yet",
                "accelerator context": "the driver's own memory on the device: assumed",
            }.items()
            if name in found.terms
        },
    }
