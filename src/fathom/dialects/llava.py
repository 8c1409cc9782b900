"""LLaVA 1.5 and what is built like it: CLIP's tower, two maps, and a decoder of any family.

Liu et al., 2023 (arXiv 2310.03744).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from fathom.dialects import clip, siglip
from fathom.dialects.config import Config
from fathom.dialects.dialect import Dialect, find
from fathom.dialects.rules import Rule, below, rename
from fathom.dialects.towers import nested, read_norm, tower_rules
from fathom.dialects.trunk import trunk_rules, with_defaults
from fathom.errors import ConfigError
from fathom.spec.decoder import Decoder
from fathom.spec.vision import VisionEncoder
from fathom.spec.vision_language import Connector, Seeing, VisionLanguage

# The sizes of Llama 7B, which published files leave out.
LLAMA = {
    **{"hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32},
    **{"num_attention_heads": 32, "vocab_size": 32000, "model_type": "llama"},
}
# CLIP's large tower at 336 pixels.
TOWER = {
    **{"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24},
    **{"num_attention_heads": 16, "image_size": 336, "patch_size": 14},
}
TOWERS: Mapping[str, Callable[[Config], VisionEncoder]] = {
    "clip_vision_model": clip.read_vision,
    "siglip_vision_model": siglip.read_vision,
}


def read(config: Config) -> VisionLanguage:
    """Return the model that a configuration states."""
    tower = _read_tower(nested(config, "vision_config", {}))
    decoder = read_decoder(config)
    seeing = _read_seeing(config, tower)
    bias = config.flag("multimodal_projector_bias", True)
    activation = config.activation("projector_hidden_act", "gelu")
    key = "image_token_id" if "image_token_id" in config else "image_token_index"
    return VisionLanguage(
        vision=tower,
        seeing=seeing,
        connector=Connector(len(seeing.depths) * tower.width, decoder.width, activation, bias),
        decoder=decoder,
        placeholder=config.integer(key, 32000, least=0),
    )


def read_decoder(config: Config, defaults: Mapping[str, object] = LLAMA) -> Decoder:
    """Return the decoder of a model that sees, by its own dialect."""
    text = with_defaults(config.section("text_config"), defaults)
    found = find(text.text("model_type")).read(text)
    if not isinstance(found, Decoder):
        raise ConfigError(f"{config.where}: 'text_config' is of no decoder; take one of a decoder")
    return found


def with_output_tied(config: Config, decoder: Decoder) -> Decoder:
    """Return a decoder whose output is tied where the file lacks one, or the whole model says so.

    The whole model's word counts before that of its text, and the file's before both.
    """
    stated = config.flag("tie_word_embeddings", decoder.output.tied)
    tied = not config.holds("lm_head.weight", unknown=not stated)
    return replace(decoder, output=replace(decoder.output, tied=tied))


def _read_tower(config: Config) -> VisionEncoder:
    """Return the tower with the norm of its last states, which is stored and not asked."""
    kind = config.choice("model_type", TOWERS, "clip_vision_model")
    config = with_defaults(config, TOWER if kind == "clip_vision_model" else {})
    tower = TOWERS[kind](config)
    if tower.norm is not None:
        return tower
    return replace(tower, norm=read_norm(with_defaults(config, clip.VISION), tower.width))


def _read_seeing(config: Config, tower: VisionEncoder) -> Seeing:
    """Return which states are read: counted from the last one where the number is negative."""
    stated = config.values.get("vision_feature_layer", -2)
    listed = stated if isinstance(stated, list) else [stated]
    count = len(tower.layers)
    wanted = Config({str(place): depth for place, depth in enumerate(listed)}, config.where)
    depths = [wanted.integer(key, least=-count - 1, most=count) for key in wanted.values]
    config.require(bool(depths), "'vision_feature_layer' names no layer")
    strategy = config.choice("vision_feature_select_strategy", ("default", "full"), "default")
    positive = tuple(depth if depth >= 0 else count + 1 + depth for depth in depths)
    return Seeing(positive, keeps_summary=strategy == "full" or not tower.embedding.before)


def rules(spec: VisionLanguage) -> Sequence[Rule]:
    """Return the names in a safetensors file, and ours; older files say ``vision_model`` too."""
    towers = ("vision_tower", "vision_tower.vision_model")
    return (
        *(rule for tower in towers for rule in tower_rules(tower, "vision")),
        *(rename(f"{tower}.post_layernorm", "vision.norm") for tower in towers),
        rename("multi_modal_projector.linear_1", "connector.up"),
        rename("multi_modal_projector.linear_2", "connector.down"),
        *below(trunk_rules(spec.decoder), "language_model.", "decoder."),
    )


DIALECT = Dialect("llava", read, rules)
