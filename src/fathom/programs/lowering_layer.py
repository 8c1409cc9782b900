"""One layer of a text as steps: its mixer and its feed-forward, by their types."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from fathom.programs.lowering import STREAM, Lowering, lower_feed_forward, normalise
from fathom.programs.lowering_attention import lower_attention
from fathom.programs.lowering_latents import lower_latent_attention
from fathom.programs.lowering_recurrences import lower_recurrence
from fathom.programs.plan import NoProgramError
from fathom.spec.attention import Attention
from fathom.spec.decoder import Layer, Mixer, Residual
from fathom.spec.latent_attention import LatentAttention
from fathom.spec.state_space import DeltaRule, Mamba, Mamba2


@contextmanager
def named(path: str) -> Iterator[None]:
    """Say in a refusal which part it is about."""
    try:
        yield
    except NoProgramError as error:
        raise NoProgramError(f"{path}: {error}") from None


def lower_layer(to: Lowering, layer: Layer, path: str) -> None:
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
