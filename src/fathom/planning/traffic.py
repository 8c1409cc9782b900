"""Bytes that a layer reads and writes for each token of a prompt beside its products and scores.

Norms, rotations, activations, gates and sums do little arithmetic on what they read, so a long
prompt waits for their bytes. Counted in the code of `blocks/` and `ops/`, in numbers read and
written; `tests/planning/test_traffic.py` holds the sums to what PyTorch's dispatcher sees.
"""

from __future__ import annotations

from collections.abc import Mapping

from fathom.planning.costs import BYTES, EXACT_BYTES
from fathom.spec.attention import Attention, GatedAttention
from fathom.spec.decoder import FeedForward, Layer, Mixer, Residual
from fathom.spec.encoder_decoder import CrossLayer
from fathom.spec.experts import ClampedSwish, Experts
from fathom.spec.feed_forward import GatedMlp, Mlp
from fathom.spec.latent_attention import LatentAttention
from fathom.spec.parts import Norm
from fathom.spec.positions import Rotary
from fathom.spec.state_space import DeltaRule, Mamba, Mamba2
from fathom.spec.work import ADDED, MAPPED, TURNED

# Numbers per inner number of an activation that is not one operation.
ACTIVATED: Mapping[str, int] = {"gelu_quick": 7, "relu_squared": 4}
CLAMPED = 19  # of two bounds, a sum, a sigmoid and three products, per inner number
TAP = 4  # of a convolution, per channel: the sum, the value and its weight, the new sum
SCANNED = 9.5  # of a selective scan, per number of its memory
RECURRENT = 24  # float32 numbers per inner number of a recurrence: steps, gates, sums
CHUNKED = 2.2  # per head, number of its state and token of a chunk's matrices


def traffic(layer: Layer | CrossLayer, dtype: str) -> float:
    """Return the bytes per token of one layer, read and written."""
    size = BYTES[dtype]
    count = _mixer(layer.mixer, size) + _joined(layer.mixer_residual, layer.mixer.width, size)
    if layer.feed_forward is not None:
        count += _feed_forward(layer.feed_forward, size)
        count += _joined(layer.feed_forward_residual, layer.mixer.width, size)
    if isinstance(layer, CrossLayer):
        count += _joined(layer.cross_residual, layer.mixer.width, size)
    return count


def _exact(size: int) -> int:
    """Bytes of turning a number into float32 and back; nothing where it is float32 already."""
    return 0 if size == EXACT_BYTES else 2 * (size + EXACT_BYTES)


def _norm(part: Norm | None, numbers: int, size: int) -> float:
    return 0 if part is None else numbers * (MAPPED * EXACT_BYTES + _exact(size))


def _joined(residual: Residual, width: int, size: int) -> float:
    own = EXACT_BYTES if residual.exact else size
    norms = (residual.before, residual.after, residual.closing)
    scaled = MAPPED if residual.scale != 1.0 else 0
    return width * own * (ADDED + scaled) + sum(_norm(one, width, size) for one in norms)


def _mixer(part: Mixer, size: int) -> float:
    match part:
        case Attention():
            return _attention(part, size)
        case LatentAttention():
            return _latent(part, size)
        case Mamba():
            scan = SCANNED * part.inner * part.state_width * EXACT_BYTES
            return scan + _recurrence(part.inner, part.convolution.channels, size)
        case Mamba2():
            chunks = CHUNKED * part.heads * part.state_width * EXACT_BYTES
            return chunks * 8 + _recurrence(part.inner, part.convolution.channels, size)
        case DeltaRule():
            inner = part.value_heads * part.value_width
            chunks = CHUNKED * part.value_heads * (part.key_width + part.value_width) * EXACT_BYTES
            return chunks * 4 + _recurrence(inner, part.convolution.channels, size)


def _recurrence(inner: int, channels: int, size: int) -> float:
    convolved = channels * (4 * TAP * EXACT_BYTES + MAPPED * size)
    return convolved + inner * (RECURRENT * EXACT_BYTES + _exact(size))


def _attention(part: Attention, size: int) -> float:
    queries, keys = part.heads * part.head_width, part.kv_heads * part.head_width
    count = 2.0 * keys * ADDED * size  # kept
    count += MAPPED * queries * size  # heads put together
    count += _norm(part.query_norm, queries, size) + _norm(part.key_norm, keys, size)
    if isinstance(part.positions, Rotary):
        turned = (part.heads + part.kv_heads) * part.positions.width
        count += turned * (TURNED * EXACT_BYTES + _exact(size))
        if part.positions.width < part.head_width:
            count += MAPPED * (queries + keys) * size
    if part.clip is not None:
        count += MAPPED * (queries + 2 * keys) * size
    if part.temperature is not None:
        count += queries * (ADDED * EXACT_BYTES + _exact(size))
    return count + 2 * ADDED * queries * size * isinstance(part, GatedAttention)


def _latent(part: LatentAttention, size: int) -> float:
    rotary, queries = part.positions.width, part.heads * part.key_width
    turned = (part.heads + 1) * rotary * (TURNED * EXACT_BYTES + _exact(size))
    own = 0 if part.query_latent is None else part.query_latent
    normed = (own + part.latent) * (MAPPED * EXACT_BYTES + _exact(size))
    return turned + normed + (2 * MAPPED * queries + ADDED * (part.latent + rotary)) * size


def _feed_forward(part: FeedForward, size: int) -> float:
    if isinstance(part, Experts):
        return _experts(part, size)
    return _inner(part, size)


def _inner(part: GatedMlp | Mlp, size: int) -> float:
    gated = ADDED if isinstance(part, GatedMlp) else 0
    return part.inner * size * (ACTIVATED.get(part.activation, MAPPED) + gated)


def _experts(part: Experts, size: int) -> float:
    """Each chosen expert gathers its tokens, and its result is weighted and added in float32."""
    clamped = CLAMPED if isinstance(part.activation, ClampedSwish) else MAPPED + ADDED
    inner = part.inner * size * clamped
    gathered = MAPPED * size * (2 if part.weighted == "input" else 1)
    leaving = (MAPPED + ADDED) * EXACT_BYTES + _exact(size) / 2
    each = inner + part.width * (gathered + leaving)
    shared = 0.0 if part.shared is None else _inner(part.shared, size) + ADDED * part.width * size
    return part.router.active * each + shared + part.width * (EXACT_BYTES + _exact(size))
