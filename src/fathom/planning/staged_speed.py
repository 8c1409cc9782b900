"""How long a stage takes on a machine whose rates were measured, by what the time is spent on."""

from __future__ import annotations

from collections.abc import Mapping

from fathom.planning import costs
from fathom.planning.costs import BYTES, computed_in
from fathom.planning.executing import MOST_WRITTEN, PyTorch
from fathom.planning.issued import issued_in
from fathom.planning.probe import COLD, Rates
from fathom.planning.speed import CALLS, MAPS, NUMBERS, products_seconds
from fathom.planning.traffic import traffic
from fathom.planning.whole_layers import whole_parts
from fathom.spec.decoder import Layer
from fathom.spec.parts import Part, children
from fathom.spec.speech import Speech
from fathom.spec.whole import WholeLayer
from fathom.spec.work import Stage, Staged, Work

SOUND = "float32"  # in which spectrograms and scores are worked out
FREQUENCIES = 201  # of a frame, which its bands are sums of
HEARD = 2200  # numbers that a frame's spectrum reads and writes: a window, a transform, powers
CHOSEN = 4  # numbers read and written for each entry of the vocabulary, by rules and a logarithm
CHOOSING = 40  # operations of rules, a logarithm and of handing a token on

# How many times as fast native convolutions of three by three are as PyTorch's, which come near to
# what the processor can multiply: at the shapes of the benchmark's denoiser and autoencoder.
FILTERING: Mapping[str, float] = {"float32": 2.0, "bfloat16": 1.1, "float16": 1.0}


def pass_seconds(stage: Stage, dtype: str, rates: Rates) -> Mapping[str, float]:
    """Return the seconds of one pass of a stage, by what they are spent on.

    Its products take as long as reading the weights and their arithmetic; for few rows, that of
    the first is most of it. What else its numbers go through waits for memory, and every operation
    costs its call, which is most of the time of a small part.
    """
    moved = BYTES[dtype] * stage.moved + _layers_traffic(stage, dtype)
    return {
        MAPS: _products(stage, dtype, rates),
        NUMBERS: moved / rates.moved.get(dtype, rates.memory_read),
        CALLS: stage.turns * issued_in(stage.part) * rates.call_seconds,
    }


def beside_stages(spec: Staged, work: Work, dtype: str, rates: Rates) -> Mapping[str, float]:
    """Return the seconds of what a task does outside of its model's stages, settled.

    A model of speech is given the spectrogram of each window, and every token that it writes is
    chosen by rules over the scores of all.
    """
    if not isinstance(spec, Speech):
        return {}
    windows = {stage.name: stage.passes for stage in spec.stages(work)}["encoder"]
    frames, bands = windows * work.batch * spec.encoder.frames, spec.encoder.bands
    # In float32 whatever the model computes in; a device may have been rated in its own type alone.
    kind = SOUND if SOUND in rates.matmul else dtype
    moved = rates.moved.get(SOUND, rates.memory_read) / BYTES[SOUND]  # numbers a second
    chosen = windows * work.batch * (work.written or 1)
    each = CHOSEN * spec.vocabulary / moved + CHOOSING * rates.call_seconds
    products = 2 * FREQUENCIES * bands * frames / rates.fastest(kind)
    return {"spectrogram": products + HEARD * frames / moved, "choosing": chosen * each}


def _products(stage: Stage, dtype: str, rates: Rates) -> float:
    """Return the seconds of all products, scores of attention among them.

    Layers that run whole are as fast as the native kernels. Convolutions of three by three gain
    by minimal filtering.
    """
    if 0 < stage.rows <= MOST_WRITTEN:
        return _few_rows(stage, dtype, rates)
    saved = stage.filtered * (1 - 1 / FILTERING[dtype]) if rates.native is not None else 0.0
    whole = next(whole_parts(stage.part), None) is not None
    fastest = _native_fastest(dtype, rates) if whole else rates.many(dtype, stage.rows)
    reading = 0.0
    if stage.rows == 0 or stage.rows > COLD:
        reading = costs.weight_bytes_read(stage.part, computed_in(dtype)) / rates.memory_read
    return (stage.operations - saved) / fastest + reading


def _few_rows(stage: Stage, dtype: str, rates: Rates) -> float:
    """Return the seconds of products that are bound by their weights, and of attention."""
    maps = costs.map_operations(stage.part) * stage.rows
    others = max(0, stage.operations - stage.attended - maps)  # such as keys of what was heard
    slow, fastest = rates.attention_step.get(dtype), rates.fastest(dtype)
    read = products_seconds((stage.part,), stage.rows, PyTorch(dtype, rates))
    return read + stage.attended / (slow or fastest) + others / fastest


def _layers_traffic(stage: Stage, dtype: str) -> float:
    """Return the bytes that layers of tokens read and write beside products."""
    return stage.turns * stage.rows * _traffic(stage.part, dtype)


def _traffic(part: Part, dtype: str) -> float:
    if isinstance(part, WholeLayer):
        return BYTES[dtype] * part.moved
    if isinstance(part, Layer):
        return traffic(part, dtype)
    return sum(_traffic(child, dtype) for _, child in children(part))


def _native_fastest(dtype: str, rates: Rates) -> float:
    """Return the operations per second of native products of many rows.

    In float32 they were not measured, and are about as fast as PyTorch's.
    """
    if dtype != "bfloat16" or rates.native is None or "BF16" not in rates.native.products:
        return rates.fastest(dtype)
    return max(rate for _, rate in rates.native.products["BF16"])
