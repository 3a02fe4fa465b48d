"""ECAPA-TDNN (Desplanques et al., ECAPA-TDNN: Emphasized Channel Attention, Propagation and
Aggregation in TDNN Based Speaker Verification, Interspeech 2020), as SpeechBrain builds it.

Frames stay time-major (B, F, C), so that every convolution is one matrix product.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from timbral.encoders.base import SpeakerEncoder, at_least_float32
from timbral.encoders.frontends import DECIBEL_MEL_80, MelSpectrogram, frame_mask
from timbral.encoders.layers.conv import TimeConv
from timbral.encoders.layers.norm import BatchNorm, FrameBatchNorm
from timbral.errors import ConfigError, check_ranges

__all__ = ["EcapaConfig", "EcapaEncoder", "FrameConv"]


@dataclass(frozen=True)
class EcapaConfig:
    """Sizes of the network; the defaults are those of ``spkrec-ecapa-voxceleb``."""

    channels: int = 1024
    pooled_channels: int = 3072
    attention_channels: int = 128
    squeeze_channels: int = 128
    scale: int = 8
    """parts that a Res2Net block cuts the channels into"""
    embedding_size: int = 192

    def __post_init__(self) -> None:
        sizes = ("channels", "pooled_channels", "attention_channels", "squeeze_channels")
        check_ranges(self, "encoder", **dict.fromkeys((*sizes, "embedding_size"), (1, math.inf)))
        check_ranges(self, "encoder", scale=(2, math.inf))
        if self.channels % self.scale:
            raise ConfigError(
                f"encoder.channels must be divisible by encoder.scale: "
                f"{self.channels} is not by {self.scale}"
            )


class FrameConv(TimeConv):
    """Convolution over time, (B, F, C) -> (B, F, C'), reflected at each utterance's own ends.

    What comes out behind an utterance's end is not defined.
    """

    def forward(self, frames: Tensor, lengths: Tensor) -> Tensor:  # type: ignore[override]
        if self.kernel > 1:
            frames = reflect_ends(frames, lengths, self.reach // 2)
        return super().forward(frames)


def reflect_ends(frames: Tensor, lengths: Tensor, reach: int) -> Tensor:
    """Frames (B, F, C) continued by `reach` mirrored frames before the first one and behind
    each utterance's last: (B, F + 2 reach, C)."""
    batch, count, channels = frames.shape
    before = frames[:, 1 : reach + 1].flip(1)
    padded = torch.cat([before, frames, frames.new_zeros(batch, reach, channels)], dim=1)
    steps = torch.arange(reach, device=frames.device)
    rows = torch.arange(batch, device=frames.device)[:, None]
    source = rows * count + lengths[:, None] - 2 - steps  # one row each, so backward is exact
    target = rows * (count + 2 * reach) + reach + lengths[:, None] + steps
    mirrored = frames.flatten(0, 1).index_select(0, source.flatten())
    return padded.flatten(0, 1).index_copy(0, target.flatten(), mirrored).view_as(padded)


class TimeDelayLayer(nn.Module):
    """Convolution, ReLU, batch norm."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 1, dilation: int = 1) -> None:
        super().__init__()
        self.conv = FrameConv(inputs, outputs, kernel, dilation=dilation)
        self.norm = FrameBatchNorm(outputs)

    def forward(self, frames: Tensor, lengths: Tensor, mask: Tensor) -> Tensor:
        outputs: Tensor = self.norm(functional.relu(self.conv(frames, lengths)), mask)
        return outputs


class Res2NetBlock(nn.Module):
    """Channels in parts; each part but the first is convolved with the result before it."""

    def __init__(self, channels: int, scale: int, dilation: int) -> None:
        super().__init__()
        part = channels // scale
        self.blocks = nn.ModuleList(
            TimeDelayLayer(part, part, 3, dilation) for _ in range(scale - 1)
        )

    def forward(self, frames: Tensor, lengths: Tensor, mask: Tensor) -> Tensor:
        first, *parts = frames.chunk(len(self.blocks) + 1, dim=2)
        outputs = [first]
        for index, (block, part) in enumerate(zip(self.blocks, parts, strict=True)):
            outputs.append(block(part + outputs[-1] if index else part, lengths, mask))
        return torch.cat(outputs, dim=2)


class SqueezeExcitation(nn.Module):
    """Channels gated by the utterance's mean."""

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.conv1 = nn.Linear(channels, squeezed)
        self.conv2 = nn.Linear(squeezed, channels)

    def forward(self, frames: Tensor, mask: Tensor) -> Tensor:
        mean = (at_least_float32(frames) * _uniform(mask)).sum(1)
        gate = torch.sigmoid(self.conv2(functional.relu(self.conv1(mean.to(frames.dtype)))))
        return frames * gate[:, None]


class SERes2NetBlock(nn.Module):
    """Section 3.2: dense, Res2Net, dense, squeeze-excitation; added to the input."""

    def __init__(self, config: EcapaConfig, dilation: int) -> None:
        super().__init__()
        channels = config.channels
        self.tdnn1 = TimeDelayLayer(channels, channels)
        self.res2net_block = Res2NetBlock(channels, config.scale, dilation)
        self.tdnn2 = TimeDelayLayer(channels, channels)
        self.se_block = SqueezeExcitation(channels, config.squeeze_channels)

    def forward(self, frames: Tensor, lengths: Tensor, mask: Tensor) -> Tensor:
        outputs = self.tdnn1(frames, lengths, mask)
        outputs = self.res2net_block(outputs, lengths, mask)
        summed: Tensor = frames + self.se_block(self.tdnn2(outputs, lengths, mask), mask)
        return summed


class AttentiveStatistics(nn.Module):
    """Section 3.1: mean and deviation, each channel weighing the frames by its own attention.

    The attention sees [frame; mean; deviation]. The last two are the same for all frames, so
    their part of the product is taken once an utterance.
    """

    def __init__(self, channels: int, attention: int) -> None:
        super().__init__()
        self.tdnn = TimeDelayLayer(3 * channels, attention)
        self.conv = nn.Linear(attention, channels)

    def forward(self, frames: Tensor, mask: Tensor) -> Tensor:
        channels = frames.shape[2]
        context = torch.cat(weighted_statistics(frames, _uniform(mask)), dim=1).to(frames.dtype)
        weight, bias = self.tdnn.conv.weight, self.tdnn.conv.bias
        hidden = functional.linear(frames, weight[:, :channels])
        hidden = hidden + functional.linear(context, weight[:, channels:], bias)[:, None]
        hidden = torch.tanh(self.tdnn.norm(functional.relu(hidden), mask))
        scores = self.conv(hidden).masked_fill(~mask[:, :, None], -torch.inf)
        attention = torch.softmax(at_least_float32(scores), dim=1)
        statistics: Tensor = torch.cat(weighted_statistics(frames, attention), dim=1)
        return statistics


def _uniform(mask: Tensor) -> Tensor:
    """Weights (B, F, 1) that average the frames inside."""
    return (mask / mask.sum(1, keepdim=True))[:, :, None]


def weighted_statistics(frames: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation (B, C), at least in float32; `weights` (B, F, 1 or C) add up to
    one."""
    frames = at_least_float32(frames)
    mean = (frames * weights).sum(1)
    variance = ((frames - mean[:, None]).square() * weights).sum(1)
    return mean, variance.clamp(min=1e-12).sqrt()


class EcapaEncoder(SpeakerEncoder):
    """ECAPA-TDNN of SpeechBrain, on 80 mel filter banks in decibel."""

    name = "ecapa"
    config_type = EcapaConfig

    def __init__(self, config: EcapaConfig) -> None:
        super().__init__()
        self.config = config
        self.frontend = MelSpectrogram(DECIBEL_MEL_80)
        self.sample_rate = DECIBEL_MEL_80.sample_rate
        self.hop_samples = DECIBEL_MEL_80.hop_samples
        self.embedding_dim = config.embedding_size
        self.min_samples = self.sample_rate // 10
        channels, pooled = config.channels, config.pooled_channels
        self.input = TimeDelayLayer(DECIBEL_MEL_80.n_mels, channels, 5)
        self.blocks = nn.ModuleList(SERes2NetBlock(config, dilation) for dilation in (2, 3, 4))
        self.mfa = TimeDelayLayer(3 * channels, pooled)
        self.asp = AttentiveStatistics(pooled, config.attention_channels)
        self.asp_bn = BatchNorm(2 * pooled)
        self.fc = nn.Linear(2 * pooled, config.embedding_size)

    def parts(self) -> dict[str, list[nn.Module]]:
        return {
            "body": [self.input, *self.blocks, self.mfa],
            "head": [self.asp, self.asp_bn, self.fc],
        }

    def features(self, waves: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        features: tuple[Tensor, Tensor] = self.frontend(waves, lengths)
        return features

    def embed_features(self, features: Tensor, frame_lengths: Tensor) -> Tensor:
        mask = frame_mask(frame_lengths, features.shape[1])
        frames = self.input(features, frame_lengths, mask)
        outputs = []
        for block in self.blocks:
            frames = block(frames, frame_lengths, mask)
            outputs.append(frames)
        frames = self.mfa(torch.cat(outputs, dim=2), frame_lengths, mask)
        embeddings: Tensor = self.fc(self.asp_bn(self.asp(frames, mask)))
        return at_least_float32(embeddings)
