"""GPT-Neo: GPT-2 whose layers take turns in seeing everything and a window, with unscaled scores.

Black et al., 2021 (doi 10.5281/zenodo.5297715).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from fathom.dialects import gpt2
from fathom.dialects.config import Config
from fathom.dialects.dialect import Dialect
from fathom.dialects.rules import Rule, drop, rename
from fathom.dialects.trunk import read_dimensions
from fathom.spec.attention import Everything, Reach, Window
from fathom.spec.decoder import Decoder

NAMES: Mapping[str, str] = {
    "num_attention_heads": "num_heads",
    "num_hidden_layers": "num_layers",
    "hidden_act": "activation_function",
    "layer_norm_eps": "layer_norm_epsilon",
}


def read(config: Config) -> Decoder:
    """Return the decoder that a configuration of this family states."""
    config = config.spelled(NAMES)
    sizes = read_dimensions(config)
    plain = replace(sizes.attention(), output_bias=True, scale=1.0)
    attention = [replace(plain, reach=reach) for reach in _reaches(config, sizes.layers)]
    return gpt2.decoder(config, sizes, attention, activation="gelu_new")


def _reaches(config: Config, layers: int) -> list[Reach]:
    """Return how far each layer sees, from ``[[["global", "local"], 12]]``: kinds and repeats."""
    kinds: list[object] = []
    for item in config.items("attention_types", [[["global", "local"], 12]]):
        match item:
            case [list(names), int(times)] if 0 < times <= layers:
                kinds += names * times
            case _:
                config.require(False, f"'attention_types' holds {item!r}, not kinds and a count")
    config.require(len(kinds) == layers, f"'attention_types' names {len(kinds)} layers of {layers}")
    known: dict[object, Reach] = {
        "global": Everything(),
        "local": Window(config.integer("window_size", 256)),
    }
    for kind in kinds:
        config.require(
            isinstance(kind, str) and kind in known,
            f"'attention_types' holds {kind!r}; known are {', '.join(map(str, known))}",
        )
    return [known[kind] for kind in kinds]


def rules(spec: Decoder) -> Sequence[Rule]:
    """Return the names in a safetensors file, and ours."""
    theirs, ours = "transformer.h.{layer}", "layers.{layer}"
    inner = f"{theirs}.attn.attention"
    return gpt2.trunk_rules(
        spec,
        rename(f"{inner}.q_proj", f"{ours}.mixer.query"),
        rename(f"{inner}.k_proj", f"{ours}.mixer.key"),
        rename(f"{inner}.v_proj", f"{ours}.mixer.value"),
        rename(f"{inner}.out_proj", f"{ours}.mixer.output"),
        drop(f"{inner}.bias"),  # the causal mask
        drop(f"{inner}.masked_bias"),
        rename(f"{theirs}.mlp.c_fc", f"{ours}.feed_forward.up"),
        rename(f"{theirs}.mlp.c_proj", f"{ours}.feed_forward.down"),
    )


DIALECT = Dialect("gpt_neo", read, rules, prefix="transformer.")
