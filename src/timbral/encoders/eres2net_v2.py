"""ERes2NetV2 (Chen et al., ERes2NetV2: Boosting Short-Duration Speaker Verification Performance
with Computational Efficiency, Interspeech 2024), as 3D-Speaker builds it.

A block splits its channels into groups. Each group's 3 × 3 convolution also takes the output of the
previous group, which is added in the first two stages and fused by attention in the last two:

    x ── 1×1 ─┬─ group 0 ─────── conv ─┬──────────────┐
              ├─ group 1 ── + or fuse ── conv ─┬──────┼─ 1×1 ── + shortcut ──
              └─ …                  └─ + or fuse …  ──┘
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from timbral.encoders.base import LARGEST_SIZE, MOST_LAYERS
from timbral.encoders.frontends import KALDI_FBANK_80, KaldiFbank
from timbral.encoders.layers.conv import FrameConv2d
from timbral.encoders.layers.norm import FrameBatchNorm
from timbral.encoders.staged import (
    STRIDES,
    StageBlock,
    StagedEncoder,
    check_layers,
    run_stage,
)
from timbral.errors import ConfigError, check_ranges

__all__ = ["Eres2netV2Config", "Eres2netV2Encoder"]

FUSED_STAGES = (2, 3)
"""stages whose groups are fused by attention"""
CEILING = 20.0
"""upper limit of the activations in blocks"""
REDUCTION = 4
"""factor by which the hidden layer of an attention has fewer channels"""


@dataclass(frozen=True)
class Eres2netV2Config:
    """Sizes of the network; the defaults are those of the published ERes2NetV2.

    The published w24s4ep4 has `base_width` 24, `scale` 4 and `expansion` 4.
    """

    layers: tuple[int, ...] = (3, 4, 6, 3)
    """blocks in each of the four stages"""
    channels: int = 64
    """channels of the first stage; each further stage has twice as many"""
    base_width: int = 26
    """channels of a group, in 64ths of the stage's"""
    scale: int = 2
    """groups in a block"""
    expansion: int = 2
    """output channels of a block, as a multiple of its stage's"""
    embedding_dim: int = 192
    second_linear: bool = False
    """whether ReLU, batch norm and a second linear layer follow the first"""

    def __post_init__(self) -> None:
        check_layers(self.layers)
        check_ranges(
            self,
            "encoder",
            channels=(1, LARGEST_SIZE),
            base_width=(1, LARGEST_SIZE),
            scale=(1, MOST_LAYERS),
            expansion=(1, MOST_LAYERS),
            embedding_dim=(1, LARGEST_SIZE),
        )
        if self.width(0) < 1 or self.width(FUSED_STAGES[0]) < REDUCTION:
            raise ConfigError(
                f"encoder.channels {self.channels} with base_width {self.base_width} leave no "
                "channels in a group; increase one of them"
            )

    def width(self, stage: int) -> int:
        """Channels of a group in the blocks of a stage, counted from 0."""
        return (self.channels << stage) * self.base_width // 64

    def outputs(self, stage: int) -> int:
        """Channels of the outputs of a stage, counted from 0."""
        return (self.channels << stage) * self.expansion


