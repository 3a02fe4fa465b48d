"""ResNet with temporal statistics pooling (He et al., Deep Residual Learning for Image
Recognition, CVPR 2016; Zeinali et al., BUT System Description to VoxCeleb Speaker Recognition
Challenge 2019), as WeSpeaker builds it.

Frames stay time-major, (B, F, M, C), so the channels of a point are contiguous.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional

from timbral.encoders.base import LARGEST_SIZE, MOST_LAYERS, SpeakerEncoder
from timbral.encoders.frontends import WESPEAKER_FBANK_80, KaldiFbank
from timbral.encoders.layers.conv import FrameConv2d
from timbral.encoders.layers.frames import at_least_float32, frame_mask, relu_inside
from timbral.encoders.layers.linear import second_linear
from timbral.encoders.layers.norm import FrameBatchNorm
from timbral.encoders.layers.pooling import statistics_pooling
from timbral.errors import ConfigError, check_ranges

__all__ = ["SIZES", "ResnetConfig", "ResnetEncoder"]

STRIDES = (1, 2, 2, 2)
"""of the first block of each stage, over mels and over time"""
ADDED_VARIANCE = 1e-7
"""what WeSpeaker adds to the variance in its pooling"""


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
        if len(self.layers) != len(STRIDES) or not all(
            1 <= blocks <= MOST_LAYERS for blocks in self.layers
        ):
            raise ConfigError(
                f"encoder.layers must be four numbers from 1 to {MOST_LAYERS}, got {self.layers}"
            )
        check_ranges(self, "encoder", channels=(1, LARGEST_SIZE), embedding_dim=(1, LARGEST_SIZE))


SIZES = {
    "resnet152": ResnetConfig(layers=(3, 8, 36, 3), bottleneck=True),
    "resnet221": ResnetConfig(layers=(6, 16, 48, 3), bottleneck=True),
    "resnet293": ResnetConfig(layers=(10, 20, 64, 3), bottleneck=True),
}
"""the larger sizes with published weights of WeSpeaker"""


class ResidualBlock(nn.Module):
    """The shortcut of a residual block: a strided 1 × 1 convolution if sizes change."""

    expansion: ClassVar[int]

    def __init__(self, inputs: int, channels: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.outputs = channels * self.expansion
        self.shortcut: FrameConv2d | None = None
        if stride != 1 or inputs != self.outputs:
            self.shortcut = FrameConv2d.square(inputs, self.outputs, 1, stride)
            self.shortcut_norm = FrameBatchNorm(self.outputs)

    def shortcut_of(self, frames: Tensor, inside: Tensor) -> Tensor:
        """The frames to add to the outputs of the convolutions; `inside` is their mask."""
        if self.shortcut is None:
            return frames
        projected: Tensor = self.shortcut_norm(self.shortcut(frames), inside)
        return projected


class BasicBlock(ResidualBlock):
    """Two 3 × 3 convolutions over (mel, time)."""

    expansion = 1

    def __init__(self, inputs: int, channels: int, stride: int) -> None:
        super().__init__(inputs, channels, stride)
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


class BottleneckBlock(ResidualBlock):
    """A 1 × 1, a 3 × 3 and a 1 × 1 convolution, the last with four times the channels."""

    expansion = 4

    def __init__(self, inputs: int, channels: int, stride: int) -> None:
        super().__init__(inputs, channels, stride)
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


class ResnetEncoder(SpeakerEncoder):
    """ResNet of WeSpeaker with temporal statistics pooling, on 80 Kaldi filter banks."""

    name = "resnet"
    config_type = ResnetConfig
    tiny_config = ResnetConfig((1, 2, 1, 1), channels=2, embedding_dim=16)
    config: ResnetConfig

    def __init__(self, config: ResnetConfig) -> None:
        super().__init__(config)
        self.frontend = KaldiFbank(WESPEAKER_FBANK_80)
        self.embedding_dim = config.embedding_dim
        self.min_samples = self.sample_rate // 5  # two frames, for a standard deviation
        block = BottleneckBlock if config.bottleneck else BasicBlock
        self.conv = FrameConv2d.square(1, config.channels, 3)
        self.norm = FrameBatchNorm(config.channels)
        self.stages = nn.ModuleList()
        inputs = config.channels
        for stage, (count, stride) in enumerate(zip(config.layers, STRIDES, strict=True)):
            channels = config.channels * 2**stage
            blocks = nn.ModuleList()
            for index in range(count):
                blocks.append(block(inputs, channels, 1 if index else stride))
                inputs = channels * block.expansion
            self.stages.append(blocks)
        pooled = 2 * inputs * (self.frontend.num_features // 8)
        self.linear = nn.Linear(pooled, config.embedding_dim)
        self.second = second_linear(config.embedding_dim) if config.second_linear else None

    def layer_groups(self) -> dict[str, list[nn.Module]]:
        front = nn.ModuleList([self.conv, self.norm])
        head: list[nn.Module] = [self.linear] if self.second is None else [self.linear, self.second]
        return {"body": [front, *self.stages], "head": head}

    def embed_features(self, features: Tensor, frame_lengths: Tensor) -> Tensor:
        mask = frame_mask(frame_lengths, features.shape[1])
        frames = relu_inside(self.norm(self.conv(features[..., None]), mask), mask)
        for blocks in self.stages:
            assert isinstance(blocks, nn.ModuleList)
            for block in blocks:
                frames = block(frames, mask)
                mask = mask[:, :: block.stride]
        rows = frames.transpose(2, 3).flatten(2)  # (B, F, C M)
        pooled = statistics_pooling(
            rows, mask, unbiased=True, min_variance=0.0, added_variance=ADDED_VARIANCE
        )
        embeddings: Tensor = self.linear(pooled)
        if self.second is not None:
            embeddings = self.second(embeddings)
        return at_least_float32(embeddings)
