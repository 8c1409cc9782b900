"""What mixtures of experts share, whoever published them: router sizes, tensor names."""

from __future__ import annotations

from collections.abc import Iterable

from fathom.dialects.config import Config
from fathom.dialects.rules import Rule, rename, stack
from fathom.spec.decoder import FeedForward, Layer, Mixer, Residual
from fathom.spec.experts import Router
from fathom.spec.parts import Norm

LAYER = "model.layers.{layer}"
OURS = "layers.{layer}.feed_forward"

PROJECTIONS = ("gate_proj", "up_proj", "down_proj")
NUMBERED = ("w1", "w3", "w2")  # gate, up and down as Meta numbered them
COUNTS = ("num_local_experts", "num_experts", "n_routed_experts")


def read_router(
    config: Config,
    width: int,
    *,
    counts: Iterable[str] = COUNTS,
    active: str = "num_experts_per_tok",
    renormalise: bool = False,
) -> Router:
    """Return a softmax router of the sizes that a configuration states.

    `counts` are the keys under which the number of experts is looked for, `active` is the key
    of how many a token passes.

    Raises:
        ConfigError: for a size that is missing, or more experts chosen than there are.
    """
    names = list(counts)
    present = [name for name in names if name in config]
    experts = config.integer(present[0] if present else names[0])
    chosen = config.integer(active)
    config.require(
        chosen <= experts, f"'{active}' is {chosen}, more than the {experts} experts there are"
    )
    return Router(width, experts, chosen, renormalise=renormalise)


def pre_norm(mixer: Mixer, feed_forward: FeedForward, norm: Norm, scale: float = 1.0) -> Layer:
    """Return a layer with a norm before each part, the residuals' additions scaled."""
    residual = Residual(before=norm, scale=scale)
    return Layer(mixer, residual, feed_forward, residual)


def expert_rules(
    theirs: str,
    *,
    maps: tuple[str, str, str] = PROJECTIONS,
    router: str = "gate",
    shared: str = "shared_experts",
) -> tuple[Rule, ...]:
    """Return the rules of one tensor per expert and map, with a router and a shared expert.

    `theirs` is the module that holds them, such as ``model.layers.{layer}.mlp``; `maps` are the
    names of gate, up and down.
    """
    return (
        rename(f"{theirs}.{router}", f"{OURS}.router.scores"),
        *(
            stack(f"{theirs}.experts.{{expert}}.{name}", f"{OURS}.experts.{part}")
            for name, part in zip(maps, ("gate", "up", "down"), strict=True)
        ),
        *shared_rules(f"{theirs}.{shared}"),
    )


def shared_rules(theirs: str) -> tuple[Rule, ...]:
    """Return the rules of the expert that every token passes, and of its own gate."""
    return (
        *(
            rename(f"{theirs}.{name}", f"{OURS}.shared.{part}")
            for name, part in zip(PROJECTIONS, ("gate", "up", "down"), strict=True)
        ),
        rename(f"{theirs}_gate", f"{OURS}.shared_gate"),
    )