class Fusion(nn.Module):
    """Attentional fusion of two inputs, point by point: x (1 + a) + y (1 - a), a = tanh(…)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = channels // REDUCTION
        self.squeeze = nn.Linear(2 * channels, hidden)
        self.squeeze_norm = FrameBatchNorm(hidden)
        self.gate = nn.Linear(hidden, channels)
        self.gate_norm = FrameBatchNorm(channels)

    def forward(self, one: Tensor, other: Tensor, mask: Tensor) -> Tensor:
        """(B, F, M, C) twice -> (B, F, M, C); zero where both inputs are zero."""
        hidden = self.squeeze_norm(self.squeeze(torch.cat([one, other], dim=-1)), mask)
        attention = torch.tanh(self.gate_norm(self.gate(functional.silu(hidden)), mask))
        return one * (1 + attention) + other * (1 - attention)


class Block(StageBlock):
    """Groups of channels, convolved one after the other."""

    def __init__(self, inputs: int, config: Eres2netV2Config, stage: int, stride: int) -> None:
        super().__init__(config.outputs(stage), stride)
        self.width = config.width(stage)
        channels = self.width * config.scale
        self.conv1 = FrameConv2d.square(inputs, channels, 1, stride)
        self.norm1 = FrameBatchNorm(channels)
        groups = range(config.scale)
        self.convs = nn.ModuleList([FrameConv2d.square(self.width, self.width, 3) for _ in groups])
        self.norms = nn.ModuleList([FrameBatchNorm(self.width) for _ in groups])
        fusions = groups[1:] if stage in FUSED_STAGES else ()
        self.fusions = nn.ModuleList([Fusion(self.width) for _ in fusions])
        self.conv3 = FrameConv2d.square(channels, self.outputs, 1)
        self.norm3 = FrameBatchNorm(self.outputs)
        self.add_shortcut(inputs)

    def forward(self, frames: Tensor, mask: Tensor) -> Tensor:
        """(B, F, M, C), zero outside the mask (B, F) -> (B, F', M', C'), zero outside."""
        inside = mask[:, :: self.stride]
        whole = _clipped_inside(self.norm1(self.conv1(frames), inside), inside)
        groups: list[Tensor] = []
        for number, group in enumerate(torch.split(whole, self.width, dim=-1)):
            joined = self._joined(groups[-1], group, number - 1, inside) if groups else group
            convolved = self.norms[number](self.convs[number](joined), inside)
            groups.append(_clipped_inside(convolved, inside))
        out = self.norm3(self.conv3(torch.cat(groups, dim=-1)), inside)
        return _clipped_inside(out + self.shortcut_of(frames, inside), inside)

    def _joined(self, before: Tensor, group: Tensor, number: int, inside: Tensor) -> Tensor:
        """A group joined with the output of the previous one."""
        if not len(self.fusions):
            return before + group
        fused: Tensor = self.fusions[number](before, group, inside)
        return fused


def _clipped_inside(frames: Tensor, mask: Tensor) -> Tensor:
    """Clipped to 0 … 20, and zero outside the mask, like the next convolution's padding."""
    return functional.hardtanh(frames * mask[:, :, None, None], 0.0, CEILING)


class Eres2netV2Encoder(StagedEncoder):
    """ERes2NetV2 of 3D-Speaker, on 80 Kaldi filter banks."""

    name = "eres2net-v2"
    config_type = Eres2netV2Config
    tiny_config = Eres2netV2Config((1, 1, 1, 1), channels=4, embedding_dim=16)
    config: Eres2netV2Config
    added_variance = 1e-8

    def __init__(self, config: Eres2netV2Config) -> None:
        super().__init__(config)
        self.frontend = KaldiFbank(KALDI_FBANK_80)
        self.embedding_dim = config.embedding_dim
        self.min_samples = self.sample_rate // 5  # two frames, for a standard deviation
        self.add_stages(
            config.channels,
            config.layers,
            lambda inputs, stage, stride: Block(inputs, config, stage, stride),
        )
        third, fourth = (config.outputs(stage) for stage in FUSED_STAGES)
        self.downsample = FrameConv2d.square(third, fourth, 3, STRIDES[-1])
        self.fusion = Fusion(fourth)
        self.add_head(fourth, second=config.second_linear)

    def layer_groups(self) -> dict[str, list[nn.Module]]:
        groups = super().layer_groups()
        groups["body"].append(nn.ModuleList([self.downsample, self.fusion]))
        return groups

    def embed_features(self, features: Tensor, frame_lengths: Tensor) -> Tensor:
        frames, mask = self.stem(features, frame_lengths)
        stages = []
        for blocks in self.stages:
            frames, mask = run_stage(blocks, frames, mask)
            stages.append(frames)
        third, fourth = stages[-2:]
        return self.pool(self.fusion(fourth, self.downsample(third), mask), mask)
