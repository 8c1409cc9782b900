"""Idefics 3 and SmolVLM: SigLIP's tower on tiles of a picture, squares of states made one, one map.

Laurençon et al., 2024 (arXiv 2408.12637); Marafioti et al., 2025 (arXiv 2504.05299).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from fathom.dialects import siglip
from fathom.dialects.config import Config
from fathom.dialects.dialect import Dialect
from fathom.dialects.llava import LLAMA, read_decoder, with_output_tied
from fathom.dialects.rules import Rule, below, rename, renamed
from fathom.dialects.towers import read_sides, tower_rules
from fathom.dialects.trunk import trunk_rules, with_defaults
from fathom.spec.picture_sizes import Tiled
from fathom.spec.vision import VisionEncoder
from fathom.spec.vision_language import Connector, Layout, Seeing, VisionLanguage

# What published files leave out: the sizes of the reference's configuration.
TOWER = {
    **{"hidden_size": 1152, "intermediate_size": 3072, "num_hidden_layers": 12},
    **{"num_attention_heads": 16, "image_size": 224, "patch_size": 32},
}
LONGEST = 4  # sides of tiles, that the longer side of a picture becomes: of all published ones
AROUND = "<fake_token_around_image>"
LAYOUT = Layout(
    tile=AROUND + "<row_{row}_col_{column}>",
    row_end="\n",
    rows_end="\n",
    whole=AROUND + "<global-img>",
    end=AROUND,
)


def read(config: Config) -> VisionLanguage:
    """Return the model that a configuration states."""
    tower = _read_tower(config.section("vision_config"))
    decoder = with_output_tied(config, read_decoder(config, {**LLAMA, "rms_norm_eps": 1e-5}))
    side = config.integer("scale_factor", 2)
    rows, columns = tower.embedding.grid
    config.require(
        rows % side == 0 and columns % side == 0,
        f"'scale_factor' of {side} does not divide {rows} × {columns} patches",
    )
    edge = max(read_sides(with_defaults(config.section("vision_config"), TOWER), "image_size"))
    return VisionLanguage(
        vision=tower,
        seeing=Seeing((len(tower.layers),), normed=True),
        connector=Connector(tower.width, decoder.width, bias=False, single=True, side=side),
        decoder=decoder,
        placeholder=config.integer("image_token_id", 128257, least=0),
        sizing=Tiled(edge, LONGEST * edge),
        layout=LAYOUT,
    )


def _read_tower(config: Config) -> VisionEncoder:
    """Return SigLIP's tower; at other sizes a patch takes the nearest of its positions."""
    tower = siglip.read_vision(with_defaults(config, TOWER))
    return replace(tower, embedding=replace(tower.embedding, between="nearest"))


def rules(spec: VisionLanguage) -> Sequence[Rule]:
    """Return the names in a safetensors file, and ours."""
    theirs, ours = "model.text_model.", "decoder."
    trunk = below(trunk_rules(spec.decoder), "", ours)
    return (
        *tower_rules("model.vision_model", "vision"),
        rename("model.vision_model.post_layernorm", "vision.norm"),
        rename("model.connector.modality_projection.proj", "connector.up"),
        *(renamed(rule, "model.", theirs) for rule in trunk),
    )


DIALECT = Dialect("idefics3", read, rules)
