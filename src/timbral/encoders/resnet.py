"""ResNet with temporal statistics pooling (He et al., Deep Residual Learning for Image
Recognition, CVPR 2016; Zeinali et al., BUT System Description to VoxCeleb Speaker Recognition
Challenge 2019), as WeSpeaker builds it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor
from torch.nn import functional

from timbral.encoders.base import LARGEST_SIZE
from timbral.encoders.frontends import WESPEAKER_FBANK_80, KaldiFbank
from timbral.encoders.layers.conv import FrameConv2d
from timbral.encoders.layers.frames import relu_inside
from timbral.encoders.layers.norm import FrameBatchNorm
from timbral.encoders.staged import StageBlock, StagedEncoder, check_layers, run_stage
from timbral.errors import check_ranges

__all__ = ["SIZES", "ResnetConfig", "ResnetEncoder"]


@dataclass(frozen=True)
class ResnetConfig:
    """Sizes of the network; the defaults are those of ResNet34.

    `SIZES` has those of ResNet152, 221 and 293.
    """

    layers: tuple[int, ...] = (3, 4, 6, 3)
    """blocks in each of the four stages"""
    bottleneck: bool = False
    """whether blocks have three convolutions and four times the output channels, instead of two"""
    channels: int = 32
    """channels of the first stage; each further stage has twice as many"""
    embedding_dim: int = 256
    second_linear: bool = False
    """whether ReLU, batch norm and a second linear layer follow the first"""

    def __post_init__(self) -> None:
        check_layers(self.layers)
        check_ranges(self, "encoder", channels=(1, LARGEST_SIZE), embedding_dim=(1, LARGEST_SIZE))


SIZES = {
    "resnet152": ResnetConfig(layers=(3, 8, 36, 3), bottleneck=True),
    "resnet221": ResnetConfig(layers=(6, 16, 48, 3), bottleneck=True),
    "resnet293": ResnetConfig(layers=(10, 20, 64, 3), bottleneck=True),
}
"""the larger sizes with published weights of WeSpeaker"""


class BasicBlock(StageBlock):
    """Two 3 × 3 convolutions over (mel, time)."""

    expansion: ClassVar = 1

    def __init__(self, inputs: int, channels: int, stride: int) -> None:
        super().__init__(channels * self.expansion, stride)
        self.add_shortcut(inputs)
        self.conv1 = FrameConv2d.square(inputs, channels, 3, stride)
        self.norm1 = FrameBatchNorm(channels)
        self.conv2 = FrameConv2d.square(channels, channels, 3)
        self.norm2 = FrameBatchNorm(channels)

    def forward(self, frames: Tensor, mask: Tensor) -> Tensor:
        """(B, F, M, C), zero outside the mask (B, F) -> (B, F', M', C'), zero outside."""
        inside = mask[:, :: self.stride]
        out = relu_inside(self.norm1(self.conv1(frames), inside), inside)
        out = self.norm2(self.conv2(out), inside)
        return relu_inside(out + self.shortcut_of(frames, inside), inside)


class BottleneckBlock(StageBlock):
    """A 1 × 1, a 3 × 3 and a 1 × 1 convolution, the last with four times the channels."""

    expansion: ClassVar = 4

    def __init__(self, inputs: int, channels: int, stride: int) -> None:
        super().__init__(channels * self.expansion, stride)
        self.add_shortcut(inputs)
        self.conv1 = FrameConv2d.square(inputs, channels, 1)
        self.norm1 = FrameBatchNorm(channels)
        self.conv2 = FrameConv2d.square(channels, channels, 3, stride)
        self.norm2 = FrameBatchNorm(channels)
        self.conv3 = FrameConv2d.square(channels, self.outputs, 1)
        self.norm3 = FrameBatchNorm(self.outputs)

    def forward(self, frames: Tensor, mask: Tensor) -> Tensor:
        """(B, F, M, C), zero outside the mask (B, F) -> (B, F', M', C'), zero outside."""
        inside = mask[:, :: self.stride]
        out = relu_inside(self.norm1(self.conv1(frames), mask), mask)
        out = functional.relu(self.norm2(self.conv2(out), inside), inplace=True)
        out = self.norm3(self.conv3(out), inside)
        return relu_inside(out + self.shortcut_of(frames, inside), inside)


class ResnetEncoder(StagedEncoder):
    """ResNet of WeSpeaker with temporal statistics pooling, on 80 Kaldi filter banks."""

    name = "resnet"
    config_type = ResnetConfig
    tiny_config = ResnetConfig((1, 2, 1, 1), channels=2, embedding_dim=16)
    config: ResnetConfig
    added_variance = 1e-7

    def __init__(self, config: ResnetConfig) -> None:
        super().__init__(config)
        self.frontend = KaldiFbank(WESPEAKER_FBANK_80)
        self.embedding_dim = config.embedding_dim
        self.min_samples = self.sample_rate // 5  # two frames, for a standard deviation
        kind = BottleneckBlock if config.bottleneck else BasicBlock
        outputs = self.add_stages(
            config.channels,
            config.layers,
            lambda inputs, stage, stride: kind(inputs, config.channels * 2**stage, stride),
        )
        self.add_head(outputs, second=config.second_linear)

    def embed_features(self, features: Tensor, frame_lengths: Tensor) -> Tensor:
        frames, mask = self.stem(features, frame_lengths)
        for blocks in self.stages:
            frames, mask = run_stage(blocks, frames, mask)
        return self.pool(frames, mask)
