"""From a name to a model in memory, or to another file."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

from fathom.catalog.starters import sources
from fathom.checkpoint.adapter_base import locate_adapted
from fathom.checkpoint.adapters import Adapter
from fathom.checkpoint.description import Description
from fathom.checkpoint.description import describe as describe_files
from fathom.checkpoint.progress import QUIET, Progress, working
from fathom.checkpoint.sources.locate import Resolver
from fathom.checkpoint.sources.location import Location
from fathom.errors import DoesNotFitError, RequestError
from fathom.library.cards import find_tokenizer, make_card, without_vocabulary
from fathom.library.describing import locate
from fathom.library.kinds import kind
from fathom.library.loading import Loading
from fathom.library.model import Model
from fathom.library.text import TextModel, text_of
from fathom.planning.asking import require_pipeline
from fathom.planning.costs import BYTES, computed_in, weight_bytes
from fathom.planning.grouping import require_packing
from fathom.planning.machine import this_machine
from fathom.planning.memory_watch import give_back
from fathom.planning.predict import predict, runtime_bytes
from fathom.planning.probe import usable_threads
from fathom.planning.programs import opened_dtype, why_modules
from fathom.planning.stages import in_turns, predict_stages
from fathom.planning.whole_layers import why_plain
from fathom.spec.model import Model as Spec
from fathom.spec.model import text_model
from fathom.spec.speech import Speech
from fathom.spec.work import Pipeline, Staged

if TYPE_CHECKING:
    from fathom.checkpoint.naming import Assignment
    from fathom.library.speech import SpeechModel
    from fathom.ops.program import Program
    from fathom.ops.program_pair import ProgramPair


REST = "let components rest while others work with --resting, or "


def convert(
    name: str,
    folder: str | Path,
    *,
    dtype: str = "float32",
    allow_pickle: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Write a checkpoint as a safetensors folder, which appears whole or not at all.

    Tensors keep their names and types; those of a GGUF file become the publisher's, in `dtype`.

    Raises:
        NotFoundError, FetchError, ModelFileError: as `describe`.
        RequestError: the folder exists already.
        WriteError: the disk is full or cannot be written; nothing is left behind.
    """
    from fathom.checkpoint.conversion import convert as rewrite
    from fathom.checkpoint.headers import read_headers

    path = locate(name, allow_pickle=allow_pickle, progress=progress).path
    contents = read_headers(path, allow_pickle=allow_pickle)
    if contents.format == "gguf":
        open(name, dtype=dtype, device="cpu", progress=progress).save(folder)
    else:
        source = path if path.is_dir() else path.parent
        rewrite(contents, source, Path(folder), progress or QUIET)
    return Path(folder)


def open(  # noqa: PLR0913  # a keyword for each thing that may be asked
    name: str,
    *,
    adapter: str | None = None,
    dtype: str | None = None,
    device: str | None = None,
    context: int | None = None,
    quant: str | None = None,
    resting: bool = False,
    allow_pickle: bool = False,
    progress: Progress | None = None,
) -> Model:
    """Open a model: a catalogue name, a hub id, a folder, or a weights file.

    The name of a LoRA adapter opens the base that it states, if that is on this machine.

    Args:
        adapter: a LoRA adapter to put on the model: a folder as PEFT saves it, or a hub id.
        dtype: "float32", "bfloat16" or "float16"; by default what the weights were published in,
            and bfloat16 for quantised ones where the processor computes in it. On the processor
            an encoder's vectors are made with float32 rounded to bfloat16, unless that is asked.
        device: such as "cpu" or "cuda:0"; by default an accelerator if there is one.
        context: the most positions to make room for; by default the model's own number.
        quant: "int8" or "int4", to have the matrices of a native program as integers that share a
            scale in groups of 32 (`planning.grouping`); by default they stay as they are stored.
        resting: of a pipeline, have each component in memory only while it works, and read it
            again at its next turn.

    Raises:
        NotFoundError, FetchError: as `locate`.
        RequestError: for an unknown type, a model whose weights cannot be packed as `quant`, or
            one without components that could rest.
        ModelFileError, ConfigError, UnknownArchitectureError, TensorMismatchError: for files that
            cannot be understood.
        DoesNotFitError: when the weights need more memory than there is.
    """
    begun = time.perf_counter()
    shown = progress or QUIET
    location, adapted = locate_adapted(name, adapter, Resolver(sources(), shown, allow_pickle))
    description = describe_files(location.path, allow_pickle=allow_pickle)
    assignments = description.assignments()
    spec = _bounded(description.spec, context)
    asked, dtype, device = dtype, _dtype(description, dtype), _device(device)
    reason = why_modules(spec, device=device, dtype_asked=asked, adapted=adapted is not None)
    plain = why_plain(spec, device=device, dtype=dtype, adapted=adapted is not None)
    if quant is not None:
        require_packing(description, quant, reason)
    if resting:
        return _resting(name, location, description, assignments, dtype=dtype, device=device)
    light = without_vocabulary(description)
    loading = Loading(light, assignments, dtype, device, quant, plain is None)
    needed = _least_bytes(spec, loading, reason, adapted)
    _require_memory(name, needed, device, REST if isinstance(spec, Pipeline) else "")
    read_tokenizer = cache(partial(find_tokenizer, description, adapted))
    with working(shown, needed, f"loading {name}"):
        program = loading.program(shown, read_tokenizer) if reason is None else None
        tokenizer = read_tokenizer()
        card = make_card(location, description, adapted, tokenizer)
        keeps = tokenizer is not None and adapted is None and issubclass(kind(spec), TextModel)
        make = partial(kind(spec), card, spec, light if keeps else description)
        if program is None:
            model = _of_modules(make, loading, reason or "", shown)
        else:
            model = _of_program(make, loading, program, shown)
    if adapted is not None:
        text_of(model).put_adapter_on(adapted)
    if keeps:
        text_of(model).kept_tokenizer = tokenizer
    del description, read_tokenizer  # with them goes what the tokenizer was made of
    give_back()
    model.load_seconds = time.perf_counter() - begun
    return model


