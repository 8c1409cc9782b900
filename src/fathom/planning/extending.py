"""The prediction of a deep model from one layer of each sort: many are compared while one waits.

Every term, and the seconds of every pass, are a constant and so much per layer. So a model with
one layer of each sort is predicted, then one more of each, and that is extended to all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from typing import TypeVar

from fathom.planning.costs import BYTES
from fathom.planning.native import predict_native, vocabulary_bytes
from fathom.planning.opened import as_named, packed
from fathom.planning.predict import Prediction, predict
from fathom.planning.probe import Rates
from fathom.planning.programs import why_modules
from fathom.planning.storing import is_finer, stored_bytes
from fathom.planning.target import computed_dtype
from fathom.spec.decoder import Decoder
from fathom.spec.encoder_decoder import EncoderDecoder
from fathom.spec.model import Layered, TextModel

S = TypeVar("S", bound=Layered)


def stored_prediction(
    spec: TextModel, stored: str, context: int, rates: Rates | None
) -> Prediction:
    """Return what `predict` says, with the weights as they are stored.

    Packed weights are read in so much less time as they are smaller. The limit of the speed is
    left out: it is not what models are compared by.
    """
    dtype = computed_dtype(stored)
    size = None if stored in BYTES else stored_bytes(spec, stored)
    if size is not None and rates is not None:
        rates = _faster(rates, stored_bytes(spec, dtype) / size)

    def whole(model: TextModel) -> Prediction:
        return predict(model, dtype=dtype, context=context, rates=rates)

    if isinstance(spec, Decoder):
        found = _extended(spec.layers, lambda kept: whole(_of_layers(spec, kept)))
    else:
        found = replace(whole(spec), limit=None)
    if size is None:
        return found
    return replace(found, dtype=stored, terms={**found.terms, "weights": size})


def program_prediction(
    spec: TextModel, stored: str, context: int, rates: Rates | None, device: str
) -> Prediction | None:
    """Return what `predict_native` says of the program, with the weights as they are stored.

    None where opening would make none; layers that are alike are asked about once.
    """
    if isinstance(spec, EncoderDecoder):
        return _pair_prediction(spec, stored, context, rates, device)
    sorts = replace(spec, layers=tuple(dict.fromkeys(spec.layers)))
    if why_modules(sorts, device=device) is not None:
        return None
    layers = len(spec.layers)
    finer = [is_finer(index, layers) for index in range(layers)]

    def some(kept: Sequence[int]) -> Prediction:
        model = _of_layers(spec, kept)
        packing = as_named(model, stored, [finer[index] for index in kept])
        return predict_native(packed(model, computed_dtype(stored), packing, rates), context)

    found = _extended(list(zip(spec.layers, finer, strict=True)), some)
    free = found.terms["state"] + found.terms["rows"]  # the one term that is no line by layers
    terms = {**found.terms, "vocabulary": vocabulary_bytes(spec.vocabulary, free)}
    return replace(found, dtype=stored, terms=terms)


def _pair_prediction(
    spec: EncoderDecoder, stored: str, context: int, rates: Rates | None, device: str
) -> Prediction | None:
    if why_modules(spec, device=device) is not None:
        return None
    programs = packed(spec, computed_dtype(stored), as_named(spec, stored), rates)
    found = predict_native(programs, context)
    return replace(found, dtype=stored, limit=None)


def _of_layers(spec: S, kept: Sequence[int]) -> S:
    return replace(spec, layers=tuple(spec.layers[index] for index in kept))


def _faster(rates: Rates, times: float) -> Rates:
    matvec = {
        dtype: tuple((inputs, call, rate * times) for inputs, call, rate in points)
        for dtype, points in rates.matvec.items()
    }
    return replace(rates, matvec=matvec)


def _extended(
    sorts: Sequence[Hashable], predicted: Callable[[Sequence[int]], Prediction]
) -> Prediction:
    """Extend what is predicted of some layers, by their indices, to all; `sorts` are theirs."""
    counts = Counter(sorts)
    if len(counts) ** 2 * 2 > len(sorts):
        return replace(predicted(range(len(sorts))), limit=None)
    # The last layer stays the last: most of it is worked out for the rows that have scores alone.
    firsts = sorted((sorts.index(each) for each in counts), key=lambda at: sorts[at] == sorts[-1])
    base = predicted(firsts)
    more = [
        (predicted([first, *firsts]), counts[sorts[first]] - 1)
        for first in firsts
        if counts[sorts[first]] > 1
    ]
    return replace(
        base,
        terms={
            name: value + sum(times * (one.terms[name] - value) for one, times in more)
            for name, value in base.terms.items()
        },
        decode_tokens_per_second=_line(
            base.decode_tokens_per_second,
            [(one.decode_tokens_per_second, times) for one, times in more],
        ),
        prefill_tokens_per_second=_line(
            base.prefill_tokens_per_second,
            [(one.prefill_tokens_per_second, times) for one, times in more],
        ),
        limit=None,
    )


def _line(base: float | None, more: Sequence[tuple[float | None, int]]) -> float | None:
    """Extend a rate: what adds up per layer are its seconds."""
    if base is None:
        return None
    return 1 / (1 / base + sum(times * (1 / rate - 1 / base) for rate, times in more if rate))
