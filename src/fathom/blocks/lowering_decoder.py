"""A whole decoder or encoder as a program of native steps, or the reason why it is none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fathom.blocks.lowering import (
    STREAM,
    Lowering,
    lower_embedding,
    lower_feed_forward,
    lower_output,
    normalise,
)
from fathom.blocks.lowering_attention import lower_attention
from fathom.blocks.lowering_latents import lower_latent_attention
from fathom.blocks.lowering_recurrences import lower_recurrence
from fathom.ops.program import NoProgramError, Plan
from fathom.ops.steps import Deliver, Select, StateType
from fathom.spec.attention import Attention
from fathom.spec.decoder import Decoder, Layer, Mixer, Residual
from fathom.spec.encoder import Encoder
from fathom.spec.heads import SummaryHead
from fathom.spec.latent_attention import LatentAttention
from fathom.spec.state_space import DeltaRule, Mamba, Mamba2

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
        try:
            _lower_layer(to, layer, f"layers.{index}")
        except NoProgramError as error:
            raise NoProgramError(f"layers.{index}: {error}") from None
    if isinstance(spec, Encoder):
        return _deliver(to, spec)
    chosen = to.take("chosen", spec.width)
    to.add(Select(STREAM, chosen))
    chosen = normalise(to, spec.norm, "norm", chosen, chosen)
    lower_output(to, spec.output, chosen)
    return to.plan(spec.vocabulary)


def why_not(spec: Model) -> str | None:
    """Return the part of a model that native steps cannot express, and why; None if they can."""
    if not isinstance(spec, Decoder | Encoder):
        return f"only decoders and encoders are native programs, and this is {type(spec).__name__}"
    try:
        lower(spec)
    except NoProgramError as error:
        return str(error)
    return None


def rotations(spec: Layered) -> list[Rotary]:
    """Return the distinct rotations of a model, in the order of a program's frequencies."""
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


def _lower_layer(to: Lowering, layer: Layer, path: str) -> None:
    """Both parts of a layer; parallel ones read the stream before either adds to it."""
    first, second = layer.mixer_residual, layer.feed_forward_residual
    around_mixer, around_feed = f"{path}.mixer_residual", f"{path}.feed_forward_residual"
    entered = normalise(to, first.before, f"{around_mixer}.before", STREAM, "normed")
    fed = entered
    if layer.parallel and layer.feed_forward is not None:
        if entered == STREAM:
            raise NoProgramError("both parts of a parallel layer read a stream without a norm")
        fed = normalise(to, second.before, f"{around_feed}.before", STREAM, "normed apart")
        fed = entered if second.before is None else fed
    _lower_mixer(to, layer.mixer, first, (f"{path}.mixer", around_mixer), entered)
    if layer.feed_forward is None:
        return
    if not layer.parallel:
        fed = normalise(to, second.before, f"{around_feed}.before", STREAM, "normed")
    paths = f"{path}.feed_forward", around_feed
    lower_feed_forward(to, layer.feed_forward, second, paths, fed)


def _lower_mixer(
    to: Lowering, mixer: Mixer, residual: Residual, paths: tuple[str, str], source: str
) -> None:
    """Let tokens see one another; `paths` are those of the mixer and of its residual."""
    match mixer:
        case Attention():
            lower_attention(to, mixer, residual, paths, source)
        case Mamba() | Mamba2() | DeltaRule():
            lower_recurrence(to, mixer, residual, paths, source)
        case LatentAttention():
            lower_latent_attention(to, mixer, residual, paths, source)
