"""Models in stages measured under a load of its own making: over the table of loads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from fathom.checkpoint.published import published_spec
from fathom.errors import RequestError, UnsupportedTaskError
from fathom.generation.bench import Loaded
from fathom.models.assemble import assemble
from fathom.ops.choose import only
from fathom.planning.records import GROWTH, PASS_SECONDS, TOTAL
from fathom.planning.stages import predict_stages, settled
from fathom.spec.parts import Linear
from fathom.spec.roles import Role
from fathom.spec.work import About, Work
from fathom.tasks.loads import LOADS, passes
from fathom.tasks.stage_bench import measure_stages, stage_figures

TOWER = {
    **{"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2},
    **{"num_attention_heads": 4, "image_size": 32, "patch_size": 8},
}
TEXT = {
    **{"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2},
    **{"num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 64},
    "max_position_embeddings": 64,
}
HEARING = {
    **{"d_model": 32, "encoder_layers": 1, "encoder_attention_heads": 4, "encoder_ffn_dim": 64},
    **{"num_mel_bins": 8, "max_source_positions": 50},
}
DENOISER = {
    **{"block_out_channels": [32, 64], "cross_attention_dim": 32, "sample_size": 8},
    **{"down_block_types": ["CrossAttnDownBlock2D", "DownBlock2D"], "layers_per_block": 1},
    **{"up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D"], "attention_head_dim": 4},
}
# What a configuration makes, by the type of its spec; how much is asked for.
MODELS: Mapping[str, tuple[Mapping[str, Any], Work]] = {
    "PictureEncoder": ({"model_type": "vit", **TOWER}, Work(batch=2)),
    "PictureText": (
        {
            "model_type": "clip",
            "vision_config": {**TOWER, "patch_size": 16},
            "text_config": {**TEXT, "max_position_embeddings": 12},
        },
        Work(batch=2),
    ),
    "Segmenter": (
        {
            "model_type": "sam",
            "vision_config": {
                **{**TOWER, "image_size": 64, "patch_size": 16, "output_channels": 32},
                **{"global_attn_indexes": [1], "window_size": 2, "num_pos_feats": 16},
            },
            "prompt_encoder_config": {"hidden_size": 32, "image_size": 64, "patch_size": 16},
            "mask_decoder_config": {"hidden_size": 32, "mlp_dim": 64, "num_attention_heads": 4}
            | {"iou_head_hidden_dim": 32},
        },
        Work(),
    ),
    "Detector": (
        {
            "model_type": "grounding-dino",
            "backbone_config": {
                **{"embed_dim": 16, "depths": [2, 2, 1, 1], "num_heads": [2, 2, 4, 4]},
                "window_size": 4,
            },
            "text_config": {**TEXT, "max_position_embeddings": 64},
            **{"d_model": 32, "encoder_layers": 1, "decoder_layers": 1, "num_queries": 20},
            **{"encoder_ffn_dim": 64, "decoder_ffn_dim": 64},
        },
        Work(height=160, width=200, tokens=9),
    ),
    "Generator": (
        {
            **{"model_type": "stylegan2", "z_dim": 16, "w_dim": 16, "img_resolution": 32},
            "synthesis_kwargs": {"channel_base": 512, "channel_max": 32},
        },
        Work(batch=2),
    ),
    "Autoencoder": ({"_class_name": "AutoencoderTiny"}, Work(height=24, width=32)),
    "Unet": ({"_class_name": "UNet2DConditionModel", **DENOISER}, Work(guided=True)),
    "ControlNet": (
        {
            "_class_name": "ControlNetModel",
            **{key: value for key, value in DENOISER.items() if "up_" not in key},
        },
        Work(),
    ),
    "DiffusionTransformer": (
        {
            "_class_name": "SD3Transformer2DModel",
            **{"caption_projection_dim": 32, "num_attention_heads": 4, "num_layers": 2},
            **{"attention_head_dim": 8, "joint_attention_dim": 24, "pooled_projection_dim": 12},
            **{"sample_size": 8, "pos_embed_max_size": 8},
        },
        Work(),
    ),
    "Speech": (
        {
            "model_type": "whisper",
            **HEARING,
            **{"decoder_layers": 1, "decoder_attention_heads": 4, "decoder_ffn_dim": 64},
            **{"vocab_size": 64, "max_target_positions": 24},
        },
        Work(tokens=4, written=8),
    ),
    "SpeechLanguage": (
        {
            "model_type": "qwen2_audio",
            "audio_config": HEARING,
            "text_config": {**TEXT, "model_type": "qwen2"},
            "audio_token_index": 63,
        },
        Work(tokens=6, written=4),
    ),
    "VisionLanguage": (
        {
            "model_type": "llava",
            "vision_config": {**TOWER, "model_type": "clip_vision_model"},
            "text_config": {**TEXT, "model_type": "llama"},
            "image_token_index": 63,
        },
        Work(tokens=6, written=4),
    ),
    "Omni": (
        {
            "model_type": "qwen2_5_omni_thinker",
            "vision_config": {
                **{"depth": 2, "hidden_size": 32, "intermediate_size": 48, "num_heads": 2},
                **{"out_hidden_size": 32, "patch_size": 4, "fullatt_block_indexes": [0, 1]},
            },
            "audio_config": {**HEARING, "n_window": 10, "output_dim": 32},
            "text_config": TEXT,
            **{"audio_token_index": 61, "image_token_index": 62, "video_token_index": 63},
        },
        Work(height=24, width=32, tokens=6, written=4, seconds=0.5),
    ),
    "CrossVisionLanguage": (
        {
            "model_type": "mllama",
            "vision_config": {
                **{"hidden_size": 32, "num_hidden_layers": 2, "num_global_layers": 1},
                **{"attention_heads": 4, "intermediate_size": 64, "image_size": 28},
                **{"patch_size": 7, "intermediate_layers_indices": [0]},
            },
            "text_config": {**TEXT, "cross_attention_layers": [1]},
        },
        Work(tokens=40, written=4),
    ),
}
ELSEWHERE = {"PictureMaker", "Recursive"}  # a folder of several files; a language of its own


CPU = torch.device("cpu")


@dataclass
class Opened:
    spec: Any
    module: torch.nn.Module
    dtype: str = "float32"
    device: torch.device = CPU


def opened(name: str) -> tuple[Opened, Work]:
    config, work = MODELS[name]
    spec: Any = published_spec(config)
    torch.manual_seed(0)
    module = assemble(spec).to_empty(device="cpu").eval()
    for parameter in module.parameters():
        parameter.data.normal_(0, 0.05)
    return Opened(spec, module), settled(work, spec.usual)


def test_every_kind_that_is_measured_is_tried_here() -> None:
    assert {kind.__name__ for kind in LOADS} == {*MODELS, *ELSEWHERE}
    assert {type(published_spec(config)).__name__ for config, _ in MODELS.values()} == set(MODELS)


@pytest.mark.parametrize("name", MODELS)
def test_a_pass_is_what_its_stage_states(name: str) -> None:
    """By PyTorch's own counter of operations; what a mask hides is multiplied in a prompt."""
    model, work = opened(name)
    stages = {stage.name: stage for stage in model.spec.stages(work)}
    with torch.inference_mode(), sdpa_kernel(SDPBackend.MATH), only("fused"):
        run = passes(model, work)
        assert list(run) == list(stages)
        for stage, once in run.items():
            with FlopCounterMode(display=False) as counted:
                once()
            loose = stage in ("reading", "opening", "text")
            wanted = stages[stage].operations
            assert counted.get_total_flops() == pytest.approx(wanted, rel=0.3 if loose else 0.05)


