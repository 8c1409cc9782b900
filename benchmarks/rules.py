"""What the published rules of other estimators say of a model's memory: one formula each.

Re-implemented from their documentation and sources as of the versions named; 1 GB is 10^9 bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from fathom.spec.attention import Attention
from fathom.spec.model import TextModel
from fathom.spec.parts import count


@dataclass(frozen=True)
class Case:
    """What the rules look at. `stored` are the bytes of the weights' file."""

    spec: TextModel
    stored: int
    encoding: str
    context: int
    batch: int

    @property
    def attention(self) -> Attention | None:
        mixers = (layer.mixer for layer in self.spec.layers)
        return next((one for one in mixers if isinstance(one, Attention)), None)


def _cache(case: Case) -> int:
    """Keys and values in 16 bits of every layer, as the first attention layer has them."""
    found = case.attention
    if found is None:
        return 0
    per_token = 2 * len(case.spec.layers) * found.kv_heads * found.head_width * 2
    return case.batch * case.context * per_token


_LLMFIT = {"F32": 4.0, "BF16": 2.0, "Q8_0": 1.05, "Q4_0": 0.58}  # bytes per parameter


def llmfit(case: Case) -> float:
    """Parameters × bytes of the quantisation + a cache of all layers + 0.5 GB (3f44fd3)."""
    return count(case.spec) * _LLMFIT[case.encoding] + _cache(case) + 0.5e9


def hf_mem(case: Case) -> float:
    """Weights as stored + a cache of all layers; nothing else (e994679)."""
    return case.stored + _cache(case)


def accelerate(case: Case) -> float:
    """Weights + 20 % for inference (documentation of estimate-memory)."""
    return case.stored * 1.2


def local_ai(case: Case) -> float:
    """Weights + 2 bytes × width × key heads × context for GGUF, else 2 KiB per token."""
    found = case.attention
    if case.encoding in ("F32", "BF16") or found is None:
        return case.stored + 2048 * case.context
    return case.stored + 2 * case.spec.width * found.kv_heads * case.context


RULES: Mapping[str, Callable[[Case], float]] = {
    "llmfit": llmfit,
    "hf-mem": hf_mem,
    "accelerate": accelerate,
    "LocalAI": local_ai,
}
