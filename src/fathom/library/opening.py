"""From a name to a place, a card, a page, a plan, another file, or a model in memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Unpack, cast

from fathom.catalog.starters import sources
from fathom.checkpoint.adapter_base import locate_adapted
from fathom.checkpoint.description import Description
from fathom.checkpoint.description import describe as _describe
from fathom.checkpoint.progress import QUIET, Progress, working
from fathom.checkpoint.sources.locate import Resolver, locate_configuration
from fathom.checkpoint.sources.locate import locate as _locate
from fathom.checkpoint.sources.location import Location
from fathom.errors import DoesNotFitError, RequestError
from fathom.library.cards import find_tokenizer, make_card, without_vocabulary
from fathom.library.kinds import kind
from fathom.library.model import Model
from fathom.library.text import TextModel, text_of
from fathom.planning.asking import refuse_work, require_pipeline
from fathom.planning.costs import BYTES, computed_in, weight_bytes
from fathom.planning.explanation import Counted, Explanation
from fathom.planning.explanation import explain as explain_description
from fathom.planning.fit import Fit, Wanted
from fathom.planning.fit import fit as fit_description
from fathom.planning.grouping import require_packing
from fathom.planning.machine import this_machine
from fathom.planning.memory_watch import give_back
from fathom.planning.opened import native
from fathom.planning.predict import predict, runtime_bytes
from fathom.planning.probe import usable_threads
from fathom.planning.programs import opened_dtype, why_modules
from fathom.planning.staged_explanation import StagedExplanation, explain_stages
from fathom.planning.staged_fit import StagedFit, fit_stages
from fathom.planning.stages import in_turns, predict_stages
from fathom.planning.whole_layers import why_plain
from fathom.residency.programs import load_programs
from fathom.spec.card import Card
from fathom.spec.decoder import Decoder
from fathom.spec.encoder import Encoder
from fathom.spec.encoder_decoder import EncoderDecoder
from fathom.spec.model import Layered, Writing, text_model
from fathom.spec.model import Model as Spec
from fathom.spec.speech import Speech
from fathom.spec.work import Pipeline, Staged, Work

if TYPE_CHECKING:
    from torch import nn

    from fathom.checkpoint.naming import Assignment
    from fathom.library.speech import SpeechModel
    from fathom.ops.program import Program
    from fathom.ops.program_pair import ProgramPair


REST = "let components rest while others work with --resting, or "


def locate(name: str, *, allow_pickle: bool = False, progress: Progress | None = None) -> Location:
    """Return where a model lies on this machine, fetching it first if it is not here.

    Raises:
        NotFoundError: nothing has this name.
        FetchError: it exists and could not be brought here whole.
    """
    return _locate(name, catalog=sources(), progress=progress, allow_pickle=allow_pickle)


def describe(name: str, *, allow_pickle: bool = False, progress: Progress | None = None) -> Card:
    """Return the card of a model, from its headers and configuration; torch is not loaded.

    Raises:
        NotFoundError, FetchError: as `locate`.
        ModelFileError, ConfigError, UnknownArchitectureError: for files that cannot be understood.
    """
    resolver = Resolver(sources(), progress or QUIET, allow_pickle)
    location, adapter = locate_adapted(name, None, resolver)
    return make_card(location, _describe(location.path, allow_pickle=allow_pickle), adapter)


def explain(
    name: str,
    *,
    allow_pickle: bool = False,
    progress: Progress | None = None,
    work: Work | None = None,
    **counted: Unpack[Counted],
) -> Explanation | StagedExplanation:
    """Return the page about a model: parts, costs of a token or stage; no weights are fetched.

    Options: dtype, context and names, as `planning.explanation.explain` says; `work` of a model
    that works in stages, as `planning.staged_explanation.explain_stages` says.

    Raises:
        RequestError: for an unknown type, a context beyond the model's own, or work that it does
            not do.
        NotFoundError, FetchError, ModelFileError, ConfigError, UnknownArchitectureError: as
            `describe`.
    """
    location = locate_configuration(
        name, catalog=sources(), progress=progress, allow_pickle=allow_pickle
    )
    description = _describe(location.path, allow_pickle=allow_pickle)
    spec = description.spec
    if isinstance(spec, Staged):
        return explain_stages(description, spec, name=location.name, work=work, **counted)
    refuse_work(spec, work)
    return explain_description(description, name=location.name, **counted)


def fit(
    name: str,
    *,
    allow_pickle: bool = False,
    progress: Progress | None = None,
    work: Work | None = None,
    resting: bool = False,
    **wanted: Unpack[Wanted],
) -> Fit | StagedFit:
    """Return whether a model fits on a machine, term by term; no weights are fetched.

    Options: on, context, batch, dtype, quant and train, as `planning.fit.fit` says; `work` of a
    model that works in stages and `resting` of a pipeline, as `planning.staged_fit.fit_stages`
    says.

    Raises:
        NotFoundError: for unknown hardware, or as `describe`.
        RequestError: for numbers out of range, or an unknown type or encoding.
        FetchError, ModelFileError, ConfigError, UnknownArchitectureError: as `describe`.
    """
    location = locate_configuration(
        name, catalog=sources(), progress=progress, allow_pickle=allow_pickle
    )
    description = _describe(location.path, allow_pickle=allow_pickle)
    spec = description.spec
    if isinstance(spec, Staged):
        named = location.name
        return fit_stages(description, spec, name=named, work=work, resting=resting, **wanted)
    refuse_work(spec, work)
    if resting:
        require_pipeline(spec)
    return fit_description(description, name=location.name, **wanted)


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
    description = _describe(location.path, allow_pickle=allow_pickle)
    assignments = description.assignments()
    spec = _bounded(description.spec, context)
    asked, dtype = dtype, _dtype(description, dtype)
    device = _device(device)
    reason = why_modules(spec, device=device, dtype_asked=asked, adapted=adapted is not None)
    if quant is not None:
        require_packing(description, quant, reason)
    if resting:
        return _resting(name, location, description, assignments, dtype=dtype, device=device)
    needed = _least_bytes(spec, dtype)
    if reason is None and description.contents is not None:
        needed = _packed_bytes(description, dtype, quant) + runtime_bytes(None)
    needed += 0 if adapted is None else adapted.elements * BYTES[dtype]
    _require_memory(name, needed, device, REST if isinstance(spec, Pipeline) else "")
    light = without_vocabulary(description)
    load = partial(_modules, light, assignments, dtype=dtype, device=device)
    plain = why_plain(spec, device=device, dtype=dtype, adapted=adapted is not None)
    with working(shown, needed, f"loading {name}"), ThreadPoolExecutor(1) as aside:
        reading = aside.submit(find_tokenizer, description, adapted)  # while weights are packed
        if reason is None:
            program = _program(light, assignments, dtype, quant, shown)
        tokenizer = reading.result()
        card = make_card(location, description, adapted, tokenizer)
        keeps = tokenizer is not None and adapted is None and issubclass(kind(spec), TextModel)
        make = partial(kind(spec), card, spec, light if keeps else description)
        if reason is None:
            model = make(
                load if quant is None else partial(_as_packed, load, program), dtype, program
            )
            if isinstance(spec, Speech):
                own = [each for each in assignments if each.ours[0].startswith("encoder.")]
                whole = partial(_modules, description, own, dtype=dtype, device=device)
                tower = whole(packed=plain is None, progress=shown).get_submodule("encoder")
                cast("SpeechModel", model).tower = tower
                model.unpacked = load if plain is None else None
        else:
            module = load(packed=plain is None, progress=shown)
            model = make(lambda: module, dtype, why_modules=reason)
            model.unpacked = load if plain is None else None
    if adapted is not None:
        text_of(model).put_adapter_on(adapted)
    if keeps:
        text_of(model).kept_tokenizer = tokenizer
    del description, reading  # with them goes what the tokenizer was made of
    give_back()
    model.load_seconds = time.perf_counter() - begun
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
        spec, partial(Reader, contents), assignments, dtype=getattr(torch, dtype), device=device
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


def _program(
    description: Description,
    assignments: Sequence[Assignment],
    dtype: str,
    quant: str | None,
    progress: Progress,
) -> Program | ProgramPair:
    """Pack the weights of what reads or writes text and return the native programs."""
    assert description.contents is not None
    return load_programs(
        _written(description.spec),
        description.contents,
        assignments,
        dtype=dtype,
        threads=usable_threads(this_machine()),
        quant=quant,
        progress=progress,
    )


def _written(spec: Spec) -> Layered | Writing:
    """Return the spec of what native programs run."""
    assert isinstance(spec, Decoder | Encoder | EncoderDecoder | Speech)
    return spec


def _packed_bytes(description: Description, dtype: str, quant: str | None) -> int:
    """Return the bytes of packed weights: about those of the files, where no others are asked."""
    assert description.contents is not None
    if quant is None:
        return description.contents.size
    return native(description, _written(description.spec), dtype, None, quant).weight_bytes


def _as_packed(load: Callable[[], nn.Module], program: Program | ProgramPair) -> nn.Module:
    """Return modules with the numbers that the program computes with."""
    from fathom.residency.packed import read_back

    module = load()
    read_back(program.matrices, module)
    return module


def _modules(
    description: Description,
    assignments: Sequence[Assignment],
    *,
    dtype: str,
    device: str,
    packed: bool = False,
    progress: Progress = QUIET,
) -> nn.Module:
    """Bring the weights into modules of PyTorch, layers that run whole packed if that is asked."""
    import torch

    from fathom.checkpoint.tensors import Reader
    from fathom.residency.resident import load

    torch.set_num_threads(usable_threads(this_machine()))  # for which the rates were measured
    assert description.contents is not None
    with Reader(description.contents) as reader:
        return load(
            description.spec,
            reader,
            assignments,
            dtype=getattr(torch, dtype),
            device=device,
            packed=packed,
            progress=progress,
        )


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


def _least_bytes(spec: Spec, dtype: str) -> int:
    """Return the memory without which opening is of no use: of the weights and the program."""
    if isinstance(spec, Staged):
        return weight_bytes(spec, computed_in(dtype)) + runtime_bytes(None)
    return predict(spec, dtype=dtype, context=1).total_bytes


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
