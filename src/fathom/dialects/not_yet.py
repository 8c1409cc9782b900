"""Architectures that are recognised and do not run here yet, by the class that they are of.

Whoever names one is told what it is rather than that nobody knows it. A dialect takes its line out.
"""

from __future__ import annotations

from collections.abc import Mapping

# Class of the catalogue → what its models are, and the `model_type` or `_class_name` of them.
NOT_YET: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("video", "a model that sees video"): (
        *("videomae", "vivit", "timesformer", "vjepa2", "video_llava", "llava_next_video"),
        *("video_llama_3", "internvideo2", "instructblipvideo"),
    ),
    ("diffusion", "a model that makes video"): (
        *("WanPipeline", "WanImageToVideoPipeline", "WanTransformer3DModel", "AutoencoderKLWan"),
        *("CogVideoXPipeline", "CogVideoXTransformer3DModel", "AutoencoderKLCogVideoX"),
        *("HunyuanVideoPipeline", "HunyuanVideoTransformer3DModel", "LTXPipeline"),
        *("LTXVideoTransformer3DModel", "MochiPipeline", "MochiTransformer3DModel"),
        *("StableVideoDiffusionPipeline", "AnimateDiffPipeline", "MotionAdapter"),
    ),
    ("diffusion", "a model that makes pictures"): (
        *("FluxPipeline", "FluxTransformer2DModel", "Flux2Pipeline", "QwenImagePipeline"),
        *("PixArtAlphaPipeline", "PixArtSigmaPipeline", "SanaPipeline", "AuraFlowPipeline"),
        *("KandinskyV22Pipeline", "StableCascadePipeline", "HunyuanDiTPipeline"),
        *("WuerstchenCombinedPipeline", "LuminaPipeline", "ChromaPipeline", "ZImagePipeline"),
    ),
    ("3d", "a model of shapes"): (
        *("ShapEPipeline", "ShapEImg2ImgPipeline", "vggt", "Hunyuan3DDiTFlowMatchingPipeline"),
        *("TripoSRPipeline", "TrellisImageTo3DPipeline"),
    ),
    ("foundation", "a model of time series"): (
        *("time_series_transformer", "informer", "autoformer", "patchtst", "patchtsmixer"),
        *("timesfm", "timesfm2_5", "chronos", "moirai", "lag_llama", "tirex"),
    ),
    ("foundation", "a model of proteins"): ("esm", "esmc", "prot_t5", "progen", "ankh", "saprot"),
    ("structure", "a model of molecules' structure"): ("esmfold", "openfold", "boltz", "chai"),
    ("audio", "a model of sound"): (
        *("wav2vec2", "wav2vec2-bert", "hubert", "wavlm", "unispeech", "data2vec-audio", "clap"),
        *("bark", "vits", "speecht5", "musicgen", "encodec", "dac", "mimi", "moshi", "csm", "dia"),
        *("seamless_m4t", "seamless_m4t_v2", "parler_tts", "StableAudioPipeline", "voxtral"),
    ),
    ("detection", "a model that finds things"): (
        *("owlvit", "owlv2", "detr", "deformable_detr", "conditional_detr", "rt_detr", "yolos"),
        *("mm-grounding-dino", "omdet-turbo", "dab-detr", "d_fine"),
    ),
    ("SAM", "a model of masks"): ("sam2", "sam2_video", "sam_hq", "edgetam", "sam3", "sam3_video"),
    ("LVM", "a model that sees"): (
        *("swin", "swinv2", "convnext", "convnextv2", "resnet", "beit", "deit", "dpt"),
        *("depth_anything", "segformer", "maskformer", "mask2former", "oneformer", "vitmatte"),
        *("efficientnet", "mobilenet_v2", "mobilevit", "vit_mae", "ijepa", "zoedepth"),
    ),
    ("LAM", "a model that acts"): ("openvla", "pi0", "pi05", "smolvla", "groot", "octo"),
}


def recognised(model_type: str) -> tuple[str, str] | None:
    """Return the class of an architecture that does not run yet and what it is, if it is one."""
    wanted = model_type.casefold()
    for told, names in NOT_YET.items():
        if wanted in map(str.casefold, names):
            return told
    return None
