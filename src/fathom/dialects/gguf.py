"""GGUF's one vocabulary of keys and tensor names, for every architecture that ggml knows.

Keys become the publisher's own configuration, so that one reader per dialect serves both kinds
of file; tensor names become ours through one table. Source: the GGUF specification and the
published constants of ggml's converters.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from fathom.dialects import gguf_mixtures, gguf_readers, gguf_recurrences
from fathom.dialects.dialect import Dialect
from fathom.dialects.gguf_classes import CLASSES
from fathom.dialects.gguf_spelling import Shapes, Spelling
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

_LAYER_NORM = {"attention.layer_norm_epsilon": "layer_norm_eps"}
_PARTLY_TURNED = {"rope.dimension_count": "rotary_dim"}
_CAPPED = {
    "attn_logit_softcapping": "attn_logit_softcapping",
    "final_logit_softcapping": "final_logit_softcapping",
}


def _gemma_scale(config: Mapping[str, object], shapes: Shapes) -> Mapping[str, object]:
    """Return Gemma's ``query_pre_attn_scalar``, which GGUF leaves to the reader.

    It is the width of a head, but for the 27B models that of a head sharing the whole width; as
    in ggml, they are known by their 46 and 62 layers.
    """
    width, heads = config.get("hidden_size"), config.get("num_attention_heads")
    large = config.get("num_hidden_layers") in (46, 62)
    if large and isinstance(width, int) and isinstance(heads, int):
        return {"query_pre_attn_scalar": width // heads}
    return {"query_pre_attn_scalar": config["head_dim"]} if "head_dim" in config else {}


def _cohere_norms(config: Mapping[str, object], shapes: Shapes) -> Mapping[str, object]:
    return {"use_qk_norm": "blk.0.attn_q_norm.weight" in shapes}


def _stablelm_layout(config: Mapping[str, object], shapes: Shapes) -> Mapping[str, object]:
    return {
        "use_qkv_bias": "blk.0.attn_q.bias" in shapes,
        "qk_layernorm": "blk.0.attn_q_norm.weight" in shapes,
        "use_parallel_residual": "blk.0.ffn_norm.weight" not in shapes,
    }


_GPT2 = {
    "context_length": "n_positions",
    "embedding_length": "n_embd",
    "block_count": "n_layer",
    "feed_forward_length": "n_inner",
    "attention.head_count": "n_head",
    "attention.layer_norm_epsilon": "layer_norm_epsilon",
}


def _falcon_layout(config: Mapping[str, object], shapes: Shapes) -> Mapping[str, object]:
    """Return Falcon's layout: the grouped one, of which one key head is the simplest case."""
    return {
        "new_decoder_architecture": True,
        "num_ln_in_parallel_attn": 2 if "blk.0.attn_norm_2.weight" in shapes else 1,
        "bias": "blk.0.attn_qkv.bias" in shapes,
    }


def _mpt_attention(config: Mapping[str, object], shapes: Shapes) -> Mapping[str, object]:
    """Return MPT's section for attention; a steepest slope of zero means no linear biases."""
    inside = {key: config[key] for key in ("clip_qkv", "alibi_bias_max") if key in config}
    steepest = inside.get("alibi_bias_max")
    if isinstance(steepest, float) and steepest.is_integer():
        inside["alibi_bias_max"] = int(steepest)  # as its publisher's tools ask
    if steepest == 0:
        inside = {**inside, "alibi": False, "alibi_bias_max": None}
    return {"attn_config": inside}


def _starcoder2_biases(config: Mapping[str, object], shapes: Shapes) -> Mapping[str, object]:
    return {"use_bias": "blk.0.attn_q.bias" in shapes}


def _openelm_factors(config: Mapping[str, object], shapes: Shapes) -> Mapping[str, object]:
    """Return feed-forward widths as OpenELM states them: multiples of the stream's width."""
    inner, width = config.get("intermediate_size"), config.get("model_dim")
    if not isinstance(inner, list) or not isinstance(width, int) or width < 1:
        raise ConfigError("GGUF's openelm.feed_forward_length must be a list, a number per layer")
    return {"ffn_multipliers": [size / width for size in inner], "ffn_dim_divisor": 1}


