"""A whole model of text as programs of native steps, or the reason why it is none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fathom.programs.layout import StateType
from fathom.programs.lowering import (
    STREAM,
    Lowering,
    chosen_rows,
    lower_embedding,
    lower_output,
    norm_shape,
    normalise,
)
from fathom.programs.lowering_layer import lower_layer, named
from fathom.programs.lowering_pair import lower_reader, lower_writer
from fathom.programs.plan import NoProgramError, Plan
from fathom.programs.steps import Deliver, Normalise
from fathom.spec.attention import Attention
from fathom.spec.decoder import Decoder
from fathom.spec.encoder import Encoder
from fathom.spec.encoder_decoder import EncoderDecoder, Stack
from fathom.spec.heads import SummaryHead
from fathom.spec.latent_attention import LatentAttention
from fathom.spec.speech import Speech

if TYPE_CHECKING:
    from fathom.spec.model import Layered, Model
    from fathom.spec.positions import Rotary


def lower(spec: Layered, state: StateType = "float16") -> Plan:
    """Return the steps of a text model; `state` is what keys and values are kept in.

    Raises:
        NoProgramError: for a part that no step expresses, named by its path.
    """
    to = Lowering(spec.width, state)
    if isinstance(spec, Encoder) and not isinstance(spec.head, SummaryHead | None):
        raise NoProgramError(f"{type(spec.head).__name__} has no native step yet")
    lower_embedding(to, spec.embedding)
    for index, layer in enumerate(spec.layers):
        # A parallel layer's feed-forward reads what its mixer does: rows of all tokens.
        last = isinstance(spec, Decoder) and index == len(spec.layers) - 1
        to.last = last and not layer.parallel
        with named(f"layers.{index}"):
            lower_layer(to, layer, f"layers.{index}")
    if isinstance(spec, Encoder):
        return _deliver(to, spec)
    if not to.narrowed:
        to.narrow()
    chosen = STREAM
    if spec.norm is not None:
        chosen = chosen_rows(to, spec.width)
        to.add(Normalise(STREAM, chosen, norm_shape(spec.norm, "norm")))
    lower_output(to, spec.output, chosen)
    return to.plan(spec.vocabulary)


def why_not(spec: Model) -> str | None:
    """Return the part of a model that native steps cannot express, and why; None if they can.

    Of a model of speech that is asked of what writes alone: what it heard comes from modules.
    """
    try:
        match spec:
            case Decoder() | Encoder():
                lower(spec)
            case EncoderDecoder() | Speech():
                lower_reader(spec)
                lower_writer(spec)
            case _:
                return f"only models of text are native programs, and this is {type(spec).__name__}"
    except NoProgramError as error:
        return str(error)
    return None


def rotations(spec: Layered | Stack) -> list[Rotary]:
    """Return the distinct rotations of layers, in the order of a program's frequencies."""
    from fathom.spec.positions import Rotary

    found = dict.fromkeys(
        layer.mixer.positions
        for layer in spec.layers
        if isinstance(layer.mixer, Attention | LatentAttention)
        and isinstance(layer.mixer.positions, Rotary)
    )
    return [each for each in found if isinstance(each, Rotary)]


def _deliver(to: Lowering, spec: Encoder) -> Plan:
    """Hidden states are what an encoder gives, of which vectors are made; a summary goes unused."""
    normalise(to, spec.norm, "norm", STREAM, STREAM)
    to.add(Deliver(STREAM))
    return to.plan(spec.vocabulary, spec.width)
