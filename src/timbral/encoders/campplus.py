"""CAM++ (Wang et al., CAM++: A Fast and Efficient Network for Speaker Verification Using
Context-Aware Masking, Interspeech 2023).

Frames stay time-major, (B, F, C) or in the two-dimensional front (B, F, M, C): convolutions are
then matrix products, or read a frame's channels side by side.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from timbral.encoders.base import SpeakerEncoder, at_least_float32
from timbral.encoders.frontends import KaldiFbank, frame_mask
from timbral.encoders.layers.conv import taps
from timbral.encoders.layers.norm import BatchNorm, FrameBatchNorm
from timbral.encoders.layers.pooling import statistics_pooling
from timbral.errors import ConfigError, check_ranges

__all__ = ["CampplusConfig", "CampplusEncoder"]

SEGMENT_FRAMES = 100
DILATIONS = (1, 2, 2)


@dataclass(frozen=True)
class CampplusConfig:
    """Sizes of the network; the defaults are those of the published weights."""

    blocks: tuple[int, ...] = (12, 24, 16)
    """layers in each of the three dense blocks"""
    head_channels: int = 32
    init_channels: int = 128
    growth: int = 32
    """channels that each dense layer adds"""
    bottleneck: int = 128
    embedding_size: int = 192

    def __post_init__(self) -> None:
        if len(self.blocks) != 3 or min(self.blocks) < 1:
            raise ConfigError(f"encoder.blocks must be three numbers from 1: {self.blocks}")
        sizes = ("head_channels", "init_channels", "growth", "embedding_size")
        check_ranges(self, "encoder", **dict.fromkeys(sizes, (1, math.inf)))
        check_ranges(self, "encoder", bottleneck=(2, math.inf))


class FrameConv1d(nn.Conv1d):
    """`nn.Conv1d` of time-major frames, (B, F, C) -> (B, F', C'), as one matrix product."""

    def forward(self, frames: Tensor) -> Tensor:
        (kernel,), (stride,), (dilation,) = self.kernel_size, self.stride, self.dilation
        if self.padding != (0,):
            before = int(self.padding[0])
            frames = functional.pad(frames, (0, 0, before, before))
        frames = taps(frames, kernel, dilation, stride)
        return functional.linear(frames, self.weight.transpose(1, 2).flatten(1), self.bias)


class FrameConv2d(nn.Conv2d):
    """`nn.Conv2d` over (mel, time) of (B, F, M, C), in which a frame's channels lie together."""

    def forward(self, frames: Tensor) -> Tensor:
        if self.kernel_size == (1, 1):  # torch 2.13 corrupts memory in the gradient of these
            return functional.linear(frames[:, :, :: self.stride[0]], self.weight[:, :, 0, 0])
        assert isinstance(self.padding, tuple)
        channels_last, weight = frames.permute(0, 3, 1, 2), self.weight.transpose(2, 3)
        stride, padding = self.stride[::-1], self.padding[::-1]
        outputs = functional.conv2d(channels_last, weight, None, stride, padding)
        return outputs.permute(0, 2, 3, 1)


class ResidualBlock(nn.Module):
    """Two 3 × 3 convolutions over (mel, time) and a shortcut; mel is divided by `stride`."""

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = _conv(channels, channels, stride)
        self.norm1 = FrameBatchNorm(channels)
        self.conv2 = _conv(channels, channels, 1)
        self.norm2 = FrameBatchNorm(channels)
        self.shortcut: nn.Conv2d | None = None
        if stride != 1:
            self.shortcut = FrameConv2d(channels, channels, 1, (stride, 1), bias=False)
            self.shortcut_norm = FrameBatchNorm(channels)

    def forward(self, frames: Tensor, mask: Tensor) -> Tensor:  # (B, F, M, C) -> (B, F, M', C)
        out = self.norm2(self.conv2(_relu_inside(self.norm1(self.conv1(frames), mask), mask)), mask)
        if self.shortcut is not None:
            frames = self.shortcut_norm(self.shortcut(frames), mask)
        return _relu_inside(out + frames, mask)


def _conv(inputs: int, outputs: int, stride: int) -> nn.Conv2d:
    return FrameConv2d(inputs, outputs, 3, (stride, 1), padding=1, bias=False)


def _relu_inside(frames: Tensor, mask: Tensor) -> Tensor:
    """ReLU, and zero outside the mask (B, F); in place."""
    inside = mask.view(*mask.shape, *(1,) * (frames.dim() - 2))
    return functional.relu(frames.mul_(inside), inplace=True)