ARCHITECTURES: Mapping[str, Spelling] = {
    **gguf_mixtures.SPELLINGS,
    **gguf_recurrences.SPELLINGS,
    **gguf_readers.SPELLINGS,
    "qwen2": Spelling("qwen2"),
    "qwen3": Spelling("qwen3"),
    "gemma": Spelling("gemma"),
    "gemma2": Spelling("gemma2", _CAPPED, derive=_gemma_scale),
    "gemma3": Spelling(
        "gemma3_text",
        {**_CAPPED, "rope.freq_base_swa": "rope_local_base_freq"},
        derive=_gemma_scale,
    ),
    "phi2": Spelling("phi", {**_LAYER_NORM, **_PARTLY_TURNED}),
    "phi3": Spelling("phi3", _PARTLY_TURNED),
    "olmo": Spelling("olmo", {"attention.clamp_kqv": "clip_qkv"}),
    "olmo2": Spelling("olmo2"),
    "command-r": Spelling(
        "cohere", {**_LAYER_NORM, "logit_scale": "logit_scale"}, derive=_cohere_norms
    ),
    "cohere2": Spelling("cohere2", {**_LAYER_NORM, "logit_scale": "logit_scale"}),
    "granite": Spelling(
        "granite",
        {
            "attention.scale": "attention_multiplier",
            "embedding_scale": "embedding_multiplier",
            "residual_scale": "residual_multiplier",
            "logit_scale": "logits_scaling",
        },
    ),
    "nemotron": Spelling(
        "nemotron", {"attention.layer_norm_epsilon": "norm_eps", **_PARTLY_TURNED}
    ),
    "ernie4_5": Spelling("ernie4_5"),
    "smollm3": Spelling("smollm3"),
    "stablelm": Spelling("stablelm", {**_LAYER_NORM, **_PARTLY_TURNED}, derive=_stablelm_layout),
    "gpt2": Spelling("gpt2", _GPT2),
    "starcoder": Spelling("gpt_bigcode", _GPT2),
    "starcoder2": Spelling(
        "starcoder2",
        {"attention.layer_norm_epsilon": "norm_epsilon"},
        derive=_starcoder2_biases,
    ),
    "gptneox": Spelling(
        "gpt_neox",
        {**_LAYER_NORM, **_PARTLY_TURNED, "use_parallel_residual": "use_parallel_residual"},
    ),
    "bloom": Spelling(
        "bloom",
        {
            "context_length": "seq_length",
            "block_count": "n_layer",
            "attention.head_count": "n_head",
            "attention.layer_norm_epsilon": "layer_norm_epsilon",
        },
    ),
    "falcon": Spelling(
        "falcon",
        {
            "attention.head_count_kv": "num_kv_heads",
            "attention.layer_norm_epsilon": "layer_norm_epsilon",
            "feed_forward_length": "ffn_hidden_size",
        },
        derive=_falcon_layout,
    ),
    "mpt": Spelling(
        "mpt",
        {
            "context_length": "max_seq_len",
            "embedding_length": "d_model",
            "block_count": "n_layers",
            "attention.head_count": "n_heads",
            "attention.layer_norm_epsilon": "layer_norm_epsilon",
            "attention.clamp_kqv": "clip_qkv",
            "attention.max_alibi_bias": "alibi_bias_max",
        },
        derive=_mpt_attention,
    ),
    "openelm": Spelling(
        "openelm",
        {
            "context_length": "max_context_length",
            "embedding_length": "model_dim",
            "block_count": "num_transformer_layers",
            "attention.head_count": "num_query_heads",
            "attention.head_count_kv": "num_kv_heads",
            "rope.freq_base": "rope_freq_constant",
        },
        constants={"normalize_qk_projections": True},
        derive=_openelm_factors,
    ),
}

