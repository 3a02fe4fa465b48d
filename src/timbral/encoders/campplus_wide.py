"""CAM++ with few, wide layers at a low frame rate: about a twelfth of its multiplications.

    filter banks every 20 ms                      (B, F, 80)
    front: convolutions over (mel, time)          (B, F / 2, 10 mels × C), every 40 ms
    first dense block                             every 40 ms
    second and third dense block                  (B, F / 4, C), every 80 ms
    mean and standard deviation, a linear layer   (B, E)

A dense layer here stands for four of CAM++'s: it adds four times the channels. Made to be a
student of CAM++ that begins with its teacher's layers (recipes/distillation/cut_down).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor, nn
from torch.nn import functional

from timbral.encoders.base import LARGEST_SIZE, MOST_LAYERS
from timbral.encoders.campplus import CampplusLayers, DenseBlock, DenseSizes, ResidualBlock
from timbral.encoders.frontends import KALDI_FBANK_80, KaldiFbank
from timbral.encoders.layers.conv import FrameConv, FrameConv2d
from timbral.encoders.layers.frames import at_least_float32, frame_mask, relu_inside
from timbral.encoders.layers.norm import BatchNorm, FrameBatchNorm
from timbral.encoders.layers.pooling import statistics_pooling
from timbral.errors import ConfigError, check_ranges

__all__ = ["WideCampplusConfig", "WideCampplusEncoder"]

HOP_SAMPLES = 320
SEGMENT_SECONDS = 2
FRAME_STRIDES = (2, 4, 4)
"""frames of the filter banks to one that a dense block takes"""
BLOCK_STRIDES = (2, 1, 1)
"""frames that a dense block takes to one that it gives"""


@dataclass(frozen=True)
class WideCampplusConfig:
    """Sizes of the network; the defaults have 2.4 million parameters."""

    block_layers: tuple[int, ...] = (3, 6, 4)
    """layers in each of the three dense blocks"""
    block_outputs: tuple[int, ...] = (160, 224, 320)
    """channels that each dense block hands on"""
    front_channels: int = 32
    """of the two-dimensional convolutions in front; half of it before their stride over time"""
    init_channels: int = 128
    """that the first dense block takes"""
    growth_rate: int = 128
    """channels that each dense layer adds"""
    bottleneck_channels: int = 128
    embedding_dim: int = 192

    def __post_init__(self) -> None:
        for name, most in (("block_layers", MOST_LAYERS), ("block_outputs", LARGEST_SIZE)):
            numbers = getattr(self, name)
            if len(numbers) != 3 or not all(1 <= number <= most for number in numbers):
                raise ConfigError(
                    f"encoder.{name} must be three numbers from 1 to {most}, got {numbers}"
                )
        sizes = ("init_channels", "growth_rate", "embedding_dim")
        check_ranges(self, "encoder", **dict.fromkeys(sizes, (1, LARGEST_SIZE)))
        two = ("front_channels", "bottleneck_channels")
        check_ranges(self, "encoder", **dict.fromkeys(two, (2, LARGEST_SIZE)))


class StridedFront(nn.Module):
    """Convolutions over (mel, time): (B, F, M) -> (B, F / 2, C M / 8)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        few = channels // 2
        self.conv1 = FrameConv2d(1, few, 3, mel_stride=2, padding=1)
        self.norm1 = FrameBatchNorm(few)
        self.conv2 = FrameConv2d(few, few, 3, padding=1)
        self.norm2 = FrameBatchNorm(few)
        self.conv3 = FrameConv2d(few, channels, 3, mel_stride=2, frame_stride=2, padding=1)
        self.norm3 = FrameBatchNorm(channels)
        self.block = ResidualBlock(channels, 1)
        self.conv4 = FrameConv2d(channels, channels, 3, mel_stride=2, padding=1)
        self.norm4 = FrameBatchNorm(channels)

    def forward(self, frames: Tensor, mask: Tensor, halved: Tensor) -> Tensor:
        """`halved` is the mask behind the stride over time."""
        out = relu_inside(self.norm1(self.conv1(frames[..., None]), mask), mask)
        out = relu_inside(self.norm2(self.conv2(out), mask), mask)
        out = relu_inside(self.norm3(self.conv3(out), halved), halved)
        out = self.block(out, halved)
        return relu_inside(self.norm4(self.conv4(out), halved), halved).flatten(2)


class WideCampplusEncoder(CampplusLayers):
    """CAM++ with few, wide layers at a low frame rate, on 80 Kaldi filter banks every 20 ms."""

    name = "campplus-wide"
    config_type = WideCampplusConfig
    tiny_config = WideCampplusConfig((1, 2, 1), (8, 8, 8), 4, 8, 8, 8, 16)
    config: WideCampplusConfig
    front: StridedFront

    def __init__(self, config: WideCampplusConfig) -> None:
        super().__init__(config)
        self.frontend = KaldiFbank(replace(KALDI_FBANK_80, hop_samples=HOP_SAMPLES))
        self.embedding_dim = config.embedding_dim
        self.min_samples = self.sample_rate // 5
        self.front = StridedFront(config.front_channels)
        channels = config.init_channels
        front_channels = config.front_channels * (self.frontend.num_features // 8)
        self.tdnn = FrameConv(front_channels, channels, 3, padding=1, bias=False)
        self.tdnn_norm = FrameBatchNorm(channels)
        self.blocks = nn.ModuleList()
        segment = SEGMENT_SECONDS * self.sample_rate // HOP_SAMPLES
        for number, (layers, outputs) in enumerate(
            zip(config.block_layers, config.block_outputs, strict=True)
        ):
            frames = segment // FRAME_STRIDES[number]
            sizes = DenseSizes(config.growth_rate, config.bottleneck_channels, 1, frames)
            block = DenseBlock(channels, layers, sizes, outputs, BLOCK_STRIDES[number])
            self.blocks.append(block)
            channels = outputs
        self.norm = FrameBatchNorm(channels)
        self.linear = nn.Linear(2 * channels, config.embedding_dim, bias=False)
        self.linear_norm = BatchNorm(config.embedding_dim, affine=False)

    def embed_features(self, features: Tensor, frame_lengths: Tensor) -> Tensor:
        masks = [frame_mask(frame_lengths, features.shape[1])]
        for _ in range(2):
            masks.append(masks[-1][:, ::2])
        frames = self.front(features, masks[0], masks[1])
        frames = functional.relu(self.tdnn_norm(self.tdnn(frames), masks[1]), inplace=True)
        frames = self.blocks[0](frames, masks[1])
        for block in self.blocks[1:]:
            frames = block(frames, masks[2])
        frames = functional.relu(self.norm(frames, masks[2]), inplace=True)
        pooled = statistics_pooling(frames, masks[2], unbiased=True)
        embeddings: Tensor = self.linear_norm(self.linear(pooled))
        return at_least_float32(embeddings)
