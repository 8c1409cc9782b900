"""From a spec to modules: every part has one block, found by its type.

A module's children bear the names that its spec gives its parts, so a parameter's name is its
path in the spec. Blocks are built without memory; `residency` fills them.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module

from torch import nn

from fathom.spec import (
    attention,
    audio,
    autoencoder,
    decoder,
    deformable,
    detector,
    diffusion,
    diffusion_transformer,
    encoder_decoder,
    experts,
    feed_forward,
    generator,
    grid,
    heads,
    latent_attention,
    parts,
    pyramid,
    recursive,
    relative,
    segmenter,
    state_space,
    tiles,
    unet,
    vector,
    vision,
    vision_language,
    windowed,
)

# Spec type → "module:class" of the block that computes it; imported when first built.
BLOCKS: Mapping[type, str] = {
    parts.Linear: "fathom.blocks.bricks:Linear",
    parts.Convolution: "fathom.blocks.bricks:Convolution",
    parts.Norm: "fathom.blocks.bricks:Norm",
    parts.GroupNorm: "fathom.blocks.bricks:GroupNorm",
    parts.Table: "fathom.blocks.bricks:Table",
    attention.Attention: "fathom.blocks.attention:Attention",
    attention.GatedAttention: "fathom.blocks.attention:GatedAttention",
    latent_attention.LatentAttention: "fathom.blocks.latent_attention:LatentAttention",
    feed_forward.GatedMlp: "fathom.blocks.feed_forward:GatedMlp",
    feed_forward.Mlp: "fathom.blocks.feed_forward:Mlp",
    experts.Router: "fathom.blocks.experts:Router",
    experts.SparseMixer: "fathom.blocks.experts:SparseMixer",
    experts.StackedMlp: "fathom.blocks.experts:StackedMlp",
    experts.Experts: "fathom.blocks.experts:Experts",
    state_space.Convolution: "fathom.blocks.state_space:Convolution",
    state_space.Mamba: "fathom.blocks.state_space:Mamba",
    state_space.Mamba2: "fathom.blocks.state_space:Mamba2",
    state_space.DeltaRule: "fathom.blocks.state_space:DeltaRule",
    decoder.Residual: "fathom.blocks.layer:Residual",
    decoder.Layer: "fathom.blocks.layer:Layer",
    decoder.Embedding: "fathom.blocks.embedding:Embedding",
    decoder.Output: "fathom.blocks.embedding:Output",
    relative.DistanceScores: "fathom.blocks.relative:DistanceScores",
    audio.SoundEncoder: "fathom.blocks.sound:SoundEncoder",
    encoder_decoder.CrossAttention: "fathom.blocks.cross:CrossAttention",
    encoder_decoder.CrossLayer: "fathom.blocks.cross:CrossLayer",
    encoder_decoder.LookingLayer: "fathom.blocks.cross:LookingLayer",
    encoder_decoder.Stack: "fathom.blocks.stack:Stack",
    pyramid.ResidualBlock: "fathom.blocks.pyramid:ResidualBlock",
    pyramid.Halving: "fathom.blocks.pyramid:Halving",
    pyramid.Doubling: "fathom.blocks.pyramid:Doubling",
    pyramid.PlaneAttention: "fathom.blocks.pyramid:PlaneAttention",
    pyramid.Middle: "fathom.blocks.pyramid:Middle",
    pyramid.Level: "fathom.blocks.pyramid:Level",
    autoencoder.PlaneEncoder: "fathom.blocks.autoencoding:PlaneEncoder",
    autoencoder.PlaneDecoder: "fathom.blocks.autoencoding:PlaneDecoder",
    autoencoder.Pooled: "fathom.blocks.autoencoding:Pooled",
    autoencoder.TinyBlock: "fathom.blocks.autoencoding:TinyBlock",
    autoencoder.TinyNetwork: "fathom.blocks.autoencoding:TinyNetwork",
    unet.VectorMlp: "fathom.blocks.spatial:VectorMlp",
    unet.Told: "fathom.blocks.spatial:Told",
    unet.SpatialTransformer: "fathom.blocks.spatial:SpatialTransformer",
    unet.UnetLevel: "fathom.blocks.spatial:UnetLevel",
    unet.UnetMiddle: "fathom.blocks.spatial:UnetMiddle",
    unet.Descent: "fathom.blocks.spatial:Descent",
    unet.Hint: "fathom.blocks.spatial:Hint",
    diffusion.ClipText: "fathom.blocks.prompting:ClipText",
    diffusion_transformer.Stream: "fathom.blocks.joint:Stream",
    diffusion_transformer.JointLayer: "fathom.blocks.joint:JointLayer",
    recursive.Across: "fathom.blocks.recursive:Across",
    recursive.RefiningLayer: "fathom.blocks.recursive:RefiningLayer",
    vision_language.Connector: "fathom.blocks.vision_language:Connector",
    vector.TextVector: "fathom.blocks.vector:TextVector",
    vector.Projection: "fathom.blocks.vector:Projection",
    generator.StyleMapping: "fathom.blocks.generator:StyleMapping",
    generator.StyledConvolution: "fathom.blocks.generator:StyledConvolution",
    generator.StyledColours: "fathom.blocks.generator:StyledColours",
    generator.DrawingLevel: "fathom.blocks.generator:DrawingLevel",
    grid.GridAttention: "fathom.blocks.grid:GridAttention",
    grid.GridLayer: "fathom.blocks.grid:GridLayer",
    grid.GridEncoder: "fathom.blocks.grid:GridEncoder",
    segmenter.MaskPrompt: "fathom.blocks.prompts:MaskPrompt",
    segmenter.PromptEncoder: "fathom.blocks.prompts:PromptEncoder",
    segmenter.TwoWayLayer: "fathom.blocks.prompts:TwoWayLayer",
    segmenter.Chain: "fathom.blocks.prompts:Chain",
    segmenter.MaskDecoder: "fathom.blocks.prompts:MaskDecoder",
    tiles.TileOffset: "fathom.blocks.tiles:TileOffset",
    tiles.TilePositions: "fathom.blocks.tiles:TilePositions",
    vision.PatchEmbedding: "fathom.blocks.vision:PatchEmbedding",
    vision.VisionEncoder: "fathom.blocks.vision:VisionEncoder",
    vision.Reading: "fathom.blocks.vision:Reading",
    vision.AttentionPooling: "fathom.blocks.vision:AttentionPooling",
    vision.Sight: "fathom.blocks.vision:Sight",
    vision.TextTower: "fathom.blocks.vision:TextTower",
    windowed.WindowAttention: "fathom.blocks.windowed:WindowAttention",
    windowed.Merging: "fathom.blocks.windowed:Merging",
    windowed.WindowStage: "fathom.blocks.windowed:WindowStage",
    windowed.WindowTower: "fathom.blocks.windowed:WindowTower",
    deformable.DeformableAttention: "fathom.blocks.deformable:DeformableAttention",
    detector.PhraseReader: "fathom.blocks.phrases:PhraseReader",
    detector.Level: "fathom.blocks.detecting:Level",
    detector.PlacePositions: "fathom.blocks.detecting:PlacePositions",
    detector.Exchange: "fathom.blocks.detecting:Exchange",
    detector.EnhancerLayer: "fathom.blocks.detecting:EnhancerLayer",
    detector.Proposing: "fathom.blocks.detecting:Proposing",
    detector.QueryLayer: "fathom.blocks.detecting:QueryLayer",
    detector.QueryDecoder: "fathom.blocks.detecting:QueryDecoder",
    heads.Transform: "fathom.blocks.heads:Transform",
    heads.SummaryHead: "fathom.blocks.heads:SummaryHead",
    heads.MaskedHead: "fathom.blocks.heads:MaskedHead",
    heads.SequenceHead: "fathom.blocks.heads:SequenceHead",
    heads.TokenHead: "fathom.blocks.heads:TokenHead",
    heads.SpanHead: "fathom.blocks.heads:TokenHead",
}


def build(part: parts.Part) -> nn.Module | nn.Parameter:
    """Return the block that computes a part, its parameters not yet filled."""
    if isinstance(part, parts.Bare):
        import torch

        return nn.Parameter(torch.empty(part.shape), requires_grad=False)
    if isinstance(part, tuple):
        return nn.ModuleList([_module(child) for child in part])
    return _module(part)


def _module(part: parts.Part) -> nn.Module:
    module, _, name = BLOCKS[type(part)].partition(":")
    block: nn.Module = getattr(import_module(module), name)(part)
    return block


class Block(nn.Module):
    """A module made from a compound part: its children are the part's parts, under their names."""

    def __init__(self, spec: parts.Compound) -> None:
        super().__init__()
        for name, part in spec.parts().items():
            setattr(self, name, None if part is None else build(part))
