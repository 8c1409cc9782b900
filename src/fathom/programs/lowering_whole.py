"""From layers of encoders to plans of whole layers, by the type of part and nothing else.

What no such plan expresses raises `NoProgramError` with the reason, and runs in PyTorch instead.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from fathom.programs.layer_plan import Joint, LayerPlan, Map, Norm
from fathom.programs.plan import NoProgramError
from fathom.spec import parts
from fathom.spec.attention import Attention, Everything, GatedAttention
from fathom.spec.audio import SoundEncoder
from fathom.spec.decoder import Layer, Residual
from fathom.spec.feed_forward import GatedMlp, Mlp
from fathom.spec.grid import GridAttention, GridEncoder, GridLayer
from fathom.spec.vision import TextTower, VisionEncoder
from fathom.spec.windowed import WindowAttention, WindowStage

# Maps of an attention that go in together, in the order in which the kernel finds them.
INTO = ("query", "key", "value")
HOSTS = (VisionEncoder, TextTower, SoundEncoder, GridEncoder, WindowStage)


def whole_plan(layer: Layer | GridLayer) -> LayerPlan:
    """Return a layer of tokens that all come at once as a plan.

    Raises:
        NoProgramError: with the reason, for what the kernel does not do.
    """
    reason = why_no_plan(layer)
    if reason is not None:
        raise NoProgramError(reason)
    mixer, fed = layer.mixer, layer.feed_forward
    assert isinstance(mixer, Attention | GridAttention | WindowAttention)
    assert isinstance(fed, Mlp | GatedMlp)
    stated = mixer.scale if isinstance(mixer, Attention) else None
    relative = isinstance(mixer, GridAttention) and mixer.relative
    return LayerPlan(
        width=mixer.width,
        heads=mixer.heads,
        head_width=mixer.head_width,
        scale=mixer.head_width**-0.5 if stated is None else stated,
        causal=isinstance(mixer, Attention) and mixer.causal,
        mixing=_joint(layer.mixer_residual, "mixer_residual"),
        into=_map(mixer, "mixer", INTO),
        output=_map(mixer, "mixer", ("output",)),
        feeding=_joint(layer.feed_forward_residual, "feed_forward_residual"),
        up=_map(fed, "feed_forward", ("gate", "up") if isinstance(fed, GatedMlp) else ("up",)),
        down=_map(fed, "feed_forward", ("down",)),
        activation=str(fed.activation),
        gated=isinstance(fed, GatedMlp),
        grid=mixer.extent if isinstance(mixer, GridAttention) and relative else None,
        distances=("mixer.rows", "mixer.columns") if relative else None,
    )


def why_no_plan(layer: Layer | GridLayer) -> str | None:
    """Return why a layer runs in PyTorch; None where the kernel does all of it."""
    if isinstance(layer, Layer) and layer.parallel:
        return "its two parts stand side by side"
    if not isinstance(layer.feed_forward, Mlp | GatedMlp):
        return "its feed-forward is none of one or two maps up and one down"
    residuals = (layer.mixer_residual, layer.feed_forward_residual)
    return next(filter(None, (_why_not(layer.mixer), *map(_why_not_joined, residuals))), None)


def _why_not(mixer: object) -> str | None:
    if isinstance(mixer, GridAttention | WindowAttention):
        return None
    if not isinstance(mixer, Attention) or isinstance(mixer, GatedAttention):
        return "its mixer is no plain attention"
    beside: Mapping[str, object] = {
        "turns what it compares": mixer.positions,
        "norms queries or keys": mixer.query_norm or mixer.key_norm,
        "sharpens queries": mixer.temperature,
        "bounds what enters": mixer.clip,
        "bounds scores": mixer.soft_cap,
        "has sinks": mixer.sinks or None,
        "shares keys": mixer.kv_heads != mixer.heads or None,
        "sees a part only": None if isinstance(mixer.reach, Everything) else True,
    }
    found = [what for what, value in beside.items() if value is not None]
    return f"its attention {found[0]}" if found else None


def _why_not_joined(residual: Residual) -> str | None:
    norms = [norm for norm in (residual.before, residual.closing) if norm is not None]
    if any(norm.groups > 1 for norm in norms):
        return "a norm is of several groups"
    if residual.after is not None or residual.scale != 1.0 or residual.exact:
        return "what its parts give is normed or scaled, or its stream exact"
    return None


def _map(part: parts.Compound, path: str, names: tuple[str, ...]) -> Map:
    found = dict(parts.children(part))
    factors = []
    for name in names:
        linear = found[name]
        if not isinstance(linear, parts.Linear):
            raise TypeError(f"{path}.{name} is no linear map")
        own = f"{path}.{name}"
        factors.append((f"{own}.weight", f"{own}.bias" if linear.bias else None))
    return Map(tuple(factors))


def _joint(residual: Residual, path: str) -> Joint:
    return Joint(
        before=_norm(residual.before, f"{path}.before"),
        closing=_norm(residual.closing, f"{path}.closing"),
        scales=None if residual.scales is None else f"{path}.scales",
        gate=None if residual.gate is None else f"{path}.gate",
    )


def _norm(norm: parts.Norm | None, path: str) -> Norm | None:
    if norm is None:
        return None
    weight = f"{path}.weight" if norm.weight else None
    return Norm(norm.kind == "layer", norm.epsilon, weight, f"{path}.bias" if norm.bias else None)


def whole_layers(part: parts.Part, path: str = "") -> Iterator[tuple[str, Layer | GridLayer]]:
    """Yield each layer that can run whole, with its path: those of parts that see or hear.

    They give their tokens all at once, and nobody asks such a layer for anything else.
    """
    if isinstance(part, HOSTS):
        layers: Sequence[Layer | GridLayer] = part.layers
        for index, layer in enumerate(layers):
            if why_no_plan(layer) is None:
                yield f"{path}.layers.{index}", layer
        return
    for name, child in parts.children(part):
        yield from whole_layers(child, f"{path}.{name}" if path else name)
