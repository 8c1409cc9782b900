"""StyleGAN2's generator as a plain program over its authors' names, to hold ours to.

Written from the papers (arXiv 1912.04958, sections 2.2, 4.1 and appendix B; 2006.06676) in float64
with numpy alone: zeros between old places, a filter, then a convolution, one after the other. No
library has this architecture.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from safetensors.torch import save_file

Numbers = NDArray[np.float64]
Weights = dict[str, Numbers]
BASE: Mapping[str, Any] = {
    "model_type": "stylegan2",
    "z_dim": 12,
    "c_dim": 0,
    "w_dim": 10,
    "img_resolution": 16,
    "img_channels": 3,
}
MAPPING: Mapping[str, Any] = {"num_layers": 3}
DRAWING: Mapping[str, Any] = {"channel_base": 64, "channel_max": 8}
# What is changed of the three.
CASES: Mapping[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    "skip": ({}, {}, {}),
    "residual": ({}, {}, {"architecture": "resnet", "conv_clamp": 0.5}),
    "plain": ({"img_channels": 1}, {"num_layers": 1}, {"architecture": "orig"}),
    "kinds": ({"c_dim": 4}, {"embed_features": 6, "layer_features": 7}, {"use_noise": False}),
    "bounded": ({}, {"lr_multiplier": 0.1, "w_avg_beta": 0.9}, {"conv_clamp": 0.2}),
    "filtered": ({"img_resolution": 32}, {}, {"resample_filter": [1, 5, 9, 6, 2, 1]}),
    "small": ({"img_resolution": 4}, {}, {}),
}


def config(label: str) -> dict[str, Any]:
    """Return the configuration of a case."""
    whole, mapping, drawing = CASES[label]
    nested = {"mapping_kwargs": {**MAPPING, **mapping}, "synthesis_kwargs": {**DRAWING, **drawing}}
    return {**BASE, **whole, **nested}


def channels(stated: Mapping[str, Any], side: int) -> int:
    drawing = stated["synthesis_kwargs"]
    return min(drawing["channel_base"] // side, drawing["channel_max"])


def sides(stated: Mapping[str, Any]) -> list[int]:
    return [2**power for power in range(2, stated["img_resolution"].bit_length())]


def weights(stated: Mapping[str, Any]) -> Weights:
    """Return random weights under the authors' names."""
    random, found = np.random.default_rng(3), {}
    drawing, mapping, style = stated["synthesis_kwargs"], stated["mapping_kwargs"], stated["w_dim"]

    def drawn(name: str, *shape: int) -> None:
        found[name] = random.standard_normal(shape)

    def affine(name: str, inputs: int, outputs: int) -> None:
        drawn(f"{name}.weight", outputs, inputs)
        drawn(f"{name}.bias", outputs)

    def convolution(name: str, inputs: int, outputs: int, side: int) -> None:
        affine(f"{name}.affine", style, inputs)
        drawn(f"{name}.weight", outputs, inputs, 3, 3)
        drawn(f"{name}.bias", outputs)
        if drawing.get("use_noise", True):
            drawn(f"{name}.noise_const", side, side)
            drawn(f"{name}.noise_strength")

    told = mapping.get("embed_features", style) if stated["c_dim"] else 0
    if told:
        affine("mapping.embed", stated["c_dim"], told)
    inner = mapping.get("layer_features", style)
    widths = [stated["z_dim"] + told, *[inner] * (mapping["num_layers"] - 1), style]
    for number, (inputs, outputs) in enumerate(pairwise(widths)):
        affine(f"mapping.fc{number}", inputs, outputs)
    drawn("mapping.w_avg", style)
    drawn("synthesis.b4.const", channels(stated, 4), 4, 4)
    kind, before = drawing.get("architecture", "skip"), 0
    for side in sides(stated):
        name, width = f"synthesis.b{side}", channels(stated, side)
        if before:
            convolution(f"{name}.conv0", before, width, side)
            if kind == "resnet":
                drawn(f"{name}.skip.weight", width, before, 1, 1)
        convolution(f"{name}.conv1", width, width, side)
        if kind == "skip" or side == stated["img_resolution"]:
            affine(f"{name}.torgb.affine", style, width)
            drawn(f"{name}.torgb.weight", stated["img_channels"], width, 1, 1)
            drawn(f"{name}.torgb.bias", stated["img_channels"])
        found[f"{name}.resample_filter"] = kernel(stated)
        before = width
    return found


def kernel(stated: Mapping[str, Any]) -> Numbers:
    line = np.array(stated["synthesis_kwargs"].get("resample_filter", [1, 3, 3, 1]), float)
    whole = np.outer(line, line)
    return whole / whole.sum()


