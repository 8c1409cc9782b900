"""Bytes counted in a formula against those that PyTorch's operations read and write."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from fathom.dialects.config import Config
from fathom.dialects.dialect import find
from fathom.generation.state import ContiguousState
from fathom.planning.traffic import traffic
from fathom.spec.decoder import Decoder
from planning.profiled import random_module
from planning.test_fit import MODELS

# Products and what is done with each score, which `planning.speed` counts by themselves.
OTHER = {"linear", "mm", "addmm", "bmm", "matmul", "einsum", "embedding", "softmax", "_softmax"}
SCORED = {"scaled_dot_product_attention", "masked_fill", "masked_fill_", "tanh", "div", "tril"}
TOKENS = 64
OFF = 0.25  # masks, angles, the routing of experts: what has no term of its own


class Moved(TorchDispatchMode):
    """Adds up the bytes of what operations take and give."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = function(*args, **(kwargs or {}))
        name = function._schema.name.partition("::")[2]
        if not function.is_view and name not in OTHER | SCORED:
            self.bytes += _size(args) + _size(result)
        return result


def _size(value: object) -> int:
    if isinstance(value, Tensor):
        return value.nbytes
    return sum(map(_size, value)) if isinstance(value, tuple | list) else 0


# One of each kind of layer whose work is its own.
KINDS = ("llama", "gemma3_text", "gpt2", "phi", "olmo2", "granite", "mixtral", "deepseek_v3")
RECURRENT = ("mamba", "mamba2", "qwen3_next")


@pytest.mark.parametrize("name", [*KINDS, *RECURRENT])
def test_bytes_of_layers_are_those_that_operations_move(name: str) -> None:
    layers = "n_layer" if "n_layer" in MODELS[name] else "num_hidden_layers"
    small = {layers: 2, "vocab_size": 64, "pad_token_id": 0}
    spec = find(name).read(Config({"model_type": name, **MODELS[name], **small}))
    assert isinstance(spec, Decoder)
    module = random_module(spec, torch.float32)
    state = ContiguousState(spec, batch=1, capacity=TOKENS, dtype=torch.float32)
    with torch.inference_mode(), Moved() as moved:
        module.hidden(
            torch.zeros(1, TOKENS, dtype=torch.long), step=state.advance(TOKENS), state=state
        )
    predicted = sum(traffic(layer, "float32") for layer in spec.layers)
    assert predicted == pytest.approx(moved.bytes / TOKENS, rel=OFF)
