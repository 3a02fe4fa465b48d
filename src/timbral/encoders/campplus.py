"""CAM++ (Wang et al., CAM++: A Fast and Efficient Network for Speaker Verification Using
Context-Aware Masking, Interspeech 2023).

Frames stay time-major, (B, F, C) or in the two-dimensional front (B, F, M, C): convolutions are
then matrix products, or read a frame's channels side by side.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from timbral.encoders.base import LARGEST_SIZE, MOST_LAYERS, SpeakerEncoder
from timbral.encoders.frontends import KALDI_FBANK_80, WESPEAKER_FBANK_80, KaldiFbank
from timbral.encoders.layers.conv import FrameConv, FrameConv2d
from timbral.encoders.layers.frames import at_least_float32, frame_mask, relu_inside
from timbral.encoders.layers.norm import BatchNorm, FrameBatchNorm
from timbral.encoders.layers.pooling import statistics_pooling
from timbral.errors import ConfigError, check_choice, check_ranges

__all__ = ["CampplusConfig", "CampplusEncoder"]

SEGMENT_FRAMES = 100
DILATIONS = (1, 2, 2)
FILTER_BANKS = {"kaldi": KALDI_FBANK_80, "wespeaker": WESPEAKER_FBANK_80}


@dataclass(frozen=True)
class CampplusConfig:
    """Sizes of the network; the defaults are those of the published weights."""

    block_layers: tuple[int, ...] = (12, 24, 16)
    """layers in each of the three dense blocks"""
    front_channels: int = 32
    """channels of the two-dimensional convolutions in front"""
    init_channels: int = 128
    """input channels of the first dense block"""
    growth_rate: int = 32
    """channels that each dense layer adds"""
    bottleneck_channels: int = 128
    embedding_dim: int = 192
    filter_banks: str = "kaldi"
    """kaldi: with its default window, as 3D-Speaker's | wespeaker: with Hamming's"""

    def __post_init__(self) -> None:
        if len(self.block_layers) != 3 or not all(
            1 <= layers <= MOST_LAYERS for layers in self.block_layers
        ):
            raise ConfigError(
                f"encoder.block_layers must be three numbers from 1 to {MOST_LAYERS}, "
                f"got {self.block_layers}"
            )
        sizes = ("front_channels", "init_channels", "growth_rate", "embedding_dim")
        check_ranges(self, "encoder", **dict.fromkeys(sizes, (1, LARGEST_SIZE)))
        check_ranges(self, "encoder", bottleneck_channels=(2, LARGEST_SIZE))
        check_choice("encoder.filter_banks", self.filter_banks, FILTER_BANKS)


class ResidualBlock(nn.Module):
    """Two 3 × 3 convolutions over (mel, time) and a shortcut.

    The first one and the shortcut divide the mels by `mel_stride`.
    """

    def __init__(self, channels: int, mel_stride: int = 1) -> None:
        super().__init__()
        self.mel_stride = mel_stride
        self.conv1 = FrameConv2d(channels, channels, 3, padding=1, mel_stride=mel_stride)
        self.norm1 = FrameBatchNorm(channels)
        self.conv2 = FrameConv2d(channels, channels, 3, padding=1)
        self.norm2 = FrameBatchNorm(channels)
        self.shortcut: FrameConv2d | None = None
        if mel_stride != 1:
            self.shortcut = FrameConv2d(channels, channels, 1, mel_stride=mel_stride)
            self.shortcut_norm = FrameBatchNorm(channels)

    def forward(self, frames: Tensor, mask: Tensor) -> Tensor:
        """Frames (B, F, M, C) -> (B, F, M / mel_stride, C)."""
        out = self.norm2(self.conv2(relu_inside(self.norm1(self.conv1(frames), mask), mask)), mask)
        if self.shortcut is not None:
            frames = self.shortcut_norm(self.shortcut(frames), mask)
        return relu_inside(out + frames, mask)


class FrontConvolutions(nn.Module):
    """Section 2.1: residual convolutions over (mel, time): (B, F, M) -> (B, F', C M / 8).

    The first convolution, of `kernel` × `kernel`, takes every `stride`-th mel and frame, and each
    block every mel or every second one.
    """

    def __init__(
        self,
        channels: int,
        kernel: int = 3,
        stride: int = 1,
        mel_strides: tuple[int, ...] = (2, 1, 2, 1),
    ) -> None:
        super().__init__()
        self.frame_stride = stride
        self.conv1 = FrameConv2d.square(1, channels, kernel, stride)
        self.norm1 = FrameBatchNorm(channels)
        self.blocks = nn.ModuleList(ResidualBlock(channels, each) for each in mel_strides)
        self.conv2 = FrameConv2d(channels, channels, 3, mel_stride=2, padding=1)
        self.norm2 = FrameBatchNorm(channels)

    def forward(self, frames: Tensor, mask: Tensor) -> Tensor:
        mask = mask[:, :: self.frame_stride]
        out = relu_inside(self.norm1(self.conv1(frames[..., None]), mask), mask)
        for block in self.blocks:
            out = block(out, mask)
        out = relu_inside(self.norm2(self.conv2(out), mask), mask)
        return out.transpose(2, 3).flatten(2)


@dataclass(frozen=True)
class DenseSizes:
    """What the layers of a dense block have in common."""

    growth: int
    """channels that each layer adds"""
    bottleneck: int
    dilation: int
    segment_frames: int = SEGMENT_FRAMES
    """frames in a segment of two seconds"""
    squeezed: int | None = None
    """hidden channels of a gate; half of the bottleneck if None"""


class ContextMasking(nn.Module):
    """A local convolution, gated by the utterance's mean and that of 100-frame segments.

    Section 2.2: the gate depends on the segment only, so it is computed once a segment.
    """

    def __init__(self, sizes: DenseSizes) -> None:
        super().__init__()
        self.segment_frames = sizes.segment_frames
        self.local = FrameConv(
            sizes.bottleneck,
            sizes.growth,
            3,
            padding=sizes.dilation,
            dilation=sizes.dilation,
            bias=False,
        )
        squeezed = sizes.squeezed or sizes.bottleneck // 2
        self.squeeze = FrameConv(sizes.bottleneck, squeezed, 1)
        self.gate = FrameConv(squeezed, sizes.growth, 1)

    def forward(self, frames: Tensor, mask: Tensor) -> Tensor:  # zero outside the mask
        batch, count, channels = frames.shape
        size = self.segment_frames
        extra = -count % size
        segments = functional.pad(frames, (0, 0, 0, extra))
        sums = segments.view(batch, -1, size, channels).sum(2)  # (B, F / 100, C)
        inside = functional.pad(mask, (0, extra)).view(batch, -1, size).sum(2)
        means = sums / inside.clamp(min=1)[:, :, None]
        utterance = sums.sum(1, keepdim=True) / inside.sum(1)[:, None, None]
        gate = torch.sigmoid(self.gate(functional.relu(self.squeeze(utterance + means))))
        outputs: Tensor = self.local(frames)
        return outputs * gate.repeat_interleave(size, dim=1)[:, :count]


class DenseLayer(nn.Module):
    """Bottleneck and context-aware masking; its output is appended to its input."""

    def __init__(self, inputs: int, sizes: DenseSizes) -> None:
        super().__init__()
        self.norm1 = FrameBatchNorm(inputs)
        self.bottleneck = FrameConv(inputs, sizes.bottleneck, 1, bias=False)
        self.norm2 = FrameBatchNorm(sizes.bottleneck)
        self.masking = ContextMasking(sizes)

    def forward(self, frames: Tensor, mask: Tensor) -> Tensor:
        out = self.bottleneck(functional.relu(self.norm1(frames, mask), inplace=True))
        out = relu_inside(self.norm2(out, mask), mask)
        return torch.cat([frames, self.masking(out, mask)], dim=2)


class DenseBlock(nn.Module):
    """Dense layers, then a transition to fewer channels: to half of them, or to `outputs`.

    Only every `stride`-th frame is passed on.
    """

    def __init__(
        self,
        inputs: int,
        layers: int,
        sizes: DenseSizes,
        outputs: int | None = None,
        stride: int = 1,
    ) -> None:
        super().__init__()
        self.stride = stride
        self.segment_frames = sizes.segment_frames
        self.layers = nn.ModuleList(
            DenseLayer(inputs + index * sizes.growth, sizes) for index in range(layers)
        )
        channels = inputs + layers * sizes.growth
        self.norm = FrameBatchNorm(channels)
        self.transition = FrameConv(channels, outputs or channels // 2, 1, bias=False)

    def forward(self, frames: Tensor, mask: Tensor) -> Tensor:
        for layer in self.layers:
            frames = layer(frames, mask)
        if self.stride != 1:
            frames, mask = frames[:, :: self.stride], mask[:, :: self.stride]
        outputs: Tensor = self.transition(functional.relu(self.norm(frames, mask), inplace=True))
        return outputs


class CampplusLayers(SpeakerEncoder):
    """The layers of every CAM++, which subclasses create in their sizes."""

    front: FrontConvolutions
    tdnn: FrameConv
    tdnn_norm: FrameBatchNorm
    blocks: nn.ModuleList
    norm: FrameBatchNorm
    linear: nn.Linear
    linear_norm: BatchNorm

    def layer_groups(self) -> dict[str, list[nn.Module]]:
        front = nn.ModuleList([self.front, self.tdnn, self.tdnn_norm])
        body = [front, *self.blocks, self.norm]
        return {"body": body, "head": [self.linear, self.linear_norm]}

    def embed_features(self, features: Tensor, frame_lengths: Tensor) -> Tensor:
        mask = frame_mask(frame_lengths, features.shape[1])
        frames = self.tdnn(self.front(features, mask))  # (B, F, M) -> (B, F', C)
        mask = mask[:, :: self.front.frame_stride * self.tdnn.stride[0]]
        frames = functional.relu(self.tdnn_norm(frames, mask), inplace=True)
        for block in self.blocks:
            frames = block(frames, mask)
            mask = mask[:, :: block.stride]
        frames = functional.relu(self.norm(frames, mask), inplace=True)
        pooled = statistics_pooling(frames, mask, unbiased=True)
        embeddings: Tensor = self.linear_norm(self.linear(pooled))
        return at_least_float32(embeddings)


class CampplusEncoder(CampplusLayers):
    """CAM++: densely connected TDNN with context-aware masking, on 80 Kaldi filter banks."""

    name = "campplus"
    config_type = CampplusConfig
    tiny_config = CampplusConfig((1, 2, 1), 4, 8, 4, 8, 16)
    config: CampplusConfig

    def __init__(self, config: CampplusConfig) -> None:
        super().__init__(config)
        self.frontend = KaldiFbank(FILTER_BANKS[config.filter_banks])
        self.embedding_dim = config.embedding_dim
        self.min_samples = self.sample_rate // 5
        self.front = FrontConvolutions(config.front_channels)
        front_channels = config.front_channels * (self.frontend.num_features // 8)
        channels = config.init_channels
        self.tdnn = FrameConv(front_channels, channels, 5, stride=2, padding=2, bias=False)
        self.tdnn_norm = FrameBatchNorm(channels)
        self.blocks = nn.ModuleList()
        for layers, dilation in zip(config.block_layers, DILATIONS, strict=True):
            sizes = DenseSizes(config.growth_rate, config.bottleneck_channels, dilation)
            self.blocks.append(DenseBlock(channels, layers, sizes))
            channels = (channels + layers * config.growth_rate) // 2
        self.norm = FrameBatchNorm(channels)
        self.linear = nn.Linear(2 * channels, config.embedding_dim, bias=False)
        self.linear_norm = BatchNorm(config.embedding_dim, affine=False)
