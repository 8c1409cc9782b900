"""Qwen 2.5 Omni's thinker: Qwen 2.5 VL with a tower that hears, Whisper's in pieces of seconds.

Xu et al., 2025 (arXiv 2503.20215). The published whole also speaks: a talker and a vocoder turn
what the thinker writes into sound. They are not read here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace

from fathom.dialects import qwen_vl
from fathom.dialects.config import Config
from fathom.dialects.dialect import Dialect
from fathom.dialects.qwen2_audio import POOLED
from fathom.dialects.qwen2_audio import TOWER as HEARING
from fathom.dialects.rules import Rule, below, drop, rename
from fathom.dialects.trunk import trunk_rules, with_defaults
from fathom.dialects.whisper import layer_rules, read_tower
from fathom.spec.audio import FixedPositions
from fathom.spec.omni import Omni
from fathom.spec.parts import Linear
from fathom.spec.roles import Role
from fathom.spec.vision_language import VisionLanguage

# What files leave out: the sizes of the reference's configurations.
TEXT: Mapping[str, object] = {
    **{"vocab_size": 152064, "hidden_size": 3584, "intermediate_size": 18944},
    **{"num_hidden_layers": 28, "num_attention_heads": 28, "num_key_value_heads": 4},
    **{"rms_norm_eps": 1e-6, "max_position_embeddings": 32768, "rope_theta": 1e6},
}
MOST_WINDOW = 10_000  # positions that are heard together
# What only the whole has, beside the thinker.
SPEAKING = ("talker.**", "token2wav.**")


def read(config: Config) -> Omni:
    """Return the thinker that a configuration states, alone or within the whole."""
    if config.text("model_type", "qwen2_5_omni") == "qwen2_5_omni":
        inner = config.section("thinker_config")
        config = Config(inner.values, inner.where, tensors=config.tensors)
    seeing = _read_seeing(config)
    audio = with_defaults(config.section("audio_config"), HEARING)
    encoder = read_tower(audio, POOLED)
    positions = audio.integer("n_window", 100, most=MOST_WINDOW)
    config.require(positions % POOLED == 0, "'n_window' must be even: states are taken in pairs")
    outputs = audio.integer("output_dim", seeing.decoder.width)
    config.require(
        outputs == seeing.decoder.width,
        f"the tower that hears gives {outputs} numbers to a stream of {seeing.decoder.width}",
    )
    moving = seeing.moving
    stated = {field.name: getattr(seeing, field.name) for field in fields(seeing)}
    return Omni(
        **{**stated, "moving": None if moving is None else replace(moving, timed=True)},
        encoder=replace(encoder, positions=FixedPositions(positions, encoder.width)),
        hearing=Linear(encoder.width, outputs, Role.DENSE, bias=True),
        voice=_token(config, "audio", 151646),
    )


def _read_seeing(config: Config) -> VisionLanguage:
    """Return all but what hears, by the keys of Qwen 2.5 VL."""
    text = with_defaults(config.section("text_config"), TEXT)
    vision = dict(config.section("vision_config").values)
    vision["tokens_per_second"] = config.number("position_id_per_seconds", 25, positive=True)
    stated = {
        "model_type": "qwen2_5_vl",
        "text_config": dict(text.values),
        "vision_config": vision,
        "image_token_id": _token(config, "image", 151655),
        "video_token_id": _token(config, "video", 151656),
        "tie_word_embeddings": config.flag("tie_word_embeddings", False),
    }
    return qwen_vl.read(Config(stated, config.where, tensors=config.tensors))


def _token(config: Config, kind: str, usual: int) -> int:
    """Return the token in whose places something stands."""
    key = f"{kind}_token_id" if f"{kind}_token_id" in config else f"{kind}_token_index"
    return config.integer(key, usual, least=0)


def rules(spec: Omni) -> Sequence[Rule]:
    """Return the names in a safetensors file, and ours."""
    theirs, ours = "visual.blocks.{layer}.attn", "vision.layers.{layer}.mixer"
    thinker = (
        *(rename(f"{theirs}.{name[0]}", f"{ours}.{name}") for name in ("query", "key", "value")),
        *qwen_vl.tower_rules(spec),
        *layer_rules("audio_tower", "encoder"),
        rename("audio_tower.conv1", "encoder.first"),
        rename("audio_tower.conv2", "encoder.second"),
        rename("audio_tower.ln_post", "encoder.norm"),
        rename("audio_tower.proj", "hearing"),
        rename("audio_tower.audio_bos_eos_token", "borders"),
        *below(trunk_rules(spec.decoder), "", "decoder."),
    )
    return (*below(thinker, "thinker.", ""), *map(drop, SPEAKING))


DIALECT = Dialect("qwen2_5_omni", read, rules, prefix="thinker.")