class ConvolutionHead(nn.Module):
    """The two-dimensional front: (B, F, M) -> (B, F, C M / 8)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = _conv(1, channels, 1)
        self.norm1 = FrameBatchNorm(channels)
        self.blocks = nn.ModuleList(ResidualBlock(channels, stride) for stride in (2, 1, 2, 1))
        self.conv2 = _conv(channels, channels, 2)
        self.norm2 = FrameBatchNorm(channels)

    def forward(self, frames: Tensor, mask: Tensor) -> Tensor:
        out = _relu_inside(self.norm1(self.conv1(frames[..., None]), mask), mask)
        for block in self.blocks:
            out = block(out, mask)
        out = _relu_inside(self.norm2(self.conv2(out), mask), mask)
        return out.transpose(2, 3).flatten(2)


class ContextMasking(nn.Module):
    """A local convolution, gated by the utterance's mean and that of 100-frame segments.

    Section 2.2: the gate depends on the segment only, so it is computed once a segment.
    """

    def __init__(self, bottleneck: int, growth: int, dilation: int) -> None:
        super().__init__()
        self.local = FrameConv1d(
            bottleneck, growth, 3, padding=dilation, dilation=dilation, bias=False
        )
        self.squeeze = FrameConv1d(bottleneck, bottleneck // 2, 1)
        self.gate = FrameConv1d(bottleneck // 2, growth, 1)

    def forward(self, frames: Tensor, mask: Tensor) -> Tensor:  # zero outside the mask
        batch, count, channels = frames.shape
        extra = -count % SEGMENT_FRAMES
        segments = functional.pad(frames, (0, 0, 0, extra))
        sums = segments.view(batch, -1, SEGMENT_FRAMES, channels).sum(2)  # (B, F / 100, C)
        inside = functional.pad(mask, (0, extra)).view(batch, -1, SEGMENT_FRAMES).sum(2)
        means = sums / inside.clamp(min=1)[:, :, None]
        utterance = sums.sum(1, keepdim=True) / inside.sum(1)[:, None, None]
        gate = torch.sigmoid(self.gate(functional.relu(self.squeeze(utterance + means))))
        outputs: Tensor = self.local(frames)
        return outputs * gate.repeat_interleave(SEGMENT_FRAMES, dim=1)[:, :count]


class DenseLayer(nn.Module):
    """Bottleneck and context-aware masking; what it gives is appended to its input."""

    def __init__(self, inputs: int, config: CampplusConfig, dilation: int) -> None:
        super().__init__()
        self.norm1 = FrameBatchNorm(inputs)
        self.bottleneck = FrameConv1d(inputs, config.bottleneck, 1, bias=False)
        self.norm2 = FrameBatchNorm(config.bottleneck)
        self.masking = ContextMasking(config.bottleneck, config.growth, dilation)

    def forward(self, frames: Tensor, mask: Tensor) -> Tensor:
        out = self.bottleneck(functional.relu(self.norm1(frames, mask), inplace=True))
        out = _relu_inside(self.norm2(out, mask), mask)
        return torch.cat([frames, self.masking(out, mask)], dim=2)


class DenseBlock(nn.Module):
    """Dense layers, then a transition that halves the channels."""

    def __init__(self, inputs: int, layers: int, config: CampplusConfig, dilation: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            DenseLayer(inputs + index * config.growth, config, dilation) for index in range(layers)
        )
        channels = inputs + layers * config.growth
        self.norm = FrameBatchNorm(channels)
        self.transition = FrameConv1d(channels, channels // 2, 1, bias=False)

    def forward(self, frames: Tensor, mask: Tensor) -> Tensor:
        for layer in self.layers:
            frames = layer(frames, mask)
        outputs: Tensor = self.transition(functional.relu(self.norm(frames, mask), inplace=True))
        return outputs


class CampplusEncoder(SpeakerEncoder):
    """CAM++: densely connected TDNN with context-aware masking, on 80 Kaldi filter banks."""

    name = "campplus"
    config_type = CampplusConfig

    def __init__(self, config: CampplusConfig) -> None:
        super().__init__()
        self.config = config
        self.frontend = KaldiFbank(mean_normalize=True)
        self.sample_rate = self.frontend.sample_rate
        self.hop_samples = self.frontend.hop_samples
        self.embedding_dim = config.embedding_size
        self.min_samples = self.sample_rate // 5
        self.head = ConvolutionHead(config.head_channels)
        head_channels = config.head_channels * (self.frontend.n_mels // 8)
        channels = config.init_channels
        self.tdnn = FrameConv1d(head_channels, channels, 5, stride=2, padding=2, bias=False)
        self.tdnn_norm = FrameBatchNorm(channels)
        self.blocks = nn.ModuleList()
        for layers, dilation in zip(config.blocks, DILATIONS, strict=True):
            self.blocks.append(DenseBlock(channels, layers, config, dilation))
            channels = (channels + layers * config.growth) // 2
        self.norm = FrameBatchNorm(channels)
        self.linear = nn.Linear(2 * channels, config.embedding_size, bias=False)
        self.linear_norm = BatchNorm(config.embedding_size, affine=False)

    def parts(self) -> dict[str, list[nn.Module]]:
        front = nn.ModuleList([self.head, self.tdnn, self.tdnn_norm])
        body = [front, *self.blocks, self.norm]
        return {"body": body, "head": [self.linear, self.linear_norm]}

    def features(self, waves: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        features: tuple[Tensor, Tensor] = self.frontend(waves, lengths)
        return features

    def embed_features(self, features: Tensor, frame_lengths: Tensor) -> Tensor:
        mask = frame_mask(frame_lengths, features.shape[1])
        frames = self.head(features, mask)  # (B, F, M) -> (B, F, C)
        mask = frame_mask((frame_lengths - 1) // 2 + 1, (features.shape[1] - 1) // 2 + 1)
        frames = functional.relu(self.tdnn_norm(self.tdnn(frames), mask), inplace=True)
        for block in self.blocks:
            frames = block(frames, mask)
        frames = functional.relu(self.norm(frames, mask), inplace=True)
        pooled = statistics_pooling(frames.transpose(1, 2), mask, unbiased=True)
        embeddings: Tensor = self.linear_norm(self.linear(pooled))
        return at_least_float32(embeddings)