def test_a_row_has_every_stage_and_the_memory_of_all() -> None:
    model, work = opened("CrossVisionLanguage")
    told = []
    row = measure_stages(model, work, rounds=2, progress=told.append)
    assert told == [1, 1, 1]
    assert list(row.stages) == ["vision", "reading", "writing"]
    assert all(len(taken.seconds) == 2 for taken in row.stages.values())
    assert row.peak >= row.before > 0
    predicted = predict_stages(model.spec, dtype="float32", work=work)
    seconds = {stage.name: 0.5 * stage.passes for stage in model.spec.stages(work)}
    loaded = Loaded(base=10, weights=20, peak=30, exact=True)
    predicted = replace(predicted, seconds=seconds)
    found = stage_figures(row, loaded, predicted, model.spec, on_device=False)
    assert found["writing" + PASS_SECONDS].predicted == 0.5
    assert found[TOTAL].predicted == predicted.total_bytes
    assert found[GROWTH].measured == row.peak - 10


def test_what_measures_nothing_is_refused() -> None:
    model, work = opened("PictureEncoder")
    with pytest.raises(RequestError, match="0 rounds"):
        measure_stages(model, work, rounds=0)
    other = Opened(Unknown(), model.module)
    with pytest.raises(UnsupportedTaskError, match="class XYZ"):
        passes(other, work)


class Unknown:
    about = About("XYZ", "", (), (), ())
    usual = Work()

    def parts(self) -> Mapping[str, Any]:
        return {"map": Linear(1, 1, Role.DENSE)}

    def stages(self, work: Work) -> tuple[()]:
        return ()
