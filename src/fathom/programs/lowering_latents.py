"""From latent attention to steps: maps to latents and back, and attention between them."""

from __future__ import annotations

from collections.abc import Mapping

from fathom.programs.latent_steps import AttendLatent, LatentHeads, MultiplyHeads, PlaceLatent
from fathom.programs.layout import PAGE_TOKENS, STATE_BYTES
from fathom.programs.lowering import Lowering, factor, join, norm_shape, normalise
from fathom.programs.lowering_attention import angles
from fathom.programs.steps import Matrix, Multiply
from fathom.spec.decoder import Residual
from fathom.spec.latent_attention import LatentAttention
from fathom.spec.parts import Linear, Norm, Part, children


def lower_latent_attention(
    to: Lowering, mixer: LatentAttention, residual: Residual, paths: tuple[str, str], source: str
) -> None:
    """Let tokens see one another; `paths` are those of the mixer and of its residual."""
    path, around = paths
    parts = dict(children(mixer))
    latents = _mapped(to, parts, path, source, "latent_down", "latents")
    heads = _heads(to, mixer, _queries(to, parts, path, source))
    turned = angles(to, mixer.positions)
    norm = norm_shape(_norm(parts, "latent_norm"), f"{path}.latent_norm")
    to.add(PlaceLatent(heads, latents, turned, mixer.positions.interleaved, norm))
    asked = _per_head(to, mixer, (heads.queries, mixer.key_width), f"{path}.key_up", turned=True)
    found = to.take("latents found", mixer.heads * mixer.latent)
    scale = mixer.key_width**-0.5 if mixer.scale is None else mixer.scale
    to.add(AttendLatent(heads, asked, found, scale))
    mixed = _per_head(to, mixer, (found, mixer.latent), f"{path}.value_up", turned=False)
    join(to, residual, around, mixed, factor(_linear(parts, "output"), f"{path}.output"))


def _linear(parts: Mapping[str, Part], name: str) -> Linear:
    found = parts[name]
    if not isinstance(found, Linear):
        raise TypeError(f"{name} is no linear map")
    return found


def _norm(parts: Mapping[str, Part], name: str) -> Norm:
    found = parts[name]
    if not isinstance(found, Norm):
        raise TypeError(f"{name} is no norm")
    return found


def _mapped(
    to: Lowering, parts: Mapping[str, Part], path: str, source: str, name: str, rows: str
) -> str:
    linear = _linear(parts, name)
    target = to.take(rows, linear.outputs)
    to.add(Multiply(source, target, (factor(linear, f"{path}.{name}"),)))
    return target


def _queries(to: Lowering, parts: Mapping[str, Part], path: str, source: str) -> str:
    """Return the rows of all heads' queries, by a latent of their own where there is one."""
    if "query" in parts:
        return _mapped(to, parts, path, source, "query", "queries")
    down = _mapped(to, parts, path, source, "query_down", "queries' latents")
    normalise(to, _norm(parts, "query_norm"), f"{path}.query_norm", down, down)
    return _mapped(to, parts, path, down, "query_up", "queries")


def _heads(to: Lowering, mixer: LatentAttention, queries: str) -> LatentHeads:
    """Give a layer its place in the pages of layers that see everything."""
    width = mixer.latent + mixer.positions.width
    pool, offset = to.page(None, PAGE_TOKENS * width * STATE_BYTES[to.state])
    widths = mixer.plain_width, mixer.latent, mixer.positions.width
    return LatentHeads(queries, mixer.heads, *widths, pool, offset, to.state)


def _per_head(
    to: Lowering, mixer: LatentAttention, source: tuple[str, int], path: str, *, turned: bool
) -> str:
    """Pass heads' parts, of a stride, through a stack of maps; return the rows of results."""
    rows, stride = source
    inputs = mixer.plain_width if turned else mixer.latent
    outputs = mixer.latent if turned else mixer.value_width
    target = to.take("asked" if turned else "mixed", mixer.heads * outputs)
    room = to.take("heads' parts", inputs, mixer.heads)
    maps = tuple(Matrix(f"{path}.weight", head, turned=turned) for head in range(mixer.heads))
    to.add(MultiplyHeads((rows, 0), stride, target, room, maps))
    return target
