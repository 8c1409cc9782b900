"""Qwen2-Audio: Whisper's tower, its states averaged in pairs, one map, and a decoder.

Chu et al., 2024 (arXiv 2407.10759).
"""

from __future__ import annotations

from collections.abc import Sequence

from fathom.dialects.config import Config
from fathom.dialects.dialect import Dialect, find
from fathom.dialects.rules import Rule, below, rename
from fathom.dialects.trunk import trunk_rules, with_defaults
from fathom.dialects.whisper import read_tower
from fathom.dialects.whisper import tower_rules as hearing_rules
from fathom.errors import ConfigError
from fathom.spec.decoder import Decoder
from fathom.spec.parts import Linear
from fathom.spec.roles import Role
from fathom.spec.speech_language import SpeechLanguage

POOLED = 2  # neighbours in time
# What published files leave out: the sizes of Whisper's large tower, and of the first Qwen 2.
TOWER = {
    **{"d_model": 1280, "encoder_layers": 32, "encoder_attention_heads": 20},
    **{"encoder_ffn_dim": 5120, "num_mel_bins": 128},
}
TEXT = {
    **{"hidden_size": 4096, "intermediate_size": 22016, "num_hidden_layers": 32},
    **{"num_attention_heads": 32, "num_key_value_heads": 32, "vocab_size": 151936},
    "model_type": "qwen2",
}


def read(config: Config) -> SpeechLanguage:
    """Return the tower, the map and the decoder that a configuration states."""
    encoder = read_tower(with_defaults(config.section("audio_config"), TOWER), POOLED)
    text = with_defaults(config.section("text_config"), TEXT)
    decoder = find(text.text("model_type")).read(text)
    if not isinstance(decoder, Decoder):
        raise ConfigError(f"{config.where}: 'text_config' is of no decoder; take one of a decoder")
    key = "audio_token_id" if "audio_token_id" in config else "audio_token_index"
    return SpeechLanguage(
        encoder=encoder,
        connector=Linear(encoder.width, decoder.width, Role.DENSE, bias=True),
        decoder=decoder,
        placeholder=config.integer(key, 151646, least=0, most=decoder.vocabulary - 1),
    )


def rules(spec: SpeechLanguage) -> Sequence[Rule]:
    """Return the names in a safetensors file, and ours."""
    return (
        *hearing_rules("audio_tower", "encoder"),
        rename("multi_modal_projector.linear", "connector"),
        *below(trunk_rules(spec.decoder), "language_model.", "decoder."),
    )


DIALECT = Dialect("qwen2_audio", read, rules)
