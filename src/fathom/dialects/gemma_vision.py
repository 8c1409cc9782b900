"""PaliGemma and Gemma 3 that see: SigLIP's tower before a Gemma, whose tokens see pictures whole.

Beyer et al., 2024 (arXiv 2407.07726), in which a whole prompt sees itself; Gemma Team, 2025 (arXiv
2503.19786), in which the places of a picture do, and squares of states become their mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isqrt

from fathom.dialects import gemma, siglip
from fathom.dialects.config import Config
from fathom.dialects.dialect import Dialect
from fathom.dialects.llava import read_decoder
from fathom.dialects.rules import Rule, Shift, Transpose, below, drop, rename
from fathom.dialects.towers import tower_rules
from fathom.dialects.trunk import with_defaults
from fathom.spec.decoder import Decoder
from fathom.spec.parts import Norm
from fathom.spec.vision_language import Connector, Layout, Seeing, VisionLanguage

# SigLIP's shape-optimised tower, of which published files state most.
TOWER = {
    **{"hidden_size": 1152, "intermediate_size": 4304, "num_hidden_layers": 27},
    **{"num_attention_heads": 16, "patch_size": 14},
}
# What published files leave out of the text's sizes, by the kind that they name.
PALIGEMMA = {
    **{"model_type": "gemma", "hidden_size": 2048, "intermediate_size": 16384},
    **{"num_hidden_layers": 18, "num_attention_heads": 8, "num_key_value_heads": 1},
    **{"vocab_size": 257152},
}
GEMMA = {
    **{"model_type": "gemma3_text", "hidden_size": 2304, "intermediate_size": 9216},
    **{"num_hidden_layers": 26},
}
AROUND = Layout(begin="\n\n<start_of_image>", end="<end_of_image>\n\n")


def read(config: Config) -> VisionLanguage:
    """Return the model that a configuration states."""
    third = config.choice("model_type", ("paligemma", "gemma3")) == "gemma3"
    tower = siglip.read_vision(with_defaults(config.section("vision_config"), TOWER))
    decoder = read_decoder(config, GEMMA) if third else _read_prompted(config)
    key = "image_token_id" if "image_token_id" in config else "image_token_index"
    seeing = Seeing((len(tower.layers),), normed=True)
    if not third:
        return VisionLanguage(
            vision=tower,
            seeing=seeing,
            connector=Connector(tower.width, decoder.width, single=True),
            decoder=decoder,
            placeholder=config.integer(key, 256000, least=0),
            ahead="prompt",
            question=("<bos>", "\n"),
        )
    epsilon = with_defaults(config.section("vision_config"), siglip.VISION)
    norm = Norm(tower.width, epsilon.number("layer_norm_eps", positive=True))
    begin = "boi_token_id" if "boi_token_id" in config else "boi_token_index"
    return VisionLanguage(
        vision=tower,
        seeing=seeing,
        connector=Connector(
            tower.width,
            decoder.width,
            bias=False,
            single=True,
            side=_read_side(config, tower.embedding.grid),
            merged="mean",
            norm=norm,
        ),
        decoder=decoder,
        placeholder=config.integer(key, 262144, least=0),
        layout=AROUND,
        mark=config.integer(begin, 255999, least=0),
        ahead="picture",
    )


def _read_prompted(config: Config) -> Decoder:
    """Return PaliGemma's text, which writes in causal order, whatever says how prompts are read."""
    text = {**config.section("text_config").values, "use_bidirectional_attention": False}
    return read_decoder(Config({"text_config": text}, config.where), PALIGEMMA)


def _read_side(config: Config, grid: tuple[int, int]) -> int:
    """Return how many states in a row become one, so that a picture takes the stated places."""
    places = config.integer("mm_tokens_per_image", 256)
    rows, columns = grid
    kept = isqrt(places)
    config.require(
        kept**2 == places and rows == columns and rows % kept == 0,
        f"{rows} × {columns} patches cannot become {places} places, which must be a square",
    )
    return rows // kept


def rules(spec: VisionLanguage) -> Sequence[Rule]:
    """Return the names in a safetensors file, and ours; older files say ``vision_model`` too."""
    towers = ("vision_tower", "vision_tower.vision_model")
    projector = "multi_modal_projector"
    plain = rename(f"{projector}.linear", "connector.up")
    turned = rename(f"{projector}.mm_input_projection_weight", "connector.up.weight", Transpose())
    return (
        *(rule for tower in towers for rule in tower_rules(tower, "vision")),
        *(rename(f"{tower}.post_layernorm", "vision.norm") for tower in towers),
        *(drop(f"{tower}.head.**") for tower in towers),  # which makes one vector of a picture
        plain if spec.connector.norm is None else turned,
        rename(f"{projector}.mm_soft_emb_norm.weight", "connector.norm.weight", Shift(1.0)),
        *below(gemma.rules(spec.decoder), "language_model.", "decoder."),
    )


DIALECT = Dialect("gemma_vision", read, rules)
