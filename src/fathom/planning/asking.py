"""What may be asked of a model that works in stages: its sizes, its type; what is refused."""

from __future__ import annotations

from dataclasses import fields
from math import isfinite

from fathom.checkpoint.description import Description
from fathom.errors import RequestError
from fathom.planning.costs import BYTES
from fathom.spec.model import Model
from fathom.spec.work import Pipeline, Prompted, Staged, Work

USUAL = "bfloat16"  # what most weights are published in, where nothing says it
WHOLE = frozenset({"F32", "F64", "I64", "I32"})  # encodings that are computed in float32
OPTIONS = {"height": "size", "width": "size"}  # how a field is asked for, where not by its name


def require_work(spec: Staged, work: Work) -> None:
    """Refuse work that a model does not do.

    Raises:
        RequestError: for a number below one, and for what does not concern the model.
    """
    usual = spec.usual
    for name, value in _asked(work).items():
        if name != "batch" and getattr(usual, name) is None:
            takes = ", ".join(_asked(usual))
            raise RequestError(f"this model is not asked for {name}; its work is told by {takes}")
        if not isinstance(value, bool) and not (isfinite(value) and value > 0):
            option = OPTIONS.get(name, name)
            raise RequestError(f"{name} of {value:g}: --{option} must be more than nothing")


def refuse_work(spec: Model, work: Work | None) -> None:
    """Refuse sizes of pictures or sound where a text is asked about.

    Raises:
        RequestError: for any that is stated; a batch is everybody's.
    """
    stated = [name for name in _asked(work or Work()) if name != "batch"]
    if stated and not isinstance(spec, Staged):
        raise RequestError(
            f"a text model is not asked for {' and '.join(stated)}; take --context for its length"
        )


def require_pipeline(spec: Model) -> Pipeline:
    """Return the spec of a model whose components may rest while others work.

    Raises:
        RequestError: for any other.
    """
    if isinstance(spec, Pipeline):
        return spec
    raise RequestError(
        "this model works in one piece: only the components of a pipeline can rest while others"
        " work; leave --resting out (resting=False)"
    )


def refuse_text_options(spec: Staged, **asked: object) -> None:
    """Refuse what is asked of text models only, naming what to ask instead.

    Raises:
        RequestError: for any that is given.
    """
    given = [f"--{name}" for name, value in asked.items() if value is not None]
    if given:
        about = ", ".join(_asked(spec.usual))
        raise RequestError(
            f"{' and '.join(given)} is asked of text models only; the class of this one is"
            f" {spec.about.model_class}, and its work is told by {about}"
        )


def dtype_of(description: Description, asked: str | None) -> tuple[str, tuple[str, ...]]:
    """Return the type that weights are computed in, and what a reader should know of it.

    Raises:
        RequestError: for a type that nothing computes in.
    """
    if asked is not None:
        if asked not in BYTES:
            raise RequestError(f"dtype '{asked}' is not one of {', '.join(BYTES)}")
        return asked, ()
    config = description.config
    named = config.get("dtype", config.get("torch_dtype"))
    if isinstance(named, str) and named in BYTES:
        return named, ()
    if description.contents is not None:
        held = {tensor.encoding for tensor in description.contents.tensors.values()}
        return ("float32" if held <= WHOLE else USUAL), ()
    return USUAL, (f"the configuration names no type of weights; they are counted as {USUAL}",)


def prompt_notes(spec: Staged, work: Work) -> tuple[str, ...]:
    """Return how much of a prompt one picture or sound takes, where they stand in one."""
    if not isinstance(spec, Prompted):
        return ()
    return tuple(
        f"a {kind} takes {places:,} tokens of the prompt; the context has {spec.context:,}"
        for kind, places in spec.taken(work).items()
    )


def _asked(work: Work) -> dict[str, float]:
    """Return the fields that some work states."""
    held = {field.name: getattr(work, field.name) for field in fields(work)}
    return {name: value for name, value in held.items() if value is not None}


def work_text(work: Work) -> str:
    """Return some work in words, such as ``1 × 512 × 768 pixels, 20 steps``."""
    said = [f"{work.batch:,} side by side"] if work.batch > 1 else []
    if work.height is not None and work.width is not None:
        said.append(f"{work.height:,} × {work.width:,} (height × width)")
    said += [] if work.frames is None else [f"{work.frames:,} pictures"]
    said += [] if work.seconds is None else [f"{work.seconds:g} s of sound"]
    said += [] if work.tokens is None else [f"{work.tokens:,} tokens read"]
    said += [] if work.written is None else [f"{work.written:,} written"]
    said += [] if work.steps is None else [f"{work.steps:,} steps"]
    said += ["guided"] if work.guided else []
    return ", ".join(said) or "one"
