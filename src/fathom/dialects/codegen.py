"""CodeGen: GPT-J with one fused projection (Nijkamp et al., 2022, arXiv 2203.13474)."""

from __future__ import annotations

from collections.abc import Sequence

from fathom.dialects import gptj
from fathom.dialects.config import Config
from fathom.dialects.dialect import Dialect
from fathom.dialects.rules import Rule, split
from fathom.spec.attention import Attention
from fathom.spec.decoder import Decoder

BLOCKS = 4  # the fused rows lie as the cores of the machine that it was trained on held them


def read(config: Config) -> Decoder:
    """Return the decoder that a configuration of this family states."""
    spec = gptj.read(config)
    heads = spec.mixer(Attention).heads
    config.require(heads % BLOCKS == 0, f"{heads} heads do not fall into CodeGen's {BLOCKS} blocks")
    return spec


def rules(spec: Decoder) -> Sequence[Rule]:
    """Return the names in a safetensors file, and ours; a block is query, value, key."""
    attention = spec.mixer(Attention)
    rows = attention.heads * attention.head_width
    ours = "layers.{layer}.mixer"
    sizes = {f"{ours}.query": rows, f"{ours}.value": rows, f"{ours}.key": rows}
    fused = split("transformer.h.{layer}.attn.qkv_proj", sizes, groups=BLOCKS)
    return gptj.trunk_rules(spec, fused)


DIALECT = Dialect("codegen", read, rules, prefix="transformer.")
