"""What runs a text model in memory: native programs where it has them, and else its modules."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, cast

from fathom.errors import UnsupportedTaskError
from fathom.library.model import Model
from fathom.ops.program import Program
from fathom.ops.program_pair import ProgramPair
from fathom.planning.costs import state_bytes
from fathom.spec.decoder import Decoder
from fathom.spec.encoder import Encoder
from fathom.spec.encoder_decoder import EncoderDecoder

if TYPE_CHECKING:
    import torch

    from fathom.generation.batching.engine import Bounds
    from fathom.generation.batching.executors import Executor
    from fathom.generation.embedding import Vectoriser
    from fathom.generation.forward import Forward
    from fathom.generation.pair_forward import PairForward
    from fathom.models.decoder import Decoder as DecoderModule
    from fathom.models.encoder_decoder import EncoderDecoder as PairModule
    from fathom.spec.vector import Vectors


def forward_of(model: Model) -> Forward:
    """Return what continues a text."""
    if isinstance(model.program, Program) and isinstance(model.spec, Decoder):
        from fathom.generation.forward import NativeForward

        return NativeForward(model.spec, model.program)

    from fathom.generation.modules import ModuleForward

    module = cast("DecoderModule", model.module)
    return ModuleForward(module, dtype=_type(model), device=model.device)


def pair_forward_of(model: Model, spec: EncoderDecoder) -> PairForward:
    """Return what reads one text and writes another."""
    if isinstance(model.program, ProgramPair):
        from fathom.generation.native_pair import NativePair

        return NativePair(spec, model.program)

    from fathom.generation.module_pair import ModulePair

    module = cast("PairModule", model.module)
    return ModulePair(module, dtype=_type(model), device=model.device)


def vectoriser_of(model: Model, stated: Vectors) -> Vectoriser:
    """Return what reads texts, with what makes one vector of their hidden states."""
    if isinstance(model.program, Program) and isinstance(model.spec, Encoder):
        from fathom.generation.native_vectors import NativeVectors

        project = None
        if stated.vector.projections:
            from fathom.residency.vector import load_projections

            project = load_projections(stated.vector, stated.weights)
        return NativeVectors(model.spec, model.program, stated.vector, project)

    from fathom.generation.module_vectors import ModuleVectors
    from fathom.residency.vector import load_vector

    vector = load_vector(stated.vector, stated.weights, model.device)
    return ModuleVectors(model.module, vector)


def executor_of(model: Model, bounds: Bounds) -> Executor:
    """Return what computes many texts together.

    Raises:
        UnsupportedTaskError: for a model that is no decoder.
    """
    from fathom.generation.batching.executors import executor_for

    if not isinstance(model.spec, Decoder):
        raise UnsupportedTaskError(
            "only decoders are computed together; ask a model of this class one by one"
        )
    return executor_for(
        forward_of(model),
        memory=bounds.memory,
        sequences=bounds.most_sequences,
        context=model.spec.context,
        cost=partial(state_bytes, model.spec, model.dtype),
    )


def _type(model: Model) -> torch.dtype:
    import torch

    found: torch.dtype = getattr(torch, model.dtype)
    return found