# Their names → ours. Only the rows whose own side exists in a spec apply to it.
TENSORS: tuple[Rule, ...] = (
    rename("token_embd", "embedding.tokens"),
    rename("token_embd_norm", "embedding.norm"),
    rename("position_embd", "embedding.positions"),
    rename("blk.{layer}.attn_norm", "layers.{layer}.mixer_residual.before"),
    rename("blk.{layer}.attn_q", "layers.{layer}.mixer.query"),
    rename("blk.{layer}.attn_k", "layers.{layer}.mixer.key"),
    rename("blk.{layer}.attn_v", "layers.{layer}.mixer.value"),
    rename("blk.{layer}.attn_q_norm", "layers.{layer}.mixer.query_norm"),
    rename("blk.{layer}.attn_k_norm", "layers.{layer}.mixer.key_norm"),
    rename("blk.{layer}.attn_output", "layers.{layer}.mixer.output"),
    rename("blk.{layer}.post_attention_norm", "layers.{layer}.mixer_residual.after"),
    rename("blk.{layer}.ffn_norm", "layers.{layer}.feed_forward_residual.before"),
    rename("blk.{layer}.ffn_gate", "layers.{layer}.feed_forward.gate"),
    rename("blk.{layer}.ffn_up", "layers.{layer}.feed_forward.up"),
    rename("blk.{layer}.ffn_down", "layers.{layer}.feed_forward.down"),
    rename("blk.{layer}.post_ffw_norm", "layers.{layer}.feed_forward_residual.after"),
    *gguf_mixtures.TENSORS,
    *gguf_readers.TENSORS,
    drop("blk.{layer}.attn_rot_embd"),
    drop("rope_freqs"),  # these three became part of the configuration
    drop("rope_factors_long"),
    drop("rope_factors_short"),
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
        raise ConfigError(
            "The GGUF file names no 'general.architecture', so it cannot be opened; take one that"
            " was converted whole"
        )
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
    if config.get("sliding_window") == 0:
        del config["sliding_window"]  # GGUF's way to say that there is none
    tokens = tensors.get("token_embd.weight")
    if tokens:
        config["vocab_size"] = tokens[0]  # the table, not the key, is what runs
    config["tie_word_embeddings"] = "output.weight" not in tensors
    config["attention_bias"] = "blk.0.attn_q.bias" in tensors or "blk.0.attn_qkv.bias" in tensors
    config["mlp_bias"] = "blk.0.ffn_up.bias" in tensors
    scaling = _rotary_scaling(metadata, name, tensors, floats)
    if scaling:
        config["rope_scaling"] = scaling
    if spelling.derive is not None:
        config |= spelling.derive(config, tensors)
    return {**config, "architectures": [CLASSES[str(config["model_type"])]]}


def published(config: Mapping[str, object]) -> dict[str, object]:
    """Return a configuration of `configuration` in words that its publisher's tools know.

    Numbers of a head that are turned are a share of it. Factors for each frequency, worked out
    before, are a LongRoPE that is the same for short and long texts and leaves scores as they are.
    """
    config = {**config, **_share_turned(config)}
    scaling = config.get("rope_scaling")
    if not isinstance(scaling, Mapping) or scaling.get("rope_type") != "given":
        return config
    law = {
        "rope_type": "longrope",
        "short_factor": scaling["factors"],
        "long_factor": scaling["factors"],
        "attention_factor": 1.0,
        "original_max_position_embeddings": config.get("max_position_embeddings"),
    }
    return {**config, "rope_scaling": law}


def _share_turned(config: Mapping[str, object]) -> Mapping[str, object]:
    turned, width = config.get("rotary_dim"), config.get("hidden_size")
    heads, head = config.get("num_attention_heads"), config.get("head_dim")
    if head is None and isinstance(width, int) and isinstance(heads, int) and heads:
        head = width // heads
    if not isinstance(turned, int) or not isinstance(head, int) or not head:
        return {}
    return {"partial_rotary_factor": turned / head}


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
    stated = {ours: metadata.get(prefix + key) for key, ours in keys.items()}
    found = {key: value for key, value in stated.items() if value is not None}
    if "rope_factors_long.weight" not in tensors:
        return found
    return found | {
        "rope_type": "longrope",
        "attention_factor": metadata.get(prefix + "attn_factor"),
        "short_factor": list(floats("rope_factors_short.weight")),
        "long_factor": list(floats("rope_factors_long.weight")),
    }
