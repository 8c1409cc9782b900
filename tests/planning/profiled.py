"""Random modules, and the memory that PyTorch's profiler saw them allocate."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from fathom.models.assemble import assemble
from fathom.spec.model import Model
from fathom.spec.parts import parameters
from fathom.spec.roles import EXACT


def random_module(spec: Model, dtype: torch.dtype) -> nn.Module:
    """Return the module of a spec with small random weights in a type; exact roles in float32."""
    made = assemble(spec)
    generator = torch.Generator().manual_seed(5)
    for one in parameters(spec):
        target = torch.float32 if one.role in EXACT else dtype
        weights = torch.empty(one.shape, dtype=target).normal_(std=0.05, generator=generator)
        path, _, leaf = one.name.rpartition(".")
        setattr(made.get_submodule(path), leaf, nn.Parameter(weights, requires_grad=False))
    return made.eval()


def allocated_peak(work: Callable[[], object]) -> int:
    """Return the most bytes that tensors held at once beyond those alive before.

    The profiler records every allocation of PyTorch's own allocator, those inside kernels too.
    """
    with torch.autograd.profiler.profile(profile_memory=True) as profiled:
        kept = work()
    del kept
    results = profiled.kineto_results
    assert results is not None
    events = sorted(
        (event for event in results.events() if event.name() == "[memory]"),
        key=lambda event: event.start_ns(),
    )
    held = most = 0
    for event in events:
        held += event.nbytes()
        most = max(most, held)
    return most