def _of_program(
    make: Callable[..., Model],
    loading: Loading,
    program: Program | ProgramPair,
    progress: Progress,
) -> Model:
    """Return a model whose text native programs read or write; modules come when asked for."""
    load = loading.plain if loading.quant is None else partial(loading.as_packed, program)
    model = make(load, loading.dtype, program)
    if isinstance(model.spec, Speech):
        cast("SpeechModel", model).tower = loading.tower(progress)
        model.unpacked = loading.plain if loading.whole else None
    return model


def _of_modules(
    make: Callable[..., Model], loading: Loading, reason: str, progress: Progress
) -> Model:
    """Return a model that runs as modules, for a reason."""
    module = loading.modules(progress)
    model = make(lambda: module, loading.dtype, why_modules=reason)
    model.unpacked = loading.plain if loading.whole else None
    return model


def _resting(
    name: str,
    location: Location,
    description: Description,
    assignments: Sequence[Assignment],
    *,
    dtype: str,
    device: str,
) -> Model:
    """Return a pipeline whose components are read when their turn comes."""
    import torch

    from fathom.checkpoint.tensors import Reader
    from fathom.residency.resting import Resting

    spec, contents = description.spec, description.contents
    assert contents is not None
    pipeline = require_pipeline(spec)
    least = in_turns(predict_stages(pipeline, dtype=dtype), pipeline).total_bytes
    _require_memory(name, least, device)
    torch.set_num_threads(usable_threads(this_machine()))  # for which the rates were measured
    rested = Resting(
        spec,
        partial(Reader, contents),
        assignments,
        dtype=getattr(torch, dtype),
        device=device,
    )
    model = kind(spec)(
        make_card(location, description, None),
        spec,
        description,
        lambda: rested.model,
        dtype,
        why_modules="components rest",
    )
    model.rest_by(rested)
    return model


def _bounded(spec: Spec, context: int | None) -> Spec:
    """Return the spec with a smaller context, if one is asked for."""
    if context is None:
        return spec
    spec = text_model(spec)
    if not 1 <= context <= spec.context:
        raise RequestError(
            f"a context of {context:,} is not possible: the model takes 1 to {spec.context:,}"
        )
    return replace(spec, context=context)


def _least_bytes(spec: Spec, loading: Loading, reason: str | None, adapted: Adapter | None) -> int:
    """Return the memory without which opening is of no use: of the weights and the process."""
    beside = 0 if adapted is None else adapted.elements * BYTES[loading.dtype]
    if reason is None and loading.description.contents is not None:
        return loading.packed_bytes() + runtime_bytes(None) + beside
    if isinstance(spec, Staged):
        return weight_bytes(spec, computed_in(loading.dtype)) + runtime_bytes(None) + beside
    return predict(spec, dtype=loading.dtype, context=1).total_bytes + beside


def _dtype(description: Description, asked: str | None) -> str:
    """Return the type to compute in, as `open` promises."""
    if asked is not None:
        if asked not in BYTES:
            raise RequestError(f"dtype '{asked}' is not one of {', '.join(BYTES)}")
        return asked
    assert description.contents is not None
    return opened_dtype(description.contents)


def _device(asked: str | None) -> str:
    if asked is not None:
        return asked
    if not this_machine().accelerators:
        return "cpu"
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def _require_memory(name: str, needed: int, device: str, remedy: str = "") -> None:
    """Refuse before reading what cannot end well."""
    available = this_machine().memory_available
    if device == "cpu" and needed > available:
        raise DoesNotFitError(
            f"{name} needs {needed / 1e9:.1f} GB and {available / 1e9:.1f} GB of memory are free;"
            f" {remedy}close something, or take a smaller type with --dtype bfloat16, or a smaller"
            " model"
        )
