"""The arithmetic of a prediction, each term as a formula with its numbers in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from fathom.planning import costs
from fathom.planning.costs import BYTES, EXACT_BYTES
from fathom.planning.predict import PREFILL_CHUNK, Prediction
from fathom.planning.probe import Rates
from fathom.planning.speed import step_seconds
from fathom.spec.encoder import Encoder
from fathom.spec.model import TextModel
from fathom.spec.parts import count, parameters
from fathom.spec.roles import EXACT


def reasons(
    spec: TextModel, found: Prediction, rates: Rates | None, quant: str | None = None
) -> Mapping[str, str]:
    """Return a line per term and rate: what is multiplied with what."""
    told = {
        "weights": _weights(spec, found.dtype, quant),
        "state": _state(spec, found),
        "workspace": _workspace(spec, found),
        "prepared": "code that oneDNN keeps for each shape and number of rows of bfloat16 products",
        "runtime": "the process with torch and its kernels in use, no model yet; measured once",
        "accelerator context": "the driver's own memory on the device: assumed",
        "adapter": "rank × (inputs + outputs) of every map, in the model's type",
        "gradients": "one per trained number, in the model's type",
        "optimiser": "8 bytes per trained number for Adam's two moments; 4 for a master copy",
        "activations kept": "inputs and outputs of every map, for each token",
    }
    lines = {name: text for name, text in told.items() if name in found.terms}
    if rates is not None and not isinstance(spec, Encoder):
        seconds = step_seconds(spec, found.dtype, found.context // 2, found.batch, rates)
        parts = " + ".join(f"{value * 1e3:.3g} ms {name}" for name, value in seconds.items())
        total = sum(seconds.values()) * 1e3
        lines["writing"] = f"{found.batch} token(s) per step of {parts} = {total:.3g} ms"
    return lines


def _weights(spec: TextModel, dtype: str, quant: str | None) -> str:
    exact = sum(one.elements for one in parameters(spec) if one.role in EXACT)
    rest = count(spec) - exact
    if quant is not None:
        return f"{rest:,} numbers as {quant} packs them; {exact:,} × {EXACT_BYTES} bytes (float32)"
    return f"{rest:,} × {BYTES[dtype]} bytes ({dtype}) + {exact:,} × {EXACT_BYTES} bytes (float32)"


def _state(spec: TextModel, found: Prediction) -> str:
    arrays = Counter(
        (array.name, array.shape, array.exact) for array in costs.state_arrays(spec, found.context)
    )
    if not arrays:
        return "nothing is kept between passes"
    shown = [
        f"{times} × {name} {' × '.join(f'{side:,}' for side in shape)}"
        f" × {EXACT_BYTES if exact else BYTES[found.dtype]} bytes"
        for (name, shape, exact), times in arrays.items()
    ]
    return f"{found.batch} sequence(s) × ({' + '.join(shown)})"


def _workspace(spec: TextModel, found: Prediction) -> str:
    whole = isinstance(spec, Encoder)
    tokens = found.context if whole else min(found.context, PREFILL_CHUNK)
    return (
        f"the largest moment of a pass over {found.batch} × {tokens:,} tokens with"
        f" {found.context:,} in reach: {found.workspace_at}"
    )
