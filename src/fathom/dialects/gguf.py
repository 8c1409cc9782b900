"""GGUF's one vocabulary of keys and tensor names, for every architecture that ggml knows.

Keys become the publisher's own configuration, so that one reader per dialect serves both kinds
of file; tensor names become ours through one table. Source: the GGUF specification and the
published constants of ggml's converters.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from fathom.dialects.dialect import Dialect
from fathom.dialects.rules import Rule, drop, rename
from fathom.errors import ConfigError, UnknownArchitectureError, nearest
from fathom.spec.model import Model

# Key after "<architecture>." → the publisher's key, as most decoders spell it.
COMMON_KEYS: Mapping[str, str] = {
    "context_length": "max_position_embeddings",
    "embedding_length": "hidden_size",
    "block_count": "num_hidden_layers",
    "feed_forward_length": "intermediate_size",
    "vocab_size": "vocab_size",
    "attention.head_count": "num_attention_heads",
    "attention.head_count_kv": "num_key_value_heads",
    "attention.key_length": "head_dim",
    "attention.sliding_window": "sliding_window",
    "attention.layer_norm_rms_epsilon": "rms_norm_eps",
    "rope.freq_base": "rope_theta",
}


@dataclass(frozen=True)
class Spelling:
    """How GGUF writes one ``model_type``: key names that differ from most, and constants."""

    model_type: str
    keys: Mapping[str, str] = field(default_factory=dict)
    constants: Mapping[str, object] = field(default_factory=dict)


ARCHITECTURES: Mapping[str, Spelling] = {
    "llama": Spelling("llama"),
}

# Their names → ours. Only the rows whose own side exists in a spec apply to it.
TENSORS: tuple[Rule, ...] = (
    rename("token_embd", "embedding.tokens"),
    rename("blk.{layer}.attn_norm", "layers.{layer}.mixer_residual.before"),
    rename("blk.{layer}.attn_q", "layers.{layer}.mixer.query"),
    rename("blk.{layer}.attn_k", "layers.{layer}.mixer.key"),
    rename("blk.{layer}.attn_v", "layers.{layer}.mixer.value"),
    rename("blk.{layer}.attn_output", "layers.{layer}.mixer.output"),
    rename("blk.{layer}.ffn_norm", "layers.{layer}.feed_forward_residual.before"),
    rename("blk.{layer}.ffn_gate", "layers.{layer}.feed_forward.gate"),
    rename("blk.{layer}.ffn_up", "layers.{layer}.feed_forward.up"),
    rename("blk.{layer}.ffn_down", "layers.{layer}.feed_forward.down"),
    drop("blk.{layer}.attn_rot_embd"),
    drop("rope_freqs"),  # became part of the configuration
    rename("output_norm", "norm"),
    rename("output", "output.head"),
)


def rules(dialect: Dialect[Model], spec: Model) -> Sequence[Rule]:
    """Return the rules for a GGUF file of this dialect, its own ones first."""
    own = dialect.gguf_rules(spec) if dialect.gguf_rules else ()
    return (*own, *TENSORS)


def architecture(metadata: Mapping[str, object]) -> str:
    """Return the architecture that a GGUF file names.

    Raises:
        ConfigError: when it names none.
    """
    name = metadata.get("general.architecture")
    if not isinstance(name, str):
        raise ConfigError("The GGUF file names no 'general.architecture', so it cannot be opened")
    return name


def configuration(
    metadata: Mapping[str, object],
    tensors: Mapping[str, tuple[int, ...]],
    floats: Callable[[str], Sequence[float]],
) -> dict[str, object]:
    """Return a GGUF file's keys as the configuration that its publisher would have written.

    `tensors` gives the shapes of the file; what it leaves unsaid in its keys is read from them.
    `floats` reads one small float32 tensor.

    Raises:
        UnknownArchitectureError: for an architecture without a spelling here.
    """
    name = architecture(metadata)
    if name not in ARCHITECTURES:
        raise UnknownArchitectureError(
            f"There is no dialect for the GGUF architecture '{name}'.{nearest(name, ARCHITECTURES)}"
        )
    spelling = ARCHITECTURES[name]
    config: dict[str, object] = {"model_type": spelling.model_type, **spelling.constants}
    for key, theirs in {**COMMON_KEYS, **spelling.keys}.items():
        value = metadata.get(f"{name}.{key}")
        if value is not None:
            config[theirs] = value
    tokens = tensors.get("token_embd.weight")
    if tokens:
        config["vocab_size"] = tokens[0]  # the table, not the key, is what runs
    config["tie_word_embeddings"] = "output.weight" not in tensors
    config["attention_bias"] = "blk.0.attn_q.bias" in tensors
    config["mlp_bias"] = "blk.0.ffn_up.bias" in tensors
    scaling = _rotary_scaling(metadata, name, tensors, floats)
    if scaling:
        config["rope_scaling"] = scaling
    return config


def _rotary_scaling(
    metadata: Mapping[str, object],
    name: str,
    tensors: Mapping[str, tuple[int, ...]],
    floats: Callable[[str], Sequence[float]],
) -> dict[str, object]:
    if "rope_freqs.weight" in tensors:  # Llama 3.1's law, already worked out per frequency
        return {"rope_type": "given", "factors": list(floats("rope_freqs.weight"))}
    prefix = f"{name}.rope.scaling."
    keys = {
        "type": "rope_type",
        "factor": "factor",
        "original_context_length": "original_max_position_embeddings",
        "yarn_beta_fast": "beta_fast",
        "yarn_beta_slow": "beta_slow",
    }
    found = {ours: metadata.get(prefix + key) for key, ours in keys.items()}
    return {key: value for key, value in found.items() if value is not None}
