"""CAM++ with few layers at a low frame rate: less than a third of its multiplications.

    filter banks every 10 ms                          (B, F, 80)
    front: convolutions over (mel, time), the first   (B, F / 2, C × 10 mels)
        one with every second mel and frame           every 20 ms
    first dense block, whose transition takes every second frame          every 20 ms
    second and third dense block                      (B, F / 4, C), every 40 ms
    mean and standard deviation, a linear layer       (B, E)

A dense layer here stands for four of CAM++'s, and adds 80 channels instead of 32. It was made to be
a student of CAM++ that begins with its teacher's layers (docs/distillation.md).
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from timbral.encoders.base import LARGEST_SIZE, MOST_LAYERS
from timbral.encoders.campplus import CampplusLayers, DenseBlock, DenseSizes, FrontConvolutions
from timbral.encoders.frontends import KALDI_FBANK_80, KaldiFbank
from timbral.encoders.layers.conv import FrameConv
from timbral.encoders.layers.norm import BatchNorm, FrameBatchNorm
from timbral.errors import ConfigError, check_ranges

__all__ = ["SmallCampplusConfig", "SmallCampplusEncoder"]

SEGMENT_FRAMES = 200
"""frames of the filter banks in a segment: two seconds"""
FIRST_KERNEL = 5
"""kernel size of the first convolution, in mels and in frames"""
FRONT_MEL_STRIDES = (1, 2, 1)
"""stride over mels of each residual block in front"""
FRAME_STRIDES = (2, 4, 4)
"""frames of the filter banks per input frame of each dense block"""
BLOCK_STRIDES = (2, 1, 1)
"""stride over frames of each dense block"""


@dataclass(frozen=True)
class SmallCampplusConfig:
    """Sizes of the network; the defaults have 2.6 million parameters."""

    block_layers: tuple[int, ...] = (3, 6, 4)
    """layers in each of the three dense blocks"""
    block_outputs: tuple[int, ...] = (160, 288, 320)
    """output channels of each dense block"""
    front_channels: int = 32
    """channels of the two-dimensional convolutions in front"""
    init_channels: int = 128
    """input channels of the first dense block"""
    growth_rate: int = 80
    """channels that each dense layer adds"""
    bottleneck_channels: int = 224
    squeezed_channels: int = 48
    """hidden channels of the gate of a dense layer"""
    embedding_dim: int = 192

    def __post_init__(self) -> None:
        for name, most in (("block_layers", MOST_LAYERS), ("block_outputs", LARGEST_SIZE)):
            numbers = getattr(self, name)
            if len(numbers) != 3 or not all(1 <= number <= most for number in numbers):
                raise ConfigError(
                    f"encoder.{name} must be three numbers from 1 to {most}, got {numbers}"
                )
        sizes = (
            "front_channels",
            "init_channels",
            "growth_rate",
            "bottleneck_channels",
            "squeezed_channels",
            "embedding_dim",
        )
        check_ranges(self, "encoder", **dict.fromkeys(sizes, (1, LARGEST_SIZE)))


class SmallCampplusEncoder(CampplusLayers):
    """CAM++ with few layers, every 20 and 40 ms, on 80 Kaldi filter banks."""

    name = "campplus-small"
    config_type = SmallCampplusConfig
    tiny_config = SmallCampplusConfig((1, 2, 1), (8, 8, 8), 4, 8, 4, 8, 4, 16)
    config: SmallCampplusConfig

    def __init__(self, config: SmallCampplusConfig) -> None:
        super().__init__(config)
        self.frontend = KaldiFbank(KALDI_FBANK_80)
        self.embedding_dim = config.embedding_dim
        self.min_samples = self.sample_rate // 5
        self.front = FrontConvolutions(
            config.front_channels, FIRST_KERNEL, FRAME_STRIDES[0], FRONT_MEL_STRIDES
        )
        front_channels = config.front_channels * (self.frontend.num_features // 8)
        channels = config.init_channels
        self.tdnn = FrameConv(front_channels, channels, 3, padding=1, bias=False)
        self.tdnn_norm = FrameBatchNorm(channels)
        self.blocks = nn.ModuleList()
        for layers, outputs, frames, stride in zip(
            config.block_layers, config.block_outputs, FRAME_STRIDES, BLOCK_STRIDES, strict=True
        ):
            sizes = DenseSizes(
                config.growth_rate,
                config.bottleneck_channels,
                dilation=1,
                segment_frames=SEGMENT_FRAMES // frames,
                squeezed=config.squeezed_channels,
            )
            self.blocks.append(DenseBlock(channels, layers, sizes, outputs, stride))
            channels = outputs
        self.norm = FrameBatchNorm(channels)
        self.linear = nn.Linear(2 * channels, config.embedding_dim, bias=False)
        self.linear_norm = BatchNorm(config.embedding_dim, affine=False)
