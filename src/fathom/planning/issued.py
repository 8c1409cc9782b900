"""How many operations PyTorch is asked for to write one token, views included.

Each costs its call, whatever it computes, and in a small model that is most of the time. Counted
in the code of `blocks/` and `ops/`; `tests/planning/test_issued.py` holds the sums to what
PyTorch's own dispatcher sees.
"""

from __future__ import annotations

from collections.abc import Mapping

from fathom.spec.attention import Attention, Everything, GatedAttention
from fathom.spec.decoder import FeedForward, Layer, Mixer, Residual
from fathom.spec.deformable import DeformableAttention
from fathom.spec.encoder_decoder import CrossAttention, CrossLayer
from fathom.spec.experts import Experts
from fathom.spec.feed_forward import GatedMlp
from fathom.spec.latent_attention import LatentAttention
from fathom.spec.parts import Bare, Convolution, GroupNorm, Linear, Norm, Part, Table, children
from fathom.spec.positions import Alibi, Rotary, RoundedAlibi
from fathom.spec.state_space import DeltaRule, Mamba, Mamba2
from fathom.spec.whole import WholeGridLayer, WholeLayer
from fathom.spec.windowed import WindowAttention

NORM = 3
ATTENTION = 20  # four maps, heads apart and together, keys and values kept, fused scores
ROTATION = 12  # of queries, and of keys
MASKED = 17  # a window or a chunk that leaves keys out: places, a mask, keys joined
REFERENCE = 17  # scores, softmax and sum one by one, beyond the fused kernel
PENALTIES = 11
GATED = 8
RECURRENCES: Mapping[type, int] = {Mamba: 64, Mamba2: 82, DeltaRule: 91}
LATENT, OWN_LATENT = 56, 5
GATED_MLP, MLP = 14, 9
ROUTING, EXPERT, SHARED = 27, 17, 14
CROSS = 24
ONCE = 70  # per pass: embedding, places of new keys, angles of rotations, last norm, scores
# Of recurrences over a prompt: operations for each so many tokens that are taken together.
TOGETHER: Mapping[type, tuple[int, int]] = {Mamba: (5, 1), Mamba2: (40, 64), DeltaRule: (60, 64)}


def issued(layer: Layer | CrossLayer, context: int) -> int:
    """Return the operations of one layer for one token, with `context` tokens before it."""
    count = _mixer(layer.mixer, context) + _joined(layer.mixer_residual)
    if layer.feed_forward is not None:
        count += _feed_forward(layer.feed_forward) + _joined(layer.feed_forward_residual)
    if isinstance(layer, CrossLayer):
        count += CROSS + _joined(layer.cross_residual)
    return count


def token_by_token(layer: Layer | CrossLayer, tokens: int) -> int:
    """Return the operations of a prompt's piece that recurrences issue one after the other."""
    if tokens == 1 or type(layer.mixer) not in TOGETHER:
        return 0
    each, together = TOGETHER[type(layer.mixer)]
    return each * -(-tokens // together)


def _joined(residual: Residual) -> int:
    norms = (residual.before, residual.after, residual.closing)
    return 1 + (residual.scale != 1.0) + NORM * sum(one is not None for one in norms)


def _mixer(part: Mixer, context: int) -> int:
    if isinstance(part, Attention):
        return _attention(part, context)
    if isinstance(part, LatentAttention):
        return LATENT + (OWN_LATENT if part.query_latent else 0)
    return RECURRENCES[type(part)]


def _attention(part: Attention, context: int) -> int:
    count = ATTENTION + NORM * sum(one is not None for one in (part.query_norm, part.key_norm))
    if isinstance(part.positions, Rotary):
        count += 2 * (ROTATION + (part.positions.width < part.head_width))
    elif isinstance(part.positions, Alibi | RoundedAlibi):
        count += PENALTIES
    if not isinstance(part.reach, Everything) and part.reach.width < context:
        count += MASKED
    if part.soft_cap is not None or part.sinks:
        count += REFERENCE
    count += 3 * (part.clip is not None) + 7 * (part.temperature is not None)
    return count + GATED * isinstance(part, GatedAttention)


def _feed_forward(part: FeedForward) -> int:
    if isinstance(part, Experts):
        shared = 0 if part.shared is None else SHARED
        return ROUTING + EXPERT * part.router.active + shared + 6 * part.shared_gate
    return GATED_MLP if isinstance(part, GatedMlp) else MLP


# Of parts outside such layers, each by itself. Kernels for planes are asked by way of views.
WHOLE = 14
ALONE: Mapping[type, int] = {
    Linear: 4,
    Norm: NORM,
    Convolution: 16,
    GroupNorm: 24,
    Table: 3,
    Bare: 2,
    Attention: 12,
    CrossAttention: 10,
    DeformableAttention: 60,
    WindowAttention: 70,
}
PASS = 12  # of what comes in and goes out


def issued_in(part: Part) -> int:
    """Return the operations of one pass of a part that works in stages."""
    return PASS + _inside(part)


def _inside(part: Part) -> int:
    if isinstance(part, WholeLayer | WholeGridLayer):
        return WHOLE
    if isinstance(part, Layer | CrossLayer):
        return issued(part, 1)
    return ALONE.get(type(part), 0) + sum(_inside(child) for _, child in children(part))
