"""Which class of model a spec describes, by rules over the spec and nothing else."""

from __future__ import annotations

from fathom.spec.decoder import Decoder
from fathom.spec.experts import Experts
from fathom.spec.parts import active, count

SMALL = 10_000_000_000  # parameters; the usual border of "small" among publishers of small models


def model_class(spec: Decoder) -> tuple[str, str]:
    """Return the class of a model and the rule that decided it."""
    total = count(spec)
    routed = [layer for layer in spec.layers if isinstance(layer.feed_forward, Experts)]
    if routed:
        passed = f"{active(spec) / 1e9:.2f} B of its {total / 1e9:.2f} B parameters"
        return "MoE", f"{len(routed)} layers have routed experts; a token passes {passed}"
    if total < SMALL:
        return "SLM", f"a decoder of {total / 1e9:.2f} B parameters, under {SMALL // 10**9} B"
    return "LLM", f"a decoder of {total / 1e9:.1f} B parameters, {SMALL // 10**9} B or more"
