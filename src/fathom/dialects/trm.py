"""The tiny recursive model, as its authors configure and name it.

Jolicoeur-Martineau, 2025 (arXiv 2510.04871). Their configuration is the ``arch`` part of a run's
YAML; in a ``config.json`` it stands with ``"model_type": "trm"``.
"""

from __future__ import annotations

from collections.abc import Sequence

from fathom.dialects.config import Config
from fathom.dialects.dialect import Dialect
from fathom.dialects.rules import Rule, rename, split
from fathom.spec.attention import Attention
from fathom.spec.feed_forward import GatedMlp
from fathom.spec.parts import Linear, Norm, Table
from fathom.spec.positions import Rotary
from fathom.spec.recursive import Across, Recursive, RefiningLayer
from fathom.spec.roles import Role

INNER = "model.inner."
MULTIPLE = 256  # of which an inner width is


def read(config: Config) -> Recursive:
    """Return the recursive model that a configuration states."""
    width, length = config.integer("hidden_size"), config.integer("seq_len")
    table = config.integer("puzzle_emb_ndim", 0, least=0)
    slots = config.integer("puzzle_emb_len", 16, least=0) or -(-table // width)
    config.require(table <= slots * width, "'puzzle_emb_ndim' is more than its slots hold")
    config.require(bool(table) == bool(slots), "slots for a puzzle's vector need 'puzzle_emb_ndim'")
    vocabulary = config.integer("vocab_size")
    positions = config.choice("pos_encodings", ("rope", "learned", "none"), "rope")
    return Recursive(
        length=length,
        slots=slots,
        cycles=config.integer("H_cycles", most=1000),
        inner=config.integer("L_cycles", most=1000),
        rounds=config.integer("halt_max_steps", most=10_000),
        embedding=Table(vocabulary, width),
        puzzles=Table(config.integer("num_puzzle_identifiers"), table) if table else None,
        positions=Table(slots + length, width) if positions == "learned" else None,
        layers=(_layer(config, slots + length, width, positions == "rope"),)
        * config.integer("L_layers", most=10_000),
        output=Linear(width, vocabulary, Role.HEAD),
        halt=Linear(width, 2, Role.HEAD, bias=True),
    )


def _layer(config: Config, places: int, width: int, rotated: bool) -> RefiningLayer:
    expansion = config.number("expansion", positive=True)
    epsilon = config.number("rms_norm_eps", 1e-5, positive=True)
    across = config.flag("mlp_t", False)
    mixer = Across(_gated(places, expansion)) if across else _attention(config, width, rotated)
    return RefiningLayer(
        mixer,
        Norm(places if across else width, epsilon, weight=False),
        _gated(width, expansion),
        Norm(width, epsilon, weight=False),
    )


def _attention(config: Config, width: int, rotated: bool) -> Attention:
    heads = config.integer("num_heads")
    config.require(width % heads == 0, f"{heads} heads cannot share a width of {width} evenly")
    positions = None
    if rotated:
        positions = Rotary(config.number("rope_theta", 10_000.0, positive=True), width // heads)
    return Attention(width, heads, heads, width // heads, positions, causal=False)


def _gated(width: int, expansion: float) -> GatedMlp:
    inner = -(-round(expansion * width * 2 / 3) // MULTIPLE) * MULTIPLE
    return GatedMlp(width, inner)


def rules(spec: Recursive) -> Sequence[Rule]:
    """Return the authors' names, and ours."""
    theirs, ours = f"{INNER}L_level.layers.{{layer}}", "layers.{layer}"
    return (
        rename(f"{INNER}embed_tokens.embedding_weight", "embedding.weight"),
        rename(f"{INNER}puzzle_emb.weights", "puzzles.weight"),
        rename(f"{INNER}embed_pos.embedding_weight", "positions.weight"),
        rename(f"{INNER}H_init", "answer_start"),
        rename(f"{INNER}L_init", "scratch_start"),
        rename(f"{INNER}lm_head", "output"),
        rename(f"{INNER}q_head", "halt"),
        *_mixer_rules(spec.layers[0], theirs, ours),
        _gated_rule(f"{theirs}.mlp", f"{ours}.feed_forward", spec.layers[0].feed_forward),
        rename(f"{theirs}.mlp.down_proj", f"{ours}.feed_forward.down"),
    )


def _mixer_rules(layer: RefiningLayer, theirs: str, ours: str) -> Sequence[Rule]:
    if isinstance(layer.mixer, Across):
        return (
            _gated_rule(f"{theirs}.mlp_t", f"{ours}.mixer.map", layer.mixer.map),
            rename(f"{theirs}.mlp_t.down_proj", f"{ours}.mixer.map.down"),
        )
    rows = layer.mixer.heads * layer.mixer.head_width
    sizes = {f"{ours}.mixer.{name}": rows for name in ("query", "key", "value")}
    return (
        split(f"{theirs}.self_attn.qkv_proj", sizes),
        rename(f"{theirs}.self_attn.o_proj", f"{ours}.mixer.output"),
    )


def _gated_rule(theirs: str, ours: str, part: GatedMlp) -> Rule:
    return split(f"{theirs}.gate_up_proj", {f"{ours}.gate": part.inner, f"{ours}.up": part.inner})


DIALECT = Dialect("trm", read, rules, prefix="model.")