def save(stated: Mapping[str, Any], state: Weights, folder: Path) -> Path:
    """Write the state as safetensors, and the configuration."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: torch.tensor(value, dtype=torch.float32) for name, value in state.items()}
    save_file(tensors, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(stated))
    return folder


def slid(x: Numbers, weight: Numbers) -> Numbers:
    """Slide a kernel (outputs, inputs, k, k) over (inputs, rows, columns), without padding."""
    windows = sliding_window_view(x, weight.shape[2:], axis=(1, 2))
    return np.einsum("ihwkl,oikl->ohw", windows, weight)


def finer(x: Numbers, filter: Numbers, before: int, after: int) -> Numbers:
    """Put zeros between places, pad, and filter each channel by a true convolution, times four."""
    apart = np.zeros((x.shape[0], 2 * x.shape[1], 2 * x.shape[2]))
    apart[:, ::2, ::2] = x
    apart = np.pad(apart, ((0, 0), (before, after), (before, after)))
    flipped = 4 * filter[::-1, ::-1]
    return np.concatenate([slid(one[None], flipped[None, None]) for one in apart])


def twice(x: Numbers, filter: Numbers) -> Numbers:
    return finer(x, filter, (len(filter) + 1) // 2, (len(filter) - 2) // 2)


def leaky(x: Numbers) -> Numbers:
    return np.where(x > 0, x, 0.2 * x) * np.sqrt(2)


def dense(state: Weights, name: str, x: Numbers, rate: float = 1.0) -> Numbers:
    weight = state[f"{name}.weight"]
    return weight @ x * rate / np.sqrt(weight.shape[1]) + state[f"{name}.bias"] * rate


def normal(x: Numbers) -> Numbers:
    return x / np.sqrt((x**2).mean() + 1e-8)


def mapped(
    stated: Mapping[str, Any], state: Weights, latent: Numbers, kind: Numbers | None
) -> Numbers:
    """Return the style of a vector."""
    x, mapping = normal(latent), stated["mapping_kwargs"]
    if kind is not None:
        x = np.concatenate((x, normal(dense(state, "mapping.embed", kind))))
    for number in range(mapping["num_layers"]):
        x = leaky(dense(state, f"mapping.fc{number}", x, mapping.get("lr_multiplier", 0.01)))
    return x


def bounded(x: Numbers, bound: float | None) -> Numbers:
    return x if bound is None else x.clip(-bound, bound)


def convolved(
    stated: Mapping[str, Any], state: Weights, name: str, x: Numbers, style: Numbers, gain: float
) -> Numbers:
    """Modulate, convolve, demodulate, add noise and bias, and let through."""
    filter, bound = kernel(stated), stated["synthesis_kwargs"].get("conv_clamp")
    scales = dense(state, f"{name}.affine", style)
    weight = state[f"{name}.weight"] * scales[None, :, None, None]
    weight = weight / np.sqrt((weight**2).sum(axis=(1, 2, 3), keepdims=True) + 1e-8)
    if name.endswith("conv0"):
        taps = len(filter)
        x = finer(x, filter, 1 + (taps + 1) // 2, 1 + (taps - 2) // 2)
        x = slid(x, weight[:, :, ::-1, ::-1])
    else:
        x = slid(np.pad(x, ((0, 0), (1, 1), (1, 1))), weight)
    if f"{name}.noise_const" in state:
        x = x + state[f"{name}.noise_const"] * state[f"{name}.noise_strength"]
    x = leaky(x + state[f"{name}.bias"][:, None, None]) * gain
    return bounded(x, None if bound is None else bound * gain)


def coloured(
    stated: Mapping[str, Any], state: Weights, name: str, x: Numbers, style: Numbers
) -> Numbers:
    weight = state[f"{name}.weight"]
    scales = dense(state, f"{name}.affine", style) / np.sqrt(weight.shape[1])
    said = slid(x, weight * scales[None, :, None, None]) + state[f"{name}.bias"][:, None, None]
    return bounded(said, stated["synthesis_kwargs"].get("conv_clamp"))


def drawn(stated: Mapping[str, Any], state: Weights, styles: list[Numbers]) -> Numbers:
    """Return the picture of a style for each convolution, and one more."""
    x, picture, taken = state["synthesis.b4.const"], None, 0
    resnet = stated["synthesis_kwargs"].get("architecture") == "resnet"
    for side in sides(stated):
        name, around = f"synthesis.b{side}", None
        if f"{name}.conv0.weight" in state:
            if resnet:
                way = state[f"{name}.skip.weight"]
                around = twice(slid(x, way / np.sqrt(way.shape[1])), kernel(stated)) * np.sqrt(0.5)
            x = convolved(stated, state, f"{name}.conv0", x, styles[taken], 1.0)
            taken += 1
        gain = 1.0 if around is None else float(np.sqrt(0.5))
        x = convolved(stated, state, f"{name}.conv1", x, styles[taken], gain)
        taken += 1
        x = x if around is None else x + around
        picture = None if picture is None else twice(picture, kernel(stated))
        if f"{name}.torgb.weight" in state:
            said = coloured(stated, state, f"{name}.torgb", x, styles[taken])
            picture = said if picture is None else picture + said
    if picture is None:
        raise ValueError("no level says its colours")
    return picture
